//! Change of the couplings between steps.

use super::optimizer::Sampling;
use super::trainer::{Method, Trainer};
use crate::error::{Error, ErrorKind, Result};
use crate::physics::Hamiltonian;
use crate::vmc::step::tables::{HostTables, TableLimits};

impl Trainer {
    /// Replaces the Hamiltonian by one with other couplings, such as another detuning. The next step continues from the
    /// present weights, optimizer state and Markov chains, with the next step number. Nothing is compiled, and the buffers
    /// stay. A step that [`Trainer::advance`] recorded in part begins again.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the terms act on other sites, the constant or the exclusions differ, or a coupling
    /// vanishes or appears, and for [`Sampling::FullSum`] and [`Sampling::Exact`], in which case nothing is changed; as
    /// [`Trainer::new`].
    pub fn set_hamiltonian(&mut self, hamiltonian: &dyn Hamiltonian) -> Result<()> {
        self.known.check()?;
        if self.config.sampling != Sampling::Own {
            let message = "Trainer::set_hamiltonian: the enumerated configurations are those of the symmetries of their \
                           Hamiltonian; create a Trainer for the other one";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let pipeline = &self.pipeline;
        let terms = hamiltonian.terms(&pipeline.patching.lattice())?;
        let limits = TableLimits::new(&self.gpu, self.config.memory.unwrap_or(self.gpu.default_memory()));
        let is_complex = pipeline.parts == 2;
        let has_suffixes = pipeline.sampler.network().is_some();
        let host = HostTables::new(&terms, &pipeline.patching, has_suffixes, is_complex, limits)?;
        pipeline.tables.write_couplings(&self.gpu, &host)?;
        if let Method::Reconfiguration(method) = &self.method {
            method.forget_energies();
        }
        self.discard_partial()
    }
}
