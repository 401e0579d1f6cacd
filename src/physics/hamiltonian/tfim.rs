//! Transverse-field Ising model.

use super::{Hamiltonian, Move, Pair, Terms, check_couplings};
use crate::error::Result;
use crate::physics::{Lattice, Order};

/// `H = −J Σ_<ab> σᶻ_a σᶻ_b − h Σ_i σˣ_i` with Pauli matrices, each nearest-neighbor bond once, `σᶻ = 2n − 1`.
///
/// The transition from ferromagnet to paramagnet is at `h/J ≈ 3.044` in two dimensions (Blöte & Deng, Phys. Rev. E 66,
/// 066110 (2002)) and at `h = J` in one (Pfeuty, Ann. Phys. 57, 79 (1970)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tfim {
    /// `J`, the coupling of nearest neighbors; positive for a ferromagnet.
    pub j: f64,
    /// `h`, the transverse field. If it is negative, the terms are those after a rotation of all sites by π about z,
    /// which changes its sign, no energy and no diagonal observable: the ground state is then non-negative.
    pub h: f64,
}

impl Default for Tfim {
    /// `J = 1`, `h = 1`.
    fn default() -> Self {
        Self { j: 1.0, h: 1.0 }
    }
}

impl Hamiltonian for Tfim {
    fn name(&self) -> &'static str {
        "tfim"
    }

    /// `σᶻσᶻ = 4 n n − 2 n − 2 n + 1`.
    fn terms(&self, lattice: &Lattice) -> Result<Terms> {
        lattice.check()?;
        check_couplings(self, &[("J", self.j), ("h", self.h)])?;
        let sites = lattice.sites();
        let mut terms = Terms { field: vec![0.0; sites], ..Terms::default() };
        for [a, b] in lattice.bonds() {
            terms.constant -= self.j;
            terms.field[a] += 2.0 * self.j;
            terms.field[b] += 2.0 * self.j;
            terms.pairs.push(Pair { sites: [a, b], coefficient: -4.0 * self.j });
        }
        terms.moves = (0..sites).map(|site| Move::flip(site, -self.h).after_rotation(self.h < 0.0)).collect();
        terms.check()?;
        Ok(terms)
    }

    /// Uniform in a ferromagnet, `J ≥ 0`, otherwise staggered.
    fn order(&self) -> Order {
        if self.j < 0.0 { Order::Staggered } else { Order::Uniform }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_diagonal_is_that_of_the_formula() {
        let terms = Tfim { j: 1.5, h: 0.5 }.terms(&Lattice::square(2, 2)).unwrap();
        assert_eq!(terms.diagonal(&[0, 0, 0, 0]), -6.0);
        assert_eq!(terms.diagonal(&[1, 1, 1, 1]), -6.0);
        assert_eq!(terms.diagonal(&[1, 0, 0, 1]), 6.0);
        assert_eq!(terms.diagonal(&[1, 0, 0, 0]), 0.0);
        assert_eq!(terms.moves, (0..4).map(|site| Move::flip(site, -0.5)).collect::<Vec<_>>());
        assert!(terms.is_stoquastic());
    }

    #[test]
    fn a_negative_field_is_rotated() {
        let of = |h| Tfim { h, ..Tfim::default() }.terms(&Lattice::chain(3)).unwrap();
        assert!(of(-0.5).is_stoquastic() && of(-0.5).moves.iter().all(|step| step.rotated && step.amplitude == -0.5));
        assert!(of(0.5).moves.iter().all(|step| !step.rotated && step.amplitude == -0.5));
        assert_eq!([of(-0.5).sigma_x_signs(), of(0.5).sigma_x_signs()], [[-1.0; 3], [1.0; 3]]);
        assert!(of(0.5).is_flip_symmetric());
    }

    #[test]
    fn couplings_that_are_not_finite_are_named() {
        for (bad, name) in [
            (Tfim { j: f64::NAN, ..Tfim::default() }, "J must be finite, got NaN; give J="),
            (Tfim { h: f64::INFINITY, ..Tfim::default() }, "h must be finite, got inf; give h="),
        ] {
            let error = bad.terms(&Lattice::square(2, 2)).unwrap_err();
            assert!(error.kind() == ErrorKind::Settings && error.to_string().contains(name), "{error}");
        }
    }
}
