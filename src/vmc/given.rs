//! A wave function on given configurations, chunk by chunk.

use super::estimator::{Estimator, Source};
use super::evaluate::{EvaluateConfig, estimator, sample_values};
use crate::error::Result;
use crate::gpu::{Gpu, Plan};
use crate::kernels::energy::IMAGINARY;
use crate::model::{Model, Weights};
use crate::physics::{Hamiltonian, Lattice};

/// Configurations that go through the GPU together.
const CHUNK: usize = 1024;

/// A plan that takes configurations instead of drawing them.
pub(super) struct Given {
    gpu: Gpu,
    estimator: Estimator,
    plan: Plan,
    /// Configurations that go through it together.
    pub chunk: usize,
}

/// Amplitudes and local energies of a chunk.
pub(super) struct GivenValues {
    /// log |ψ|² of each.
    pub log_p: Vec<f64>,
    /// Phase of each in radians.
    pub phase: Vec<f64>,
    /// Local energy of each, real and imaginary part.
    pub energy: Vec<[f64; 2]>,
}

impl Given {
    /// Builds the plan for chunks of some of `configurations` configurations, with the memory and precision of `config`.
    ///
    /// # Errors
    /// As [`super::Trainer::new`].
    pub fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        hamiltonian: &dyn Hamiltonian,
        model: &dyn Model,
        weights: &Weights,
        configurations: usize,
        config: &EvaluateConfig,
    ) -> Result<Self> {
        // The ratios of moves lie together only where a chunk is one group.
        let mut chunk = configurations.clamp(1, CHUNK);
        let of = |samples| {
            let config = EvaluateConfig { samples, ..config.clone() };
            estimator(gpu, lattice, hamiltonian, model, weights, &config)
        };
        let mut whole = of(chunk)?;
        while whole.sizes.groups(whole.samples) > 1 {
            chunk = whole.sizes.group as usize;
            whole = of(chunk)?;
        }
        let mut plan = Plan::new(gpu);
        whole.record(&mut plan, Source::Given)?;
        Ok(Self { gpu: gpu.clone(), estimator: whole, plan, chunk })
    }

    /// Amplitudes and local energies of at most [`Given::chunk`] configurations, each of N occupations in site order (checked
    /// before).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] when the device was lost.
    pub fn run(&self, configurations: &[Vec<u8>]) -> Result<GivenValues> {
        let Self { gpu, estimator, chunk, .. } = self;
        let mut tokens: Vec<u32> = configurations.iter().flat_map(|c| estimator.patching.tokens(c)).collect();
        tokens.resize(chunk * estimator.patches() as usize, 0);
        estimator.tokens.write(gpu, &tokens)?;
        self.plan.run()?;
        let count = configurations.len();
        let values = sample_values(estimator)?;
        let energy = values.iter().take(count).map(|v| [v[0], v[IMAGINARY]].map(f64::from)).collect();
        Ok(GivenValues { log_p: estimator.read_log_p(count)?, phase: estimator.read_phase(count)?, energy })
    }

    /// For each of the `count` configurations of the chunk run last, log|ψ'/ψ| and the phase difference of every move.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] when the device was lost.
    pub fn ratios(&self, count: usize) -> Result<Vec<Vec<[f64; 2]>>> {
        let Self { gpu, estimator, chunk, .. } = self;
        let (moves, parts) = (estimator.tables.moves() as usize, estimator.parts as usize);
        let ratio: Vec<f32> = estimator.ratio.read(gpu, chunk * moves * parts)?;
        let unique_of: Vec<u32> = estimator.groups.unique_of.read(gpu, *chunk)?;
        let of_move = |r: &[f32]| [f64::from(r[0]), r.get(1).map_or(0.0, |r| f64::from(*r))];
        let row = |u: &u32| ratio[*u as usize * moves * parts..][..moves * parts].chunks(parts).map(of_move).collect();
        Ok(unique_of.iter().take(count).map(row).collect())
    }
}
