//! State: a wave function with its weights on a lattice and a device.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::model::{Model, Parameters, Precision, Weights};
use crate::physics::{Hamiltonian, Lattice};
use crate::vmc::step::kind::Draws;
use crate::vmc::step::local_energy::{LocalEnergyConfig, LocalEnergyPipeline};
use crate::vmc::step::tables::{TableLimits, check_pairs};

/// A wave function with fixed weights on a device, from which samples and expectation values are computed.
///
/// ```no_run
/// use ketformer::{Gpu, Lattice, Ptf, Rydberg, SampleConfig, State, Weights};
/// # fn main() -> ketformer::Result<()> {
/// let (gpu, lattice, model) = (Gpu::new()?, Lattice::square(4, 4), Ptf::default());
/// let weights = Weights::load("model.safetensors")?;
/// let state = State::new(&gpu, &lattice, &model, &weights);
/// let estimate = state.expect(&Rydberg::default(), SampleConfig::default())?;
/// println!("E = {} ± {}", estimate.energy, estimate.energy_error);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct State<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) lattice: &'a Lattice,
    pub(super) model: &'a dyn Model,
    pub(super) weights: &'a Weights,
    pub(super) precision: Precision,
    pub(super) memory: Option<u64>,
}

/// Number and seed of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleConfig {
    /// Number of samples.
    pub samples: usize,
    /// Seed of the samples. More samples with the same seed begin with the same samples.
    pub seed: u64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { samples: 10_000, seed: 1 }
    }
}

impl<'a> State<'a> {
    /// State in [`Precision::Single`] that uses at most [`Gpu::default_memory`].
    pub fn new(gpu: &'a Gpu, lattice: &'a Lattice, model: &'a dyn Model, weights: &'a Weights) -> Self {
        Self { gpu, lattice, model, weights, precision: Precision::Single, memory: None }
    }

    /// Sets the storage precision of sampling and of connected configurations. [`Precision::Mixed`] is the wave
    /// function of the weights cast to f16.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Sets the maximum GPU memory in bytes; `None` for [`Gpu::default_memory`].
    #[must_use]
    pub fn with_memory(self, memory: Option<u64>) -> Self {
        Self { memory, ..self }
    }

    /// Bytes of GPU memory that passes may use.
    pub(super) fn memory(&self) -> u64 {
        self.memory.unwrap_or(self.gpu.default_memory())
    }

    /// Uploads the weights.
    ///
    /// # Errors
    /// As [`Model::check`] and [`Parameters::write`].
    pub(super) fn parameters(&self, precision: Precision) -> Result<Parameters> {
        self.model.check(self.lattice)?;
        let parameters = Parameters::new(self.gpu, self.model.layout(self.lattice)?, precision)?;
        parameters.write(self.gpu, self.weights)?;
        Ok(parameters)
    }

    /// Creates a local-energy pipeline for batches of `samples` samples. `unique`: whether equal samples are
    /// deduplicated.
    ///
    /// # Errors
    /// As [`crate::vmc::Trainer::new`].
    pub(super) fn pipeline(
        &self,
        hamiltonian: &dyn Hamiltonian,
        samples: usize,
        unique: bool,
    ) -> Result<LocalEnergyPipeline> {
        let parameters = self.parameters(self.precision)?;
        let config = LocalEnergyConfig {
            samples: samples as u32,
            training: false,
            unique,
            memory: self.memory(),
            draws: Draws::Own,
            least_chunk: 1,
        };
        check_pairs(hamiltonian, self.lattice, TableLimits::new(self.gpu, config.memory))?;
        let terms = hamiltonian.terms(self.lattice)?;
        LocalEnergyPipeline::new(self.gpu, self.lattice, &terms, self.model, &parameters, config)
    }
}
