//! Configurations drawn from fixed weights.

use super::enumerate::Free;
use super::estimator::Source;
use super::evaluate::{EvaluateConfig, chunk_of, estimator};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Plan};
use crate::model::{Model, Precision, Weights};
use crate::physics::Lattice;

/// How to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleConfig {
    /// Samples; at least 1.
    pub samples: usize,
    /// Seed of the samples. More samples of the same seed begin with the same ones.
    pub seed: u64,
    /// Bytes of GPU memory at most; `None`: [`Gpu::default_memory`].
    pub memory: Option<u64>,
    /// What drawing stores: whether this is the wave function of the weights or of their f16.
    pub precision: Precision,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { samples: 10_000, seed: 1, memory: None, precision: Precision::Single }
    }
}

/// Samples of P(σ) = Ψ(σ)²: independent, or of Markov chains where the wave function is known up to a factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// N occupations of each, 0 or 1, in site order.
    pub configurations: Vec<Vec<u8>>,
    /// log P of each; log ψ² where the wave function is known up to a factor.
    pub log_p: Vec<f64>,
    /// Whether that is the log P of probabilities which add up to one.
    pub normalised: bool,
}

/// Draws samples in chunks, patch after patch or from Markov chains that go on from chunk to chunk: those that
/// [`super::evaluate()`] estimates from, given the same seed.
///
/// # Errors
/// [`ErrorKind::Settings`] for no samples at all; as [`super::Trainer::new`].
pub fn sample(
    gpu: &Gpu,
    lattice: &Lattice,
    model: &dyn Model,
    weights: &Weights,
    config: SampleConfig,
) -> Result<Samples> {
    if config.samples == 0 {
        return Err(Error::new(ErrorKind::Settings, "no samples are asked for; give samples=1 or more"));
    }
    let chunk = chunk_of(model, config.samples);
    let SampleConfig { seed, memory, precision, .. } = config;
    let chunks = EvaluateConfig { samples: chunk, seed, memory, precision };
    let estimator = estimator(gpu, lattice, &Free, model, weights, &chunks)?;
    let mut plan = Plan::new(gpu);
    estimator.record_draws(&mut plan, Source::Drawn)?;
    let t = estimator.patches() as usize;
    let normalised = model.chains().is_none();
    let mut all = Samples { configurations: Vec::new(), log_p: Vec::new(), normalised };
    estimator.restart(config.seed, 0, true)?;
    for step in 0.. {
        let left = config.samples - all.log_p.len();
        if left == 0 {
            break;
        }
        estimator.write_step(config.seed, step)?;
        plan.run()?;
        let count = left.min(chunk);
        let tokens: Vec<u32> = estimator.tokens.read(gpu, count * t)?;
        all.configurations.extend(tokens.chunks(t).map(|row| estimator.patching.config(row)));
        all.log_p.extend(estimator.read_log_p(count)?);
    }
    Ok(all)
}
