//! Whether the symmetries and the sector of a wave function admit the ground state of a Hamiltonian.
//!
//! A network with exact symmetries ([`Model::symmetries`]) represents invariant states only. No training reaches the
//! ground state of a Hamiltonian that lacks the symmetries, or whose ground state is invariant only up to a sign or a
//! momentum; the energy then converges to that of the lowest invariant state, which can be an excited eigenstate of
//! vanishing variance.
//!
//! Three facts decide. The terms are compared with their images under each symmetry, on any lattice. If they have a
//! sign rule ([`SignRule`]), the sign of the ground state under each symmetry is known, on any lattice. On lattices of
//! at most [`MAX_SUBSPACE_SITES`] sites, the lowest energy of the subspace is compared with that of the ground state.

use super::Model;
use crate::error::Result;
use crate::physics::{Lattice, MAX_SUBSPACE_SITES, SignRule, Subspace, Symmetry, Terms, ground_energy};

/// Reason why a wave function cannot represent the ground state of a Hamiltonian.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Shortfall {
    /// The Hamiltonian is not invariant under these symmetries of the wave function, given by their names.
    BrokenSymmetry {
        /// Names of the symmetries.
        names: Vec<String>,
        /// Energies, on small lattices.
        gap: Option<Gap>,
    },
    /// The Hamiltonian is invariant under all symmetries of the wave function, and its ground state is not.
    OtherRepresentation {
        /// Names of the symmetries under which the ground state changes its sign; of all symmetries of the wave function
        /// if the sign is not known.
        names: Vec<String>,
        /// Whether the ground state is known to change its sign under these symmetries.
        is_odd: bool,
        /// Energies, on small lattices.
        gap: Option<Gap>,
    },
    /// The ground state has another number of occupied sites than the sector of the wave function.
    OtherSector {
        /// Energies.
        gap: Gap,
    },
}

/// Lowest energies of the whole lattice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// Minimum over the states that the symmetries and the sector of the wave function admit.
    pub reachable: f64,
    /// Energy of the ground state.
    pub ground: f64,
}

/// Difference of two energies, in units of [`Terms::bound`], from which they count as different.
const DIFFERENT: f64 = 1e-8;

