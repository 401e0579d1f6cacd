//! Blockade: the subspace of the configurations in which no two occupied sites are closer than a radius.
//!
//! Rydberg atoms with V much larger than Ω are not excited together. In the subspace the Hamiltonian is that of Lesanovsky
//! & Katsura, Phys. Rev. A 86, 041601 (2012): terms that would leave it are dropped, on a chain with radius 1 to
//! `P σˣ P` of the PXP model.

use super::{Hamiltonian, Terms};
use crate::error::{Error, ErrorKind, Result};
use crate::physics::Lattice;

/// A Hamiltonian in the subspace of a blockade. Pairs within the radius have no energy, since they are never occupied
/// together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blockade<H> {
    /// The Hamiltonian without the blockade.
    pub hamiltonian: H,
    /// Largest distance of two sites that are not occupied together, in units of the lattice spacing; at least 1.
    pub radius: f64,
}

impl<H: Hamiltonian> Hamiltonian for Blockade<H> {
    fn name(&self) -> &'static str {
        self.hamiltonian.name()
    }

    fn terms(&self, lattice: &Lattice) -> Result<Terms> {
        let mut terms = self.hamiltonian.terms(lattice)?;
        if terms.moves.iter().any(|step| step.second.is_some()) {
            let message = "blockade: expected off-diagonal terms that flip single sites; leave the blockade out";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        terms.exclusions = excluded_pairs(lattice, self.radius)?;
        let is_excluded = |[a, b]: [usize; 2]| within(lattice, self.radius, a, b);
        terms.pairs.retain(|pair| !is_excluded(pair.sites));
        Ok(terms)
    }
}

fn within(lattice: &Lattice, radius: f64, a: usize, b: usize) -> bool {
    lattice.distance_squared(a, b) as f64 <= radius * radius * (1.0 + 1e-12)
}

/// The pairs of different sites of `lattice` at a distance of at most `radius`, each once and in ascending order.
///
/// # Errors
/// [`ErrorKind::Settings`] for a radius that is below 1 or not finite; as [`Lattice::check`].
pub fn excluded_pairs(lattice: &Lattice, radius: f64) -> Result<Vec<[usize; 2]>> {
    lattice.check()?;
    if !(radius.is_finite() && radius >= 1.0) {
        let message = format!(
            "blockade: expected a radius of at least 1, the distance of neighbors, got {radius}; give 1 or more"
        );
        return Err(Error::new(ErrorKind::Settings, message));
    }
    let reach = (radius.min(lattice.lx.max(lattice.ly) as f64) + 1e-6) as usize;
    let mut pairs = Vec::new();
    for a in 0..lattice.sites() {
        let (x, y) = lattice.position(a);
        let mut others: Vec<usize> = Vec::new();
        for dx in 0..=2 * reach {
            for dy in 0..=2 * reach {
                let wrapped = |at: usize, step: usize, side: usize, periodic: bool| {
                    let to = (at + step) as isize - reach as isize;
                    match periodic {
                        true => Some(to.rem_euclid(side as isize) as usize),
                        false => usize::try_from(to).ok().filter(|to| *to < side),
                    }
                };
                let to = wrapped(x, dx, lattice.lx, lattice.periodic[0]).zip(wrapped(
                    y,
                    dy,
                    lattice.ly,
                    lattice.periodic[1],
                ));
                others.extend(to.map(|(x, y)| x * lattice.ly + y).filter(|b| *b > a && within(lattice, radius, a, *b)));
            }
        }
        others.sort_unstable();
        others.dedup();
        pairs.extend(others.into_iter().map(|b| [a, b]));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Heisenberg, Rydberg, ground_state};

    fn blockade(v: f64, radius: f64) -> Blockade<Rydberg> {
        Blockade { hamiltonian: Rydberg { v, ..Rydberg::default() }, radius }
    }

    #[test]
    fn pairs_are_those_within_the_radius() {
        for lattice in
            [Lattice::chain(7), Lattice::chain(5).periodic(), Lattice::square(3, 4), Lattice::square(4, 3).periodic()]
        {
            for radius in [1.0, 1.4, 2f64.sqrt(), 2.0, 100.0] {
                let all = (0..lattice.sites()).flat_map(|a| (a + 1..lattice.sites()).map(move |b| [a, b]));
                let expected: Vec<[usize; 2]> =
                    all.filter(|[a, b]| (lattice.distance_squared(*a, *b) as f64).sqrt() <= radius + 1e-9).collect();
                assert_eq!(excluded_pairs(&lattice, radius).unwrap(), expected, "{lattice} {radius}");
            }
        }
        for bad in [0.0, 0.5, -1.0, f64::NAN, f64::INFINITY] {
            assert!(excluded_pairs(&Lattice::chain(3), bad).unwrap_err().to_string().contains("at least 1"));
        }
    }

    /// Chain of n sites with radius 1: PXP. Two sites: |00⟩, |01⟩, |10⟩ with H = −Ω/2 (|00⟩⟨01| + |00⟩⟨10| + h.c.) − δ n.
    #[test]
    fn the_ground_state_is_that_of_the_subspace() {
        let terms = blockade(1e12, 1.0).terms(&Lattice::chain(2)).unwrap();
        let (delta, omega) = (1.0f64, 1.0f64);
        let exact = -0.5 * delta - (0.25 * delta * delta + 0.5 * omega * omega).sqrt();
        let ground = ground_state(&terms, 2).unwrap();
        assert!((ground.energy - exact).abs() < 1e-12, "{} {exact}", ground.energy);
        assert_eq!(ground.state[3], 0.0);
        // All energies of the subspace are positive: states outside of it do not count as energy 0.
        let positive =
            Blockade { hamiltonian: Rydberg { delta: -9.0, omega: 1e-3, ..Rydberg::default() }, radius: 1.0 };
        let mut terms = positive.terms(&Lattice::chain(4)).unwrap();
        terms.constant = 5.0;
        assert!((ground_state(&terms, 4).unwrap().energy - 5.0).abs() < 1e-3);
        // The limit of a strong interaction.
        let strong = Rydberg { v: 1e7, ..Rydberg::default() };
        for lattice in [Lattice::chain(9), Lattice::square(3, 3)] {
            let strong = ground_state(&strong.terms(&lattice).unwrap(), 9).unwrap().energy;
            let restricted = ground_state(&blockade(1e7, 1e4).terms(&lattice).unwrap(), 9).unwrap().energy;
            let neighbors = ground_state(&blockade(1e7, 1.0).terms(&lattice).unwrap(), 9).unwrap().energy;
            assert!(neighbors >= strong - 1e-6 && restricted >= neighbors - 1e-9, "{strong} {neighbors} {restricted}");
        }
    }

    #[test]
    fn exchanges_have_no_blockade() {
        let exchange = Blockade { hamiltonian: Heisenberg::default(), radius: 1.0 };
        assert!(exchange.terms(&Lattice::chain(4)).unwrap_err().to_string().contains("leave the blockade out"));
    }
}
