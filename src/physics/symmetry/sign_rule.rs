//! Sign rules of ground states: the signs (−1)^(occupied sites of A) of a sublattice A that make a Hamiltonian
//! stoquastic, such as those of Marshall (Proc. R. Soc. A 232, 48 (1955)).
//!
//! With these signs no off-diagonal amplitude is positive, so by Perron and Frobenius the ground state of a sector that
//! the off-diagonal terms connect is `ψ(σ) = (−1)^(occupied sites of A) |ψ(σ)|` and unique. Its sign under a symmetry
//! follows for a lattice of any size. On a periodic chain of N sites with antiferromagnetic exchange, a translation by
//! one site exchanges A with the other sublattice and changes the sign if N/2 is odd.

use std::collections::VecDeque;

use super::Symmetry;
use super::coefficients::Coefficients;
use crate::physics::{MoveCondition, Terms};

/// Sign rule of the ground state of a Hamiltonian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignRule {
    /// Whether a site is on A.
    on_sublattice: Vec<bool>,
    /// Number of occupied sites; `None` if it is not conserved.
    excitations: Option<usize>,
}

impl SignRule {
    /// The sign rule of the ground state of `terms` within the configurations of `excitations` occupied sites, or of
    /// the whole ground state. `None` if the off-diagonal terms are frustrated or do not connect all sites, or if the
    /// number of occupied sites is conserved, not given and not known.
    ///
    /// If it is not given, the number is N/2 for exchanges between two sublattices that are invariant under a spin flip
    /// and not ferromagnetic along z (Lieb & Mattis, J. Math. Phys. 3, 749 (1962)).
    pub fn new(terms: &Terms, excitations: Option<usize>) -> Option<Self> {
        let on_sublattice = sublattice(terms)?;
        let excitations = match (terms.conserves_magnetization(), excitations) {
            (false, _) => None,
            (true, Some(excitations)) => Some(excitations),
            (true, None) => Some(half_filling(terms)?),
        };
        Some(Self { on_sublattice, excitations })
    }

    /// The sign of ψ(gσ)/ψ(σ), which is the same for all σ; `None` if the rule does not determine it.
    ///
    /// # Panics
    /// If `symmetry` is of another number of sites.
    pub fn sign_under(&self, symmetry: &Symmetry) -> Option<i8> {
        let Self { on_sublattice, excitations } = self;
        let mut differs = on_sublattice.clone();
        for (&on, &from) in on_sublattice.iter().zip(&symmetry.from) {
            differs[from as usize] ^= on;
        }
        let of_flip = if symmetry.flips { on_sublattice.iter().filter(|on| **on).count() } else { 0 };
        let odd = match (differs.iter().filter(|differs| **differs).count(), excitations) {
            (0, _) => of_flip,
            (all, Some(excitations)) if all == differs.len() => of_flip + excitations,
            _ => return None,
        };
        Some(if odd.is_multiple_of(2) { 1 } else { -1 })
    }
}

/// Sites of A, from the signs of the amplitudes: a positive one connects A with the other sublattice, a flip of a single
/// site connects the site with a reference that is not on A.
fn sublattice(terms: &Terms) -> Option<Vec<bool>> {
    let sites = terms.sites();
    let mut neighbors: Vec<Vec<(usize, bool)>> = vec![Vec::new(); sites + 1];
    for ((pair, _), amplitude) in Coefficients::of(terms, false).moves {
        let [a, b] = pair.map(|site| site as usize);
        let b = if a == b { sites } else { b };
        if amplitude != 0.0 {
            neighbors[a].push((b, amplitude > 0.0));
            neighbors[b].push((a, amplitude > 0.0));
        }
    }
    let first = if neighbors[sites].is_empty() { 0 } else { sites };
    let mut on: Vec<Option<bool>> = vec![None; sites + 1];
    on[first] = Some(false);
    let mut left = VecDeque::from([(first, false)]);
    while let Some((site, here)) = left.pop_front() {
        for &(other, crosses) in &neighbors[site] {
            match on[other] {
                Some(there) if there != here ^ crosses => return None,
                Some(_) => (),
                None => {
                    on[other] = Some(here ^ crosses);
                    left.push_back((other, here ^ crosses));
                }
            }
        }
    }
    on.truncate(sites);
    on.into_iter().collect()
}

