//! A symmetry of a lattice of spins: a permutation of sites, with or without a flip of all spins.

mod characters;
mod coefficients;
mod group;
mod sign_rule;

pub use group::{SymmetryGroup, named_symmetries};
pub use sign_rule::SignRule;

use coefficients::Coefficients;

use super::{Lattice, Terms};

/// A symmetry `g`: occupation `i` of `gσ` is that of site `from[i]` in σ, or 1 minus it if `flips`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Symmetry {
    from: Vec<u32>,
    flips: bool,
}

impl Symmetry {
    /// Translation of a torus of the sides of `lattice`: occupation (x, y) of `gσ` is (x + dx, y + dy) of σ, around both
    /// sides whether or not the lattice is periodic.
    pub fn translation(lattice: &Lattice, [dx, dy]: [usize; 2]) -> Self {
        let from = (0..lattice.sites()).map(|site| {
            let (x, y) = lattice.position(site);
            ((x + dx) % lattice.lx * lattice.ly + (y + dy) % lattice.ly) as u32
        });
        Self { from: from.collect(), flips: false }
    }

    /// Whether every configuration is its own image.
    pub fn is_identity(&self) -> bool {
        !self.flips && self.from.iter().zip(0..).all(|(from, site)| *from == site)
    }

    /// Which of `symmetries` leave `terms` invariant.
    ///
    /// # Panics
    /// If a symmetry is of another number of sites.
    pub fn of_terms(symmetries: &[Self], terms: &Terms) -> Vec<bool> {
        let own = Coefficients::of(terms, false);
        let flipped = symmetries.iter().any(|g| g.flips).then(|| Coefficients::of(terms, true));
        let holds = |g: &Self| {
            assert_eq!(g.from.len(), terms.sites(), "symmetry: it permutes the sites of the terms");
            own.are_those_of(flipped.as_ref().filter(|_| g.flips).unwrap_or(&own), g)
        };
        symmetries.iter().map(holds).collect()
    }

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

    /// Returns the states of the orbit of `state` under the group that `generators` generate, `state` first.
    pub(crate) fn orbit(generators: &[Self], state: usize) -> Vec<usize> {
        let mut members = vec![state];
        let mut next = 0;
        while next < members.len() {
            let state = members[next];
            for image in generators.iter().map(|g| g.image_of_state(state)) {
                if !members.contains(&image) {
                    members.push(image);
                }
            }
            next += 1;
        }
        members
    }

    /// The product `g∘h`: `h` first, then this.
    pub(super) fn after(&self, h: &Self) -> Self {
        let from = self.from.iter().map(|&site| h.from[site as usize]).collect();
        Self { from, flips: self.flips != h.flips }
    }
}
