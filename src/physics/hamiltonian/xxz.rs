//! The XXZ model of spins ½ in a longitudinal and a transverse field.

use super::{Hamiltonian, Move, Pair, Terms, check_couplings, check_sublattices};
use crate::error::Result;
use crate::physics::{Lattice, Order};

/// `H = J Σ_<ab> (Sˣ_a Sˣ_b + Sʸ_a Sʸ_b + Δ Sᶻ_a Sᶻ_b) − h_z Σ_i Sᶻ_i − h_x Σ_i Sˣ_i` with `S = σ/2`, `n = ½ + Sᶻ`; each
/// bond of [`Lattice::bonds`] once.
///
/// `Δ = 1` is the Heisenberg model, `Δ = 0` the XY model, which is one of free fermions on a chain (Lieb, Schultz &
/// Mattis, Ann. Phys. 16, 407 (1961)). Without `h_x` the magnetization is conserved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Xxz {
    /// `J`, the coupling of neighbors in the plane; positive for an antiferromagnet.
    pub j: f64,
    /// `Δ`, the anisotropy: the coupling along z in units of `J`.
    pub delta: f64,
    /// `h_z`, the longitudinal field.
    pub hz: f64,
    /// `h_x`, the transverse field. If it is negative, the terms are those after a rotation of all sites by π about z,
    /// which changes its sign, no energy and no diagonal observable.
    pub hx: f64,
    /// Whether to rotate one sublattice of the checkerboard by π about z, `ψ(σ) → (−1)^(spins up there) ψ(σ)`. The
    /// rotation changes the sign of every exchange and of the transverse field on that sublattice, and no energy.
    pub marshall: bool,
}

impl Default for Xxz {
    /// `J = 1`, `Δ = 1`, no fields, not rotated.
    fn default() -> Self {
        Self { j: 1.0, delta: 1.0, hz: 0.0, hx: 0.0, marshall: false }
    }
}

