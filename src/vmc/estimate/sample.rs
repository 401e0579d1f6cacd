//! Configurations drawn from a wave function with fixed weights.

use super::evaluate::{check_host, chunk_of};
use super::full_sum::Free;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Plan;
use crate::vmc::state::{SampleConfig, State};
use crate::vmc::step::buffers::{SampleSource, StepInputs};

/// Samples of P(σ) = |ψ(σ)|²: independent, or from Markov chains if the wave function is unnormalized.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Samples {
    /// N occupations of each sample, 0 or 1, in site order.
    pub configurations: Vec<Vec<u8>>,
    /// log P of each sample; log |ψ|² if the wave function is unnormalized.
    pub log_p: Vec<f64>,
    /// Whether `log_p` is that of probabilities that add up to 1.
    pub normalized: bool,
}

impl State<'_> {
    /// Draws samples in chunks, patch by patch or from Markov chains that continue from chunk to chunk. With the same
    /// seed, these are the samples of [`State::expect`].
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the number of samples is 0; as [`crate::vmc::Trainer::new`].
    pub fn sample(&self, config: SampleConfig) -> Result<Samples> {
        self.gpu.block_on(self.sample_async(config))
    }

    /// As [`State::sample`], without blocking.
    ///
    /// # Errors
    /// As [`State::sample`].
    pub async fn sample_async(&self, config: SampleConfig) -> Result<Samples> {
        let SampleConfig { samples, seed } = config;
        if samples == 0 {
            return Err(Error::new(ErrorKind::Settings, "expected at least 1 sample, got 0; give samples=1 or more"));
        }
        // The samples, and the copies that a caller makes to write them into a file.
        check_host(samples, 3 * self.lattice.sites() as u64)?;
        let chunk = chunk_of(self.model, samples);
        let pipeline = self.pipeline(&Free, chunk, true)?;
        let mut plan = Plan::new(self.gpu);
        pipeline.record_draws(&mut plan, SampleSource::Drawn)?;
        let t = pipeline.patches() as usize;
        let normalized = self.model.chains().is_none();
        let mut all = Samples { configurations: Vec::new(), log_p: Vec::new(), normalized };
        pipeline.restart(seed, 0, true).await?;
        for step in 0.. {
            let left = samples - all.log_p.len();
            if left == 0 {
                break;
            }
            pipeline.write_step(StepInputs::of_samples(seed, step))?;
            plan.run_async().await?;
            let count = left.min(chunk);
            let tokens: Vec<u32> = pipeline.tokens.read_async(self.gpu, count * t).await?;
            all.configurations.extend(tokens.chunks(t).map(|row| pipeline.patching.config(row)));
            all.log_p.extend(pipeline.read_log_p(count).await?);
        }
        Ok(all)
    }
}