/// N/2 if it is the number of occupied sites of the ground state of exchanges with a sign rule.
fn half_filling(terms: &Terms) -> Option<usize> {
    let sites = terms.sites();
    let flip = Symmetry { from: (0..sites as u32).collect(), flips: true };
    let is_even = sites.is_multiple_of(2) && Symmetry::of_terms(&[flip], terms) == [true];
    let Coefficients { pairs, moves, .. } = Coefficients::of(terms, false);
    let exchange = |sites: &[u32; 2]| moves.get(&(*sites, MoveCondition::Antiparallel)).copied().unwrap_or(0.0).abs();
    let is_planar = pairs.iter().all(|(sites, pair)| *pair >= -2.0 * exchange(sites) * (1.0 - 1e-9));
    (is_even && is_planar).then_some(sites / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Hamiltonian, Heisenberg, Lattice, Move, Rydberg, Tfim, Xxz, ground_state};

    #[test]
    fn rings_of_4n_plus_2_sites_are_odd_under_a_translation() {
        for sites in [4, 6, 8, 10, 12, 14, 102] {
            let lattice = Lattice::chain(sites).periodic();
            let sign = |hamiltonian: &dyn Hamiltonian, steps: usize| {
                let rule = SignRule::new(&hamiltonian.terms(&lattice).unwrap(), None)?;
                rule.sign_under(&Symmetry::translation(&lattice, [steps, 0]))
            };
            let odd = if sites % 4 == 2 { -1 } else { 1 };
            assert_eq!(sign(&Heisenberg::default(), 1), Some(odd), "{sites}");
            assert_eq!(sign(&Heisenberg::default(), 2), Some(1), "{sites}");
            assert_eq!(sign(&Heisenberg { marshall: true, ..Heisenberg::default() }, 1), Some(1));
            assert_eq!(sign(&Tfim::default(), 1), Some(1));
            assert_eq!(sign(&Heisenberg { j2: 0.5, ..Heisenberg::default() }, 1), None, "frustrated");
            assert_eq!(sign(&Rydberg { omega: 0.0, ..Rydberg::default() }, 1), None, "not connected");
        }
    }

    /// The rule agrees with exact diagonalization for every named symmetry of small lattices.
    #[test]
    fn signs_are_those_of_the_exact_ground_state() {
        let lattices = [Lattice::chain(6).periodic(), Lattice::square(2, 3), Lattice::chain(10), Lattice::square(2, 4)];
        for lattice in lattices {
            for hamiltonian in [&Heisenberg::default() as &dyn Hamiltonian, &Xxz::default(), &Tfim::default()] {
                let terms = hamiltonian.terms(&lattice).unwrap();
                let state = ground_state(&terms, lattice.sites()).unwrap().state;
                let rule = SignRule::new(&terms, None).unwrap();
                for (name, g) in crate::physics::named_symmetries(&terms, &lattice).unwrap() {
                    let overlap: f64 = (0..state.len()).map(|s| state[s] * state[g.image_of_state(s)]).sum();
                    let sign = rule.sign_under(&g).map(f64::from);
                    assert!(sign.is_some_and(|sign| (sign - overlap).abs() < 1e-6), "{lattice} {name}: {overlap}");
                }
            }
        }
    }

    #[test]
    fn a_positive_flip_and_an_unknown_filling() {
        let mut terms = Tfim::default().terms(&Lattice::chain(4).periodic()).unwrap();
        terms.moves.iter_mut().for_each(|step| step.amplitude = step.amplitude.abs());
        let translation = Symmetry::translation(&Lattice::chain(4), [1, 0]);
        assert_eq!(SignRule::new(&terms, None).unwrap().sign_under(&translation), Some(1));
        // A single site of positive amplitude: a translation is no symmetry, and the rule does not invent a sign.
        terms.moves[1..].iter_mut().for_each(|step| step.amplitude *= -1.0);
        assert_eq!(SignRule::new(&terms, None).unwrap().sign_under(&translation), None);
        // A ferromagnet along z is polarized; in the plane the filling is that of the sector.
        let ferromagnet = Terms {
            pairs: vec![crate::physics::Pair { sites: [0, 1], coefficient: -9.0 }],
            moves: vec![Move::exchange(0, 1, 0.5)],
            field: vec![4.5; 2],
            ..Terms::default()
        };
        assert_eq!(SignRule::new(&ferromagnet, None), None);
        let exchange = Symmetry::translation(&Lattice::chain(2), [1, 0]);
        assert_eq!(SignRule::new(&ferromagnet, Some(1)).unwrap().sign_under(&exchange), Some(-1));
    }
}
