//! Blockade of an autoregressive wave function: configurations in which two occupied sites are closer than a radius have
//! probability 0.
//!
//! Outcomes of a patch that conflict with an earlier patch, or within themselves, are excluded, so that Σ P = 1 over the
//! other configurations ([`crate::kernels::vmc::exclusions`]). The empty patch is never excluded. The parameters are
//! those of the wave function without the blockade.

use std::collections::HashSet;

use super::{AttentionLayers, Capacity, Layout, Metropolis, Model, Parameters, WaveFunction};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::physics::{Lattice, Patching, Symmetry, Terms, excluded_pairs};

/// A wave function in the subspace of a blockade, for Hamiltonians of the same subspace
/// ([`crate::physics::Blockade`]).
pub struct Blockaded {
    /// The wave function without the blockade.
    pub model: Box<dyn Model>,
    /// Largest distance of two sites that are not occupied together, in units of the lattice spacing; at least 1.
    pub radius: f64,
}

impl Model for Blockaded {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn patching(&self, lattice: &Lattice) -> Result<Patching> {
        self.model.patching(lattice)
    }

    fn check(&self, lattice: &Lattice) -> Result<()> {
        let error = |text: &str| {
            let message = format!("{}: a blockade {text}", self.name());
            Err(Error::new(ErrorKind::Settings, message))
        };
        if self.chains().is_some() {
            return error(
                "excludes outcomes of patches, which a wave function with Markov chains does not have; give a ptf, an \
                 rnn or an lptf, or leave the blockade out",
            );
        }
        if self.conserves_magnetization() {
            return error(
                "leaves no sector with half of the sites occupied; give sector=all, or leave the blockade out",
            );
        }
        self.exclusions(lattice)?;
        self.model.check(lattice)
    }

    fn is_complex(&self) -> bool {
        self.model.is_complex()
    }

    fn conserves_magnetization(&self) -> bool {
        self.model.conserves_magnetization()
    }

    fn exclusions(&self, lattice: &Lattice) -> Result<Vec<[usize; 2]>> {
        excluded_pairs(lattice, self.radius)
    }

    fn symmetries(&self, lattice: &Lattice) -> Result<Vec<(String, Symmetry)>> {
        self.model.symmetries(lattice)
    }

    fn chains(&self) -> Option<&Metropolis> {
        self.model.chains()
    }

    fn attention(&self, lattice: &Lattice) -> Result<Option<AttentionLayers>> {
        self.model.attention(lattice)
    }

    fn training_rows(&self, patching: &Patching) -> u32 {
        self.model.training_rows(patching)
    }

    fn layout(&self, lattice: &Lattice) -> Result<Layout> {
        self.model.layout(lattice)
    }

    fn network(
        &self,
        gpu: &Gpu,
        lattice: &Lattice,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<WaveFunction> {
        self.model.network(gpu, lattice, parameters, capacity)
    }
}

/// Checks that the exclusions of `terms` are those of `model`, so that no sample lies outside of the subspace of the
/// Hamiltonian.
///
/// # Errors
/// [`ErrorKind::Settings`] with a pair of sites that only the Hamiltonian excludes.
pub fn check_exclusions(model: &dyn Model, lattice: &Lattice, terms: &Terms) -> Result<()> {
    if terms.exclusions.is_empty() {
        return Ok(());
    }
    let own: HashSet<[usize; 2]> = model.exclusions(lattice)?.into_iter().collect();
    match terms.exclusions.iter().find(|[a, b]| !own.contains(&[*a.min(b), *a.max(b)])) {
        None => Ok(()),
        Some([a, b]) => {
            let message = format!(
                "{}: the Hamiltonian excludes that the sites {a} and {b} are occupied together, and the wave function \
                 does not; give a Blockaded wave function of the same radius",
                model.name()
            );
            Err(Error::new(ErrorKind::Settings, message))
        }
    }
}
