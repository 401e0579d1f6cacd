//! A symmetry of a lattice of spins: a permutation of sites, with or without a flip of all spins.

/// A symmetry `g`: occupation `i` of `gσ` is that of site `from[i]` in σ, or 1 minus it if `flips`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Symmetry {
    pub(super) from: Vec<u32>,
    pub(super) flips: bool,
}

impl Symmetry {
    /// Applies `g` to `config`, `N` occupations in site order, and returns `gσ`.
    pub fn image(&self, config: &[u8]) -> Vec<u8> {
        let flip = u8::from(self.flips);
        self.from.iter().map(|&site| config[site as usize] ^ flip).collect()
    }

    /// Applies `g` to the index of a state, bit `i` of which is the occupation of site `i`.
    pub fn image_of_state(&self, state: usize) -> usize {
        let bit = |(i, &site): (usize, &u32)| (state >> site & 1 ^ usize::from(self.flips)) << i;
        self.from.iter().enumerate().map(bit).sum()
    }

    /// The product `g∘h`: `h` first, then this.
    pub(super) fn after(&self, h: &Self) -> Self {
        let from = self.from.iter().map(|&site| h.from[site as usize]).collect();
        Self { from, flips: self.flips != h.flips }
    }
}