impl Hamiltonian for Xxz {
    fn name(&self) -> &'static str {
        "xxz"
    }

    /// `J Δ SᶻSᶻ = J Δ (n − ½)(n − ½)`, `J (SˣSˣ + SʸSʸ) = (J/2)(S⁺S⁻ + S⁻S⁺)`, `Sˣ = σˣ/2`.
    fn terms(&self, lattice: &Lattice) -> Result<Terms> {
        lattice.check()?;
        check_couplings(self, &[("J", self.j), ("Delta", self.delta), ("hz", self.hz), ("hx", self.hx)])?;
        if self.marshall {
            check_sublattices(self, lattice)?;
        }
        let sites = lattice.sites();
        let mut terms =
            Terms { constant: 0.5 * self.hz * sites as f64, field: vec![-self.hz; sites], ..Terms::default() };
        let is_turned = |site| self.marshall && lattice.sublattice_sign(site) < 0.0;
        let along_z = self.j * self.delta;
        for [a, b] in lattice.bonds() {
            terms.constant += 0.25 * along_z;
            terms.field[a] -= 0.5 * along_z;
            terms.field[b] -= 0.5 * along_z;
            terms.pairs.push(Pair { sites: [a, b], coefficient: along_z });
            if self.j != 0.0 {
                let turned = is_turned(a) != is_turned(b);
                terms.moves.push(Move::exchange(a, b, 0.5 * self.j).after_rotation(turned));
            }
        }
        if self.hx != 0.0 {
            let flip = |site| Move::flip(site, -0.5 * self.hx).after_rotation(is_turned(site) != (self.hx < 0.0));
            terms.moves.extend((0..sites).map(flip));
        }
        terms.check()?;
        Ok(terms)
    }

    /// Staggered if the coupling along z is antiferromagnetic or zero, `J Δ ≥ 0`, otherwise uniform.
    fn order(&self) -> Order {
        if self.j * self.delta < 0.0 { Order::Uniform } else { Order::Staggered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::physics::{Heisenberg, ground_state};

    fn energy(model: &Xxz, lattice: Lattice) -> f64 {
        ground_state(&model.terms(&lattice).unwrap(), lattice.sites()).unwrap().energy
    }

    #[test]
    fn the_isotropic_model_is_the_heisenberg_model() {
        for (marshall, lattice) in [(false, Lattice::square(3, 3)), (true, Lattice::square(4, 4))] {
            let lattice = lattice.periodic();
            let terms = Xxz { j: 1.5, marshall, ..Xxz::default() }.terms(&lattice).unwrap();
            assert_eq!(terms, Heisenberg { j1: 1.5, j2: 0.0, marshall }.terms(&lattice).unwrap());
        }
    }

    #[test]
    fn one_spin_follows_its_fields() {
        let model = Xxz { hx: 1.2, hz: -0.9, ..Xxz::default() };
        assert!((energy(&model, Lattice::chain(1)) + 0.5 * 1.2f64.hypot(0.9)).abs() < 1e-12);
    }

    /// Levels of two spins: `JΔ/4 ∓ h_z` if parallel, `−JΔ/4 ∓ J/2` otherwise.
    #[test]
    fn two_spins_cross_over_in_a_longitudinal_field() {
        let of = |hz| energy(&Xxz { j: 1.0, delta: 0.4, hz, ..Xxz::default() }, Lattice::chain(2));
        assert!((of(0.2) + 0.1 + 0.5).abs() < 1e-12 && (of(2.0) - 0.1 + 2.0).abs() < 1e-12);
        assert!((of(-2.0) - of(2.0)).abs() < 1e-12);
    }

    /// `E = J Σ_k cos k` over the negative levels, `k = π m / (N + 1)` on an open chain.
    #[test]
    fn the_xy_chain_is_one_of_free_fermions() {
        for sites in [5, 8] {
            let level = |m: usize| (std::f64::consts::PI * m as f64 / (sites + 1) as f64).cos();
            let exact: f64 = (1..=sites).map(level).filter(|level| *level < 0.0).sum();
            let model = Xxz { j: 1.7, delta: 0.0, ..Xxz::default() };
            assert!((energy(&model, Lattice::chain(sites)) - 1.7 * exact).abs() < 1e-10, "{sites}");
        }
    }

    #[test]
    fn the_rotation_conserves_energies() {
        let plain = Xxz { j: 0.8, delta: 0.6, hx: 0.5, hz: 0.3, marshall: false };
        let rotated = Xxz { marshall: true, ..plain };
        for lattice in [Lattice::square(2, 3), Lattice::square(4, 2).periodic()] {
            assert!((energy(&plain, lattice) - energy(&rotated, lattice)).abs() < 1e-10, "{lattice}");
        }
        let of = |model: Xxz| model.terms(&Lattice::chain(4)).unwrap();
        assert!(!of(plain).is_stoquastic() && of(Xxz { hx: 0.0, ..rotated }).is_stoquastic());
        assert!(of(Xxz { hx: 0.0, ..plain }).conserves_magnetization() && !of(plain).conserves_magnetization());
    }

    #[test]
    fn bad_couplings_and_lattices_are_named() {
        let message = |model: Xxz, lattice: Lattice| {
            let error = model.terms(&lattice).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings);
            error.to_string()
        };
        let xxz = Xxz::default();
        for (bad, name) in [
            (Xxz { delta: f64::NAN, ..xxz }, "Delta must be finite, got NaN; give Delta="),
            (Xxz { hx: f64::INFINITY, ..xxz }, "hx must be finite, got inf; give hx="),
        ] {
            assert!(message(bad, Lattice::chain(2)).contains(name));
        }
        let odd = Lattice::chain(5).periodic();
        assert!(message(Xxz { marshall: true, ..xxz }, odd).starts_with("xxz: the Marshall rotation"));
    }
}
