//! Amplitudes and local energies of fixed configurations, in chunks.

use super::buffers::SampleSource;
use super::local_energy::LocalEnergyPipeline;
use crate::error::Result;
use crate::gpu::{Gpu, Plan};
use crate::kernels::vmc::energy::Column;
use crate::physics::Hamiltonian;
use crate::vmc::state::State;

/// Maximum number of configurations per chunk.
const CHUNK: usize = 1024;

/// Local-energy plan for fixed configurations instead of drawn samples.
pub(crate) struct FixedConfigurations {
    gpu: Gpu,
    pipeline: LocalEnergyPipeline,
    plan: Plan,
    /// Number of configurations per run.
    pub chunk: usize,
}

/// Amplitudes and local energies of a chunk.
pub(crate) struct FixedValues {
    /// log |ψ|² of each configuration.
    pub log_p: Vec<f64>,
    /// Phase of each configuration in radians.
    pub phase: Vec<f64>,
    /// Real and imaginary part of the local energy of each configuration.
    pub energy: Vec<[f64; 2]>,
}

impl FixedConfigurations {
    /// Records the plan for chunks of at most `configurations` configurations.
    ///
    /// # Errors
    /// As [`crate::vmc::Trainer::new`].
    pub(crate) fn new(state: &State<'_>, hamiltonian: &dyn Hamiltonian, configurations: usize) -> Result<Self> {
        // `ratio` holds one group, so a chunk must be a single group.
        let mut chunk = configurations.clamp(1, CHUNK);
        let mut whole = state.pipeline(hamiltonian, chunk, true)?;
        while whole.sizes.groups(whole.samples) > 1 {
            chunk = whole.sizes.group as usize;
            whole = state.pipeline(hamiltonian, chunk, true)?;
        }
        let mut plan = Plan::new(state.gpu);
        whole.record(&mut plan, SampleSource::Fixed)?;
        Ok(Self { gpu: state.gpu.clone(), pipeline: whole, plan, chunk })
    }

    /// Computes amplitudes and local energies of at most [`FixedConfigurations::chunk`] configurations, each of N
    /// occupations in site order. The caller checks the configurations.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn run(&self, configurations: &[Vec<u8>]) -> Result<FixedValues> {
        let Self { gpu, pipeline, .. } = self;
        pipeline.write_configurations(configurations)?;
        self.plan.run()?;
        let count = configurations.len();
        let values = gpu.block_on(pipeline.read_values())?;
        let parts = [Column::Energy, Column::ImaginaryEnergy];
        let energy = values.iter().take(count).map(|row| parts.map(|part| part.of(row))).collect();
        let log_p = gpu.block_on(pipeline.read_log_p(count))?;
        Ok(FixedValues { log_p, phase: gpu.block_on(pipeline.read_phase(count))?, energy })
    }

    /// Reads log|ψ'/ψ| and the phase difference of every connected configuration, for the first `count` configurations
    /// of the last run.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn ratios(&self, count: usize) -> Result<Vec<Vec<[f64; 2]>>> {
        let Self { gpu, pipeline, chunk, .. } = self;
        let (moves, parts) = (pipeline.tables.connected() as usize, pipeline.parts as usize);
        let ratio: Vec<f32> = pipeline.ratio.read(gpu, chunk * moves * parts)?;
        let dedup_of: Vec<u32> = pipeline.groups.dedup_of.read(gpu, *chunk)?;
        let of_move = |r: &[f32]| [f64::from(r[0]), r.get(1).map_or(0.0, |r| f64::from(*r))];
        let row = |u: &u32| ratio[*u as usize * moves * parts..][..moves * parts].chunks(parts).map(of_move).collect();
        Ok(dedup_of.iter().take(count).map(row).collect())
    }
}
