//! Spin-½ Heisenberg model with nearest and next-nearest neighbor couplings (J1-J2 model).

use super::{Hamiltonian, Move, Pair, Terms, check_couplings, check_sublattices};
use crate::error::Result;
use crate::physics::{Lattice, Order};

/// `H = J1 Σ_<ab> S_a·S_b + J2 Σ_<<ab>> S_a·S_b` with `S = σ/2`, `n = ½ + Sᶻ`. Each bond is counted once; the first sum
/// is over [`Lattice::bonds`], the second over [`Lattice::diagonal_bonds`].
///
/// With `J1 > 0` and `J2 = 0` the ground state on a bipartite lattice obeys the Marshall sign rule (W. Marshall, Proc.
/// R. Soc. A 232, 48 (1955)), and `marshall` removes these signs. With `J2 > 0` no such rotation is known: the model is
/// frustrated, and its ground state on a square lattice near `J2 = J1/2` is a benchmark for wave functions with signs
/// (Rende et al., Commun. Phys. 7, 260 (2024), arXiv:2310.05715).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heisenberg {
    /// `J1`, the coupling of nearest neighbors; positive for an antiferromagnet.
    pub j1: f64,
    /// `J2`, the coupling of next-nearest neighbors; positive to frustrate an antiferromagnet.
    pub j2: f64,
    /// Whether to rotate one sublattice of the checkerboard by π about z, `ψ(σ) → (−1)^(up spins on it) ψ(σ)`, which
    /// changes the sign of every exchange between the sublattices. Energies are unchanged. For `J1 ≥ 0 ≥ J2` no
    /// off-diagonal amplitude is then positive.
    pub marshall: bool,
}

impl Default for Heisenberg {
    /// `J1 = 1`, `J2 = 0`, not rotated.
    fn default() -> Self {
        Self { j1: 1.0, j2: 0.0, marshall: false }
    }
}

impl Heisenberg {
    /// Adds `J S·S = J (n − ½)(n − ½) + (J/2)(S⁺S⁻ + S⁻S⁺)` for a bond.
    fn add_bond(&self, terms: &mut Terms, lattice: &Lattice, [a, b]: [usize; 2], j: f64) {
        terms.constant += 0.25 * j;
        terms.field[a] -= 0.5 * j;
        terms.field[b] -= 0.5 * j;
        terms.pairs.push(Pair { sites: [a, b], coefficient: j });
        let turned = self.marshall && lattice.sublattice_sign(a) != lattice.sublattice_sign(b);
        terms.moves.push(Move::exchange(a, b, 0.5 * j).after_rotation(turned));
    }
}

impl Hamiltonian for Heisenberg {
    fn name(&self) -> &'static str {
        "heisenberg"
    }

    fn terms(&self, lattice: &Lattice) -> Result<Terms> {
        lattice.check()?;
        check_couplings(self, &[("J1", self.j1), ("J2", self.j2)])?;
        if self.marshall {
            check_sublattices(self, lattice)?;
        }
        let mut terms = Terms { field: vec![0.0; lattice.sites()], ..Terms::default() };
        for (j, bonds) in [(self.j1, Lattice::bonds as Bonds), (self.j2, Lattice::diagonal_bonds)] {
            if j != 0.0 {
                bonds(lattice).into_iter().for_each(|bond| self.add_bond(&mut terms, lattice, bond, j));
            }
        }
        terms.check()?;
        Ok(terms)
    }

    /// Staggered in an antiferromagnet, `J1 ≥ 0`, otherwise uniform.
    fn order(&self) -> Order {
        if self.j1 < 0.0 { Order::Uniform } else { Order::Staggered }
    }
}

/// Bonds of a lattice.
type Bonds = fn(&Lattice) -> Vec<[usize; 2]>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn two_spins_form_a_singlet() {
        let terms = Heisenberg { j1: 2.0, ..Heisenberg::default() }.terms(&Lattice::chain(2)).unwrap();
        assert_eq!([[0, 0], [1, 1], [0, 1]].map(|config| terms.diagonal(&config)), [0.5, 0.5, -0.5]);
        assert_eq!(terms.moves, [Move::exchange(0, 1, 1.0)]);
        let ground = crate::physics::ground_state(&terms, 2).unwrap();
        assert!((ground.energy + 1.5).abs() < 1e-12, "{}", ground.energy);
    }

    #[test]
    fn the_marshall_rotation_turns_exchanges_between_sublattices() {
        let model = Heisenberg { j1: 1.0, j2: 0.5, marshall: true };
        let lattice = Lattice::square(4, 4).periodic();
        let (turned, plain) =
            (model.terms(&lattice).unwrap(), Heisenberg { marshall: false, ..model }.terms(&lattice).unwrap());
        assert_eq!((turned.constant, &turned.field, &turned.pairs), (plain.constant, &plain.field, &plain.pairs));
        assert_eq!(turned.moves.len(), 64);
        for (index, (turned, plain)) in turned.moves.iter().zip(&plain.moves).enumerate() {
            let expected = if index < 32 { [-0.5, 0.5] } else { [0.25, 0.25] };
            assert_eq!([turned.amplitude, plain.amplitude], expected);
        }
        assert!(!turned.is_stoquastic() && !plain.is_stoquastic());
        let ferromagnetic = Heisenberg { j2: -0.5, ..model };
        assert!(ferromagnetic.terms(&lattice).unwrap().is_stoquastic());
        assert!(Heisenberg { j2: 0.0, ..model }.terms(&Lattice::chain(6).periodic()).unwrap().is_stoquastic());
    }

    #[test]
    fn the_marshall_rotation_needs_two_sublattices() {
        let model = Heisenberg { marshall: true, ..Heisenberg::default() };
        for lattice in [Lattice::square(4, 3), Lattice::square(5, 2), Lattice::chain(7)] {
            let error = model.terms(&lattice.periodic()).unwrap_err();
            assert!(error.kind() == ErrorKind::Settings && error.to_string().contains("even sides"), "{error}");
            assert!(model.terms(&lattice).is_ok());
            assert!(Heisenberg { marshall: false, ..model }.terms(&lattice.periodic()).is_ok());
        }
        // An odd side is allowed where it is open.
        assert!(model.terms(&Lattice { periodic: [true, false], ..Lattice::square(4, 3) }).is_ok());
        assert!(model.terms(&Lattice::square(1, 8).periodic()).is_ok());
    }

    #[test]
    fn couplings_that_are_not_finite_are_named() {
        let model = Heisenberg::default();
        for (bad, name) in [
            (Heisenberg { j1: f64::NAN, ..model }, "J1 must be finite, got NaN; give J1="),
            (Heisenberg { j2: f64::INFINITY, ..model }, "J2 must be finite, got inf; give J2="),
        ] {
            let error = bad.terms(&Lattice::square(2, 2)).unwrap_err();
            assert!(error.kind() == ErrorKind::Settings && error.to_string().contains(name), "{error}");
        }
    }
}
