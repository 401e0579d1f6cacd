//! Enumeration of the sector of a wave function: one configuration of every orbit of its symmetries.
//!
//! ```text
//! Σ_σ |ψ(σ)|² x(σ) = Σ_orbits m |ψ(σ)|² x(σ)        m: members of the orbit of σ
//! ```
//!
//! The sum holds if ψ and x are invariant. Symmetries of the network that the Hamiltonian lacks are not used.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::vmc::enumerated::NONE;
use crate::model::Model;
use crate::physics::{Hamiltonian, Lattice, Patching, Symmetry, Terms};

use super::sector::{is_in_sector, occupations};
use super::tables::HostTables;

/// Maximum number of sites, whose 2^N configurations are visited.
const MAX_SITES: usize = 24;
/// Maximum number of orbits.
const MAX_ORBITS: usize = 20_000;

/// One configuration of every orbit of a sector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Enumeration {
    /// Occupations in site order.
    pub configurations: Vec<Vec<u8>>,
    /// Number of members of each orbit.
    pub members: Vec<u32>,
    /// (2^N) index of the orbit of each state, or [`NONE`].
    orbit_of: Vec<u32>,
}

impl Enumeration {
    /// Enumerates the sector of `model` on `lattice` up to its symmetries, as far as `terms` have them.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for more than 24 sites or 20,000 orbits; as [`Model::symmetries`] and
    /// [`Model::exclusions`].
    pub(crate) fn new(model: &dyn Model, lattice: &Lattice, terms: &Terms) -> Result<Self> {
        let sites = lattice.sites();
        let error = |found: String| {
            let message = format!(
                "enumeration: {found}, at most {MAX_ORBITS} on at most {MAX_SITES} sites are enumerated; use the sampler \
                 of the wave function, or a smaller lattice"
            );
            Err(Error::new(ErrorKind::Settings, message))
        };
        if sites > MAX_SITES {
            return error(format!("the configurations of {sites} sites are too many"));
        }
        let is_inside = is_in_sector(model, lattice)?;
        let generators = match model.exclusions(lattice)?.is_empty() {
            true => invariances(model, lattice, terms)?,
            // They need not be symmetries of the excluded pairs.
            false => Vec::new(),
        };
        let mut orbit_of = vec![NONE; 1 << sites];
        let (mut configurations, mut members) = (Vec::new(), Vec::new());
        for state in 0..1 << sites {
            if orbit_of[state] != NONE || !is_inside(state) {
                continue;
            }
            let orbit = Symmetry::orbit(&generators, state);
            orbit.iter().for_each(|member| orbit_of[*member] = members.len() as u32);
            configurations.push(occupations(state, sites));
            members.push(orbit.len() as u32);
            if members.len() > MAX_ORBITS {
                return error(format!("more than {MAX_ORBITS} configurations differ by no symmetry of the network"));
            }
        }
        Ok(Self { configurations, members, orbit_of })
    }

    /// (R, M): index of the configuration that each move of `tables` leads to, up to a symmetry; [`NONE`] where it does
    /// not apply or leaves the sector.
    pub(crate) fn connected(&self, tables: &HostTables, patching: &Patching) -> Vec<u32> {
        let sites_of = |patch: u32, mask: u32| {
            let sites = patching.site_of().iter().skip(patch as usize * patching.sites_per_patch());
            (0..u32::BITS)
                .zip(sites)
                .filter(|(bit, _)| mask >> bit & 1 == 1)
                .fold(0, |sites, (_, site)| sites | 1 << site)
        };
        let moves: Vec<[usize; 2]> = tables
            .moves
            .iter()
            .map(|[first, mask, second, other]| {
                [sites_of(*first, *mask), if *other == 0 { 0 } else { sites_of(*second, *other) }]
            })
            .collect();
        let mut connected = Vec::with_capacity(self.configurations.len() * moves.len());
        for configuration in &self.configurations {
            let state: usize = configuration.iter().zip(0..).map(|(n, site)| usize::from(*n) << site).sum();
            for ([first, second], [_, condition]) in moves.iter().zip(&tables.starts) {
                let holds = *condition == 0 || (state & first == 0) != (state & second == 0);
                connected.push(if holds { self.orbit_of[state ^ first ^ second] } else { NONE });
            }
        }
        connected
    }
}