/// Returns why `model` cannot represent the ground state of `terms` on `lattice`; `None` if no reason is known. `exact`
/// is the energy of the ground state, which is computed if it is needed and `None`.
///
/// # Errors
/// As [`Model::symmetries`]; as [`Subspace::lowest_energy`] and [`ground_energy`] for terms that fail [`Terms::check`].
pub fn shortfall(model: &dyn Model, lattice: &Lattice, terms: &Terms, exact: Option<f64>) -> Result<Option<Shortfall>> {
    let (names, generators): (Vec<String>, Vec<Symmetry>) = model.symmetries(lattice)?.into_iter().unzip();
    let excitations = model.conserves_magnetization().then_some(terms.sites() / 2);
    if generators.is_empty() && excitations.is_none() {
        return Ok(None);
    }
    let select = |keep: &dyn Fn(usize) -> bool| {
        names.iter().enumerate().filter(|(index, _)| keep(*index)).map(|(_, name)| name.clone()).collect::<Vec<_>>()
    };
    let invariant = Symmetry::of_terms(&generators, terms);
    let broken = select(&|index| !invariant[index]);
    let rule = SignRule::new(terms, excitations);
    let sign = |g: &Symmetry| rule.as_ref().and_then(|rule| rule.sign_under(g));
    let odd = if broken.is_empty() { select(&|index| sign(&generators[index]) == Some(-1)) } else { Vec::new() };

    // By the sign rule of the whole ground state, every symmetry leaves it as it is.
    let is_whole = excitations.is_none() && !terms.conserves_magnetization();
    if is_whole && broken.is_empty() && generators.iter().all(|g| sign(g) == Some(1)) {
        return Ok(None);
    }
    let bound = terms.bound();
    let mut gap = None;
    if terms.sites() <= MAX_SUBSPACE_SITES {
        let ground = exact.map_or_else(|| ground_energy(terms, terms.sites()), Ok)?;
        let of = |generators: Vec<Symmetry>| Subspace { generators, excitations }.lowest_energy(terms);
        let is_above = |energy: f64| energy - ground > DIFFERENT * bound;
        let is_symmetric = !generators.is_empty();
        let reachable = of(generators)?;
        if is_above(reachable) {
            // The invariant states of the sector are states of the sector.
            let of_sector = match excitations {
                Some(_) if is_symmetric => of(Vec::new())?,
                Some(_) => reachable,
                None => ground,
            };
            if is_above(of_sector) {
                return Ok(Some(Shortfall::OtherSector { gap: Gap { reachable: of_sector, ground } }));
            }
            gap = Some(Gap { reachable, ground });
        }
    }
    Ok(match (broken.is_empty(), odd.is_empty()) {
        (false, _) => Some(Shortfall::BrokenSymmetry { names: broken, gap }),
        (true, false) => Some(Shortfall::OtherRepresentation { names: odd, is_odd: true, gap }),
        (true, true) => gap.map(|gap| Shortfall::OtherRepresentation { names, is_odd: false, gap: Some(gap) }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Metropolis, Proposal, Ptf, Rbm, Sector, Vit, VitAttention};
    use crate::physics::{Hamiltonian, Heisenberg, Move, Patch, Rydberg, Tfim, Xxz};

    fn vit(patch: usize, proposal: Proposal) -> Vit {
        let sampling = Metropolis { proposal, ..Vit::default_sampling() };
        Vit { patch: Patch::Block([patch, 1]), width: 8, heads: 2, layers: 1, sampling, ..Vit::default() }
    }

    fn of(model: &dyn Model, hamiltonian: &dyn Hamiltonian, lattice: Lattice) -> Option<Shortfall> {
        shortfall(model, &lattice, &hamiltonian.terms(&lattice).unwrap(), None).unwrap()
    }

    #[test]
    fn terms_that_lack_a_symmetry_of_the_network_are_named() {
        let flips = vit(1, Proposal::Flip);
        let square = Lattice::square(3, 3);
        let Some(Shortfall::BrokenSymmetry { names, gap: Some(gap) }) = of(&flips, &Rydberg::default(), square) else {
            panic!("an open lattice has no translations");
        };
        assert_eq!(names, ["translation along x by 1 site", "translation along y by 1 site"]);
        assert!((gap.reachable + 3.6897).abs() < 1e-4 && (gap.ground + 4.7959).abs() < 1e-4, "{gap:?}");
        // A lattice too large for exact energies, and a cylinder.
        let large = of(&flips, &Rydberg::default(), Lattice::square(10, 10));
        assert!(matches!(large, Some(Shortfall::BrokenSymmetry { gap: None, .. })));
        let cylinder = Lattice { periodic: [true, false], ..Lattice::square(6, 6) };
        let Some(Shortfall::BrokenSymmetry { names, .. }) = of(&flips, &Tfim::default(), cylinder) else { panic!() };
        assert_eq!(names, ["translation along y by 1 site"]);
        // A defect in a field or a coupling of a periodic lattice.
        for change in [0, 1, 2] {
            let lattice = Lattice::square(5, 4).periodic();
            let mut terms = Tfim::default().terms(&lattice).unwrap();
            match change {
                0 => terms.field[3] += 0.1,
                1 => terms.pairs[3].coefficient += 0.1,
                _ => terms.moves.push(Move::flip(2, -0.1)),
            }
            let found = shortfall(&flips, &lattice, &terms, None).unwrap();
            assert!(matches!(found, Some(Shortfall::BrokenSymmetry { .. })), "{change}");
        }
        // Without the symmetry there is no objection.
        let softmax = Vit { attention: VitAttention::Softmax, ..flips.clone() };
        assert_eq!(of(&softmax, &Rydberg::default(), square), None);
        assert_eq!(of(&flips, &Tfim::default(), square.periodic()), None);
        assert_eq!(of(&Rbm::default(), &Rydberg::default(), square), None);
        assert_eq!(of(&Ptf::default(), &Rydberg::default(), Lattice::square(4, 4)), None);
    }

    #[test]
    fn the_momentum_of_the_ground_state_decides() {
        let plain = Heisenberg::default();
        let marshall = Heisenberg { marshall: true, ..plain };
        let exchange = |patch| vit(patch, Proposal::Exchange);
        for (sites, patch, hamiltonian, is_odd) in [
            (6, 1, &plain as &dyn Hamiltonian, true),
            (6, 2, &plain, false),
            (6, 1, &marshall, false),
            (6, 3, &plain, true),
            (8, 1, &plain, false),
            (10, 1, &plain, true),
            (10, 5, &plain, true),
            // Too large for exact energies.
            (42, 1, &plain, true),
            (42, 2, &plain, false),
            (44, 1, &plain, false),
            (42, 1, &Xxz::default(), true),
        ] {
            let lattice = Lattice::chain(sites).periodic();
            match of(&exchange(patch), hamiltonian, lattice) {
                Some(Shortfall::OtherRepresentation { is_odd: true, names, gap }) => {
                    assert!(is_odd, "{sites} {patch}");
                    assert_eq!(names.len(), 1);
                    assert_eq!(gap.is_some(), sites <= 16);
                }
                found => assert!(found.is_none() && !is_odd, "{sites} {patch}: {found:?}"),
            }
        }
        // A frustrated ring, whose signs no rule gives: Majumdar & Ghosh at J2 = J1/2, momenta 0 and π degenerate.
        let frustrated = |j2| Heisenberg { j2, ..plain };
        assert_eq!(of(&exchange(1), &frustrated(0.5), Lattice::chain(6).periodic()), None);
        let found = of(&exchange(1), &frustrated(0.3), Lattice::chain(6).periodic());
        assert!(matches!(found, Some(Shortfall::OtherRepresentation { is_odd: false, gap: Some(_), .. })), "{found:?}");
    }

    #[test]
    fn a_sector_without_the_ground_state_is_named() {
        let easy_axis = Xxz { j: -1.0, delta: 3.0, ..Xxz::default() };
        let sector = Ptf { sector: Sector::ZeroMagnetization, ..Ptf::default() };
        let lattice = Lattice::square(2, 4);
        assert!(matches!(of(&sector, &easy_axis, lattice), Some(Shortfall::OtherSector { .. })));
        assert_eq!(of(&Ptf::default(), &easy_axis, lattice), None);
        assert_eq!(of(&sector, &Heisenberg { marshall: true, ..Heisenberg::default() }, lattice), None);
    }
}
