//! Configurations drawn from a wave function with fixed weights.

use super::evaluate::{EvaluateConfig, chunk_of, pipeline};
use super::full_sum::Free;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Plan};
use crate::model::{Model, Precision, Weights};
use crate::physics::Lattice;
use crate::vmc::step::local_energy::SampleSource;

/// Settings of [`sample()`].
#[derive(Debug, Clone, PartialEq)]
pub struct SampleConfig {
    /// Number of samples, at least 1.
    pub samples: usize,
    /// Seed of the samples. More samples with the same seed begin with the same samples.
    pub seed: u64,
    /// Maximum GPU memory in bytes; `None` for [`Gpu::default_memory`].
    pub memory: Option<u64>,
    /// Storage precision of sampling. [`Precision::Mixed`] samples the wave function of the weights cast to f16.
    pub precision: Precision,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { samples: 10_000, seed: 1, memory: None, precision: Precision::Single }
    }
}

/// Samples of P(σ) = |ψ(σ)|²: independent, or from Markov chains if the wave function is unnormalized.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// N occupations of each sample, 0 or 1, in site order.
    pub configurations: Vec<Vec<u8>>,
    /// log P of each sample; log |ψ|² if the wave function is unnormalized.
    pub log_p: Vec<f64>,
    /// Whether `log_p` is that of probabilities that add up to 1.
    pub normalized: bool,
}

/// Draws samples in chunks, patch by patch or from Markov chains that continue from chunk to chunk. With the same seed,
/// these are the samples of [`crate::vmc::evaluate()`].
///
/// # Errors
/// [`ErrorKind::Settings`] if the number of samples is 0; as [`crate::vmc::Trainer::new`].
pub fn sample(
    gpu: &Gpu,
    lattice: &Lattice,
    model: &dyn Model,
    weights: &Weights,
    config: SampleConfig,
) -> Result<Samples> {
    if config.samples == 0 {
        return Err(Error::new(ErrorKind::Settings, "expected at least 1 sample, got 0; give samples=1 or more"));
    }
    let chunk = chunk_of(model, config.samples);
    let SampleConfig { seed, memory, precision, .. } = config;
    let chunks = EvaluateConfig { samples: chunk, seed, memory, precision };
    let pipeline = pipeline(gpu, lattice, &Free, model, weights, &chunks)?;
    let mut plan = Plan::new(gpu);
    pipeline.record_draws(&mut plan, SampleSource::Drawn)?;
    let t = pipeline.patches() as usize;
    let normalized = model.chains().is_none();
    let mut all = Samples { configurations: Vec::new(), log_p: Vec::new(), normalized };
    pipeline.restart(config.seed, 0, true)?;
    for step in 0.. {
        let left = config.samples - all.log_p.len();
        if left == 0 {
            break;
        }
        pipeline.write_step(config.seed, step)?;
        plan.run()?;
        let count = left.min(chunk);
        let tokens: Vec<u32> = pipeline.tokens.read(gpu, count * t)?;
        all.configurations.extend(tokens.chunks(t).map(|row| pipeline.patching.config(row)));
        all.log_p.extend(pipeline.read_log_p(count)?);
    }
    Ok(all)
}
