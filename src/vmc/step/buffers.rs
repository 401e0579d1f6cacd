//! Buffers of a batch that the sampler of a wave function reads and writes.

use std::sync::Arc;

use super::budget::StepPartition;
use super::dedup::DedupSpans;
use super::tables::Tables;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, View};
use crate::model::LogPsi;
use crate::physics::Patching;

/// Source of the configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampleSource {
    /// Drawn from the wave function.
    Drawn,
    /// Already in the tokens.
    Fixed,
}

/// Inputs of a step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StepInputs {
    pub seed: u64,
    pub step: u64,
    pub learning_rate: f64,
    pub temperature: f64,
    /// p: samples of an unnormalized wave function are drawn from |ψ|^p.
    pub sampling_power: f64,
}

/// Words of [`StepInputs`] on the device: seed (2), step number, learning rate, temperature, p, and zeros.
pub(crate) const INPUT_WORDS: u64 = 8;

impl StepInputs {
    /// Inputs of a batch of samples of |ψ|² without an update.
    pub(crate) fn of_samples(seed: u64, step: u64) -> Self {
        Self { seed, step, sampling_power: 2.0, ..Self::default() }
    }

    /// Returns the inputs in the layout of the kernels.
    pub(crate) fn words(&self) -> [u32; INPUT_WORDS as usize] {
        let numbers = [self.learning_rate, self.temperature, self.sampling_power];
        let [rate, temperature, power] = numbers.map(|value| (value as f32).to_bits());
        [self.seed as u32, (self.seed >> 32) as u32, self.step as u32, rate, temperature, power, 0, 0]
    }
}

/// Buffers over all samples of a batch, and scratch over a group.
pub(crate) struct StepBuffers {
    pub gpu: Gpu,
    pub patching: Patching,
    pub tables: Arc<Tables>,
    pub sizes: StepPartition,
    /// B
    pub samples: u32,
    /// Number of terms of log P of a sample.
    pub columns: u32,
    /// Parts of log ψ: 1 if the wave function is real, otherwise 2.
    pub parts: u32,
    /// (B, T) u32
    pub tokens: Buffer,
    /// (B, columns): terms of log P of each sample
    pub log_p: Buffer,
    /// (B, columns): terms of the phase of each sample, if the wave function is complex
    pub phase: Option<Buffer>,
    /// Deduplicated samples of the groups, which are drawn together.
    pub groups: DedupSpans,
    /// Counters of the groups, then of the spans that are not groups, then one counter for use by the wave function.
    pub live: Buffer,
    /// Element of the last counter.
    pub own_counter: u64,
    /// (8) words: seed (2), step number, learning rate, temperature, p, and zeros
    pub step: Buffer,
    /// (B, M, parts) of a group
    pub ratio: Buffer,
}

impl StepBuffers {
    /// T
    pub(crate) fn patches(&self) -> u32 {
        self.patching.patches() as u32
    }

    /// Returns the views of group `g`.
    ///
    /// # Errors
    /// As [`View::range`].
    pub(crate) fn group(&self, g: u32) -> Result<GroupViews> {
        let of_part = |buffer, width| self.groups.of_part(buffer, g, width);
        Ok(GroupViews {
            tokens: of_part(&self.tokens, self.patches())?,
            sample_of: of_part(&self.groups.sample_of, 1)?,
            log_psi: LogPsi {
                log_p: of_part(&self.log_p, self.columns)?,
                phase: self.phase.as_ref().map(|phase| of_part(phase, self.columns)).transpose()?,
            },
        })
    }

    /// Writes the inputs of a step.
    ///
    /// # Errors
    /// As [`View::write`].
    pub(crate) fn write_step(&self, inputs: StepInputs) -> Result<()> {
        self.step.write(&self.gpu, &inputs.words())
    }

    /// Writes the first configurations, each of N occupations in site order.
    ///
    /// # Errors
    /// As [`View::write`].
    pub(crate) fn write_configurations(&self, configurations: &[Vec<u8>]) -> Result<()> {
        let mut tokens: Vec<u32> = configurations.iter().flat_map(|c| self.patching.tokens(c)).collect();
        tokens.resize((self.tokens.bytes() / 4) as usize, 0);
        self.tokens.write(&self.gpu, &tokens)
    }

    /// Reads log P of the first `samples` samples; log |ψ|² if the wave function is unnormalized.
    ///
    /// # Errors
    /// As [`View::read`].
    pub(crate) async fn read_log_p(&self, samples: usize) -> Result<Vec<f64>> {
        read_sums(&self.gpu, &self.log_p, samples, self.columns).await
    }

    /// Reads the phases of the first `samples` samples; zeros if the wave function is real.
    ///
    /// # Errors
    /// As [`View::read`].
    pub(crate) async fn read_phase(&self, samples: usize) -> Result<Vec<f64>> {
        match &self.phase {
            Some(phase) => read_sums(&self.gpu, phase, samples, self.columns).await,
            None => Ok(vec![0.0; samples]),
        }
    }
}

/// Views of the tokens, deduplicated samples and log ψ of a group.
pub(crate) struct GroupViews {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32
    pub sample_of: View,
    /// (B, columns)
    pub log_psi: LogPsi,
}

/// Reads `numbers`, (samples, columns), and returns the sums of the first `samples` rows.
///
/// # Errors
/// As [`View::read`].
pub(crate) async fn read_sums(gpu: &Gpu, numbers: &View, samples: usize, columns: u32) -> Result<Vec<f64>> {
    let numbers: Vec<f32> = numbers.read_async(gpu, samples * columns as usize).await?;
    Ok(sums_of_rows(&numbers, columns))
}

/// Sums of the rows of `numbers`, (samples, columns).
pub(crate) fn sums_of_rows(numbers: &[f32], columns: u32) -> Vec<f64> {
    numbers.chunks(columns as usize).map(|row| row.iter().map(|p| f64::from(*p)).sum()).collect()
}