/// Number of configurations of which a full sum consists ([`crate::vmc::Sampling::FullSum`]).
///
/// # Errors
/// [`ErrorKind::Settings`] for more than 24 sites or 20,000 configurations; as [`Hamiltonian::terms`] and
/// [`Model::check`].
pub fn enumerated_configurations(model: &dyn Model, lattice: &Lattice, hamiltonian: &dyn Hamiltonian) -> Result<usize> {
    model.check(lattice)?;
    Ok(Enumeration::new(model, lattice, &hamiltonian.terms(lattice)?)?.members.len())
}

/// Symmetries of the network that leave `terms` invariant.
fn invariances(model: &dyn Model, lattice: &Lattice, terms: &Terms) -> Result<Vec<Symmetry>> {
    let all: Vec<Symmetry> = model.symmetries(lattice)?.into_iter().map(|(_, symmetry)| symmetry).collect();
    let holds = Symmetry::of_terms(&all, terms);
    Ok(all.into_iter().zip(holds).filter(|(_, holds)| *holds).map(|(symmetry, _)| symmetry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Metropolis, Proposal, Ptf, Rbm, Vit};
    use crate::physics::{Heisenberg, Patch, Tfim};

    fn of(model: &dyn Model, hamiltonian: &dyn Hamiltonian, lattice: Lattice) -> Result<Enumeration> {
        Enumeration::new(model, &lattice, &hamiltonian.terms(&lattice).unwrap())
    }

    fn vit(patch: Patch, proposal: Proposal) -> Vit {
        let sampling = Metropolis { proposal, ..Vit::default_sampling() };
        Vit { patch, width: 8, heads: 2, layers: 1, sampling, ..Vit::default() }
    }

    fn total(enumeration: &Enumeration) -> u32 {
        enumeration.members.iter().sum()
    }

    /// Necklaces of 16 beads of two colors, 8 of each: 810. All necklaces of 10 beads: 108.
    #[test]
    fn orbits_of_translations_are_necklaces() {
        let chain = Lattice::chain(16).periodic();
        let necklaces = of(&vit(Patch::Line(1), Proposal::Exchange), &Heisenberg::default(), chain).unwrap();
        assert_eq!((necklaces.members.len(), total(&necklaces)), (810, 12_870));
        let all = of(&vit(Patch::Line(1), Proposal::Flip), &Tfim::default(), Lattice::chain(10).periodic()).unwrap();
        assert_eq!((all.members.len(), total(&all)), (108, 1024));
    }

    #[test]
    fn an_open_chain_and_a_network_without_symmetries_have_orbits_of_one_member() {
        let open = of(&vit(Patch::Line(1), Proposal::Flip), &Tfim::default(), Lattice::chain(8)).unwrap();
        assert_eq!(open.members, vec![1; 256]);
        let metropolis = Metropolis { proposal: Proposal::Exchange, ..Metropolis::default() };
        let rbm = Rbm { sampling: metropolis, ..Rbm::default() };
        let chain = Lattice::chain(8).periodic();
        assert_eq!(of(&rbm, &Heisenberg::default(), chain).unwrap().members, vec![1; 70]);
    }

    #[test]
    fn sectors_that_are_too_large_are_refused() {
        let message = |lattice| of(&Ptf::default(), &Tfim::default(), lattice).unwrap_err().to_string();
        assert!(message(Lattice::chain(16)).contains("more than 20000"));
        assert!(message(Lattice::chain(26)).contains("26 sites"));
    }
}
