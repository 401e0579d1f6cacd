//! Rydberg atoms on a lattice.

use super::{Hamiltonian, Move, Pair, Terms, check_couplings};
use crate::error::{Error, ErrorKind, Result};
use crate::physics::{Lattice, Order};

/// Maximum number of sites of a Rydberg lattice: all `N(N−1)/2` pairs are stored, 0.8 GB at this limit.
pub const MAX_RYDBERG_SITES: usize = 8192;

/// `H = −(Ω/2) Σ_i σˣ_i − δ Σ_i n_i + Σ_(i<j) V/r_ij⁶ n_i n_j`, all pairs, lattice spacing 1. On
/// periodic sides `r_ij` is the shorter path.
///
/// `V` is the coefficient of `1/r⁶`, that is the energy of two excited nearest neighbors. The conventions are those of
/// Sprague & Czischek, "Variational Monte Carlo with large patched transformers", Commun. Phys. 7, 90 (2024).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rydberg {
    /// `V`, the energy of two excited nearest neighbors.
    pub v: f64,
    /// `δ`, the detuning.
    pub delta: f64,
    /// `Ω`, the Rabi frequency. If it is negative, the terms are those after a rotation of all sites by π about z, which
    /// changes its sign, no energy and no diagonal observable: the ground state is then non-negative.
    pub omega: f64,
}

impl Default for Rydberg {
    /// `V = 7`, `δ = 1`, `Ω = 1`.
    fn default() -> Self {
        Self { v: 7.0, delta: 1.0, omega: 1.0 }
    }
}

impl Hamiltonian for Rydberg {
    fn name(&self) -> &'static str {
        "rydberg"
    }

    fn terms(&self, lattice: &Lattice) -> Result<Terms> {
        lattice.check()?;
        check_couplings(self, &[("V", self.v), ("delta", self.delta), ("Omega", self.omega)])?;
        let sites = lattice.sites();
        if sites > MAX_RYDBERG_SITES {
            return Err(Error::new(
                ErrorKind::Settings,
                format!(
                    "rydberg: expected at most {MAX_RYDBERG_SITES} sites, since all pairs are kept in memory, got \
                     {lattice} with {sites}; give smaller Lattice::lx and Lattice::ly"
                ),
            ));
        }
        let mut pairs = Vec::with_capacity(sites * (sites - 1) / 2);
        for a in 0..sites {
            for b in a + 1..sites {
                let distance_squared = lattice.distance_squared(a, b) as f64;
                pairs.push(Pair { sites: [a, b], coefficient: self.v / distance_squared.powi(3) });
            }
        }
        let moves = (0..sites).map(|site| Move::flip(site, -0.5 * self.omega).after_rotation(self.omega < 0.0));
        let moves = moves.collect();
        let terms = Terms { field: vec![-self.delta; sites], pairs, moves, ..Terms::default() };
        terms.check()?;
        Ok(terms)
    }

    /// Staggered if excitations repel, `V ≥ 0`, otherwise uniform.
    fn order(&self) -> Order {
        if self.v < 0.0 { Order::Uniform } else { Order::Staggered }
    }

    /// `N(N−1)/2`, or 0 for a lattice that [`Hamiltonian::terms`] refuses.
    fn max_pairs(&self, lattice: &Lattice) -> usize {
        let sites = lattice.sites();
        if sites > MAX_RYDBERG_SITES { 0 } else { sites * sites.saturating_sub(1) / 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_are_those_of_the_formula() {
        let terms = Rydberg { v: 7.0, delta: 1.5, omega: 3.0 }.terms(&Lattice::square(2, 3)).unwrap();
        assert_eq!(terms.field, [-1.5; 6]);
        assert_eq!(terms.moves.len(), 6);
        assert!(terms.moves.iter().enumerate().all(|(site, step)| *step == Move::flip(site, -1.5)));
        assert_eq!(terms.pairs.len(), 15);
        let pair = |a, b| terms.pairs.iter().find(|pair| pair.sites == [a, b]).unwrap().coefficient;
        assert_eq!(pair(0, 1), 7.0);
        assert_eq!(pair(0, 3), 7.0);
        assert_eq!(pair(0, 2), 7.0 / 64.0);
        assert_eq!(pair(0, 4), 7.0 / 8.0);
        assert_eq!(pair(0, 5), 7.0 / 125.0);
        assert_eq!(terms.constant, 0.0);
        assert!(terms.is_stoquastic() && !terms.is_flip_symmetric());
        let (energy, expected) = (terms.diagonal(&[1, 0, 0, 0, 1, 1]), 7.0 / 8.0 + 7.0 / 125.0 + 7.0 - 4.5);
        assert!((energy - expected).abs() < 1e-14);
    }

    #[test]
    fn couplings_that_are_not_finite_are_named() {
        let rydberg = Rydberg::default();
        assert_eq!(rydberg, Rydberg { v: 7.0, delta: 1.0, omega: 1.0 });
        for (bad, name) in [
            (Rydberg { v: f64::NAN, ..rydberg }, "V must be finite, got NaN; give V="),
            (Rydberg { delta: f64::INFINITY, ..rydberg }, "delta must be finite, got inf; give delta="),
            (Rydberg { omega: f64::NEG_INFINITY, ..rydberg }, "Omega must be finite, got -inf; give Omega="),
        ] {
            let error = bad.terms(&Lattice::square(2, 2)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(Rydberg { v: f64::MAX, ..rydberg }.terms(&Lattice::square(3, 3)).is_err());
    }

    #[test]
    fn lattices_that_cannot_be_used_are_refused() {
        let rydberg = Rydberg::default();
        assert!(rydberg.terms(&Lattice::square(0, 2)).is_err());
        let error = rydberg.terms(&Lattice::square(128, 128)).unwrap_err();
        assert!(error.to_string().contains("8192"), "{error}");
        assert_eq!(rydberg.terms(&Lattice::chain(1)).unwrap().pairs, []);
    }
}
