//! Fine-tuning by reward: variational Monte Carlo over continuations.
//!
//! ```text
//! F = ⟨E⟩    E(x) = −R(x) + β (log π(x) − log π₀(x))    dF = ⟨(E − Ē) d log π(x)⟩
//! ```
//!
//! R is the reward of a continuation x sampled from π, and π₀ the GPT before tuning: F is the negative expected reward
//! with a penalty β·KL(π‖π₀). E takes the place of the local energy, so that estimator, baseline Ē and kernels are those
//! of the wave functions ([`crate::vmc`]). Source: Williams, Machine Learning 8, 229 (1992); with the penalty Ziegler et
//! al., arXiv:1909.08593.

use super::source::{StepBatches, WeightedBatch};
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::network::Gpt;
use crate::gpt::{Continuation, GptConfig, GptSampler, GptState, IGNORED, RewardReport, SamplingSettings, TokenBatch};
use crate::gpu::Gpu;
use crate::model::Weights;

/// Source of prompts. Those of a step depend only on its number.
pub trait Prompts: Send {
    /// Prompts of step `step`, counted from 1; always the same number.
    fn prompts(&self, step: u64) -> Vec<Vec<u32>>;
}

/// Reward of continuations.
pub trait TokenReward: Send {
    /// Returns the reward of each continuation (second) of its prompt (first).
    ///
    /// # Errors
    /// Errors of the reward.
    fn rewards(&mut self, prompts: &[Vec<u32>], continuations: &[Vec<u32>]) -> Result<Vec<f64>>;
}

/// Settings of fine-tuning by reward.
pub struct TuneConfig {
    /// Number of tokens of a continuation.
    pub new_tokens: usize,
    /// Factor β of the Kullback-Leibler divergence from the starting weights; at least 0.
    pub beta: f64,
    /// Prompts.
    pub prompts: Box<dyn Prompts>,
    /// Reward.
    pub reward: Box<dyn TokenReward>,
}

/// Sampler of continuations and their rewards.
pub(super) struct Tuning {
    gpu: Gpu,
    config: TuneConfig,
    gpt: GptConfig,
    sampler: GptSampler,
    /// GPT before tuning.
    reference: GptState,
    sequences: usize,
}

impl Tuning {
    /// Tuning of `gpt` from the weights `start`.
    pub(super) fn new(gpt: &Gpt, start: &Weights, seed: u64, config: TuneConfig) -> Result<Self> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, format!("gpt: {message}")));
        if !(config.beta.is_finite() && config.beta >= 0.0) {
            return error(format!("beta {}; give 0, or a positive number such as 0.05", config.beta));
        }
        let prompts = config.prompts.prompts(1);
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        if prompts.len() < 2 || prompts.iter().any(Vec::is_empty) {
            return error(format!("{} prompts in a step; give at least 2, none of them empty", prompts.len()));
        }
        // The last new token is not an input.
        if config.new_tokens == 0 || longest + config.new_tokens > gpt.config.block + 1 {
            return error(format!(
                "prompts of up to {longest} tokens and {} new ones for a block of {}; give shorter ones",
                config.new_tokens, gpt.config.block
            ));
        }
        let settings = SamplingSettings { new_tokens: config.new_tokens, seed, ..SamplingSettings::default() };
        let sequences = prompts.len();
        Ok(Self {
            gpu: gpt.gpu.clone(),
            sampler: GptSampler::of(gpt, sequences)?.with_settings(settings),
            reference: GptState::new(&gpt.gpu, &gpt.config, start, sequences)?,
            gpt: gpt.config.clone(),
            config,
            sequences,
        })
    }

    /// Allocates the buffers of a tuning of `sequences` continuations on the device of a dry run.
    pub(super) fn dry_run(gpt: &Gpt, sequences: usize) -> Result<()> {
        GptSampler::of(gpt, sequences)?;
        GptState::dry_run(&gpt.gpu, &gpt.config, sequences)
    }

    pub(super) fn sequences(&self) -> usize {
        self.sequences
    }

    /// Continuations of step `step` and the weights of their tokens.
    pub(super) fn step(&mut self, step: u64) -> Result<StepBatches> {
        let prompts = self.config.prompts.prompts(step);
        let sampled = self.sampler.sample_step(&prompts, step as u32, |_| true);
        let continuations = self.gpu.block_on(sampled)?;
        let batch = batch_of(&prompts, &continuations, self.gpt.block);
        let reference = self.reference.losses(&batch)?;
        let texts: Vec<Vec<u32>> = continuations.iter().map(|continuation| continuation.tokens.clone()).collect();
        let rewards = self.config.reward.rewards(&prompts, &texts)?;
        if rewards.len() != texts.len() || rewards.iter().any(|reward| !reward.is_finite()) {
            let message = format!(
                "gpt: {} rewards for {} continuations, or one that is not finite; give a finite number for each",
                rewards.len(),
                texts.len()
            );
            return Err(Error::new(ErrorKind::NotFinite, message));
        }
        let rows = reference.chunks(self.gpt.block);
        let divergences: Vec<f64> = continuations
            .iter()
            .zip(rows)
            .map(|(continuation, losses)| {
                let log_p: f64 = continuation.log_p.iter().map(|log_p| f64::from(*log_p)).sum();
                log_p + losses.iter().map(|loss| f64::from(*loss)).sum::<f64>()
            })
            .collect();
        let weights = sequence_weights(&rewards, &divergences, self.config.beta);
        let spread = batch.targets.iter().enumerate().map(|(row, target)| match *target {
            IGNORED => 0.0,
            _ => weights[row / self.gpt.block] as f32,
        });
        let weights = spread.collect();
        let reward = report(&rewards, &divergences);
        Ok(StepBatches { batches: vec![WeightedBatch { batch, weights }], reward: Some(reward) })
    }
}

/// Weight of −log π of each sequence in the loss whose gradient is that of F: −(E − Ē)/B.
fn sequence_weights(rewards: &[f64], divergences: &[f64], beta: f64) -> Vec<f64> {
    let energies: Vec<f64> = rewards.iter().zip(divergences).map(|(reward, kl)| beta * kl - reward).collect();
    let count = energies.len() as f64;
    let mean = energies.iter().sum::<f64>() / count;
    energies.iter().map(|energy| (mean - energy) / count).collect()
}

fn report(rewards: &[f64], divergences: &[f64]) -> RewardReport {
    let count = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / count;
    let squares: f64 = rewards.iter().map(|reward| (reward - mean).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    RewardReport { mean, error, divergence: divergences.iter().sum::<f64>() / count, entropy: f64::NAN }
}

/// Batch (B, T) of prompts with their continuations; the targets are the new tokens.
fn batch_of(prompts: &[Vec<u32>], continuations: &[Continuation], block: usize) -> TokenBatch {
    let mut batch = TokenBatch::default();
    for (prompt, continuation) in prompts.iter().zip(continuations) {
        let text: Vec<u32> = prompt.iter().chain(&continuation.tokens).copied().collect();
        for at in 0..block {
            batch.tokens.push(if at + 1 < text.len() { text[at] } else { 0 });
            let is_new = at + 1 >= prompt.len() && at + 1 < text.len();
            batch.targets.push(if is_new { text[at + 1] } else { IGNORED });
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_tokens_are_targets() {
        let continuation = Continuation { tokens: vec![5, 6], log_p: vec![0.0; 2] };
        let batch = batch_of(&[vec![1, 2, 3]], &[continuation], 5);
        assert_eq!(batch.tokens, [1, 2, 3, 5, 0]);
        assert_eq!(batch.targets, [IGNORED, IGNORED, 5, 6, IGNORED]);
    }

    /// On a vocabulary of 3 and continuations of length 4, the sum of the estimator over all continuations, each with its
    /// probability, is the derivative of the exact F.
    #[test]
    fn the_expected_gradient_is_the_exact_one() {
        let gpt = GptConfig {
            vocabulary: 3,
            block: 5,
            width: 16,
            heads: 2,
            layers: 1,
            feed_forward: 32,
            ..GptConfig::default()
        };
        let gpu = Gpu::new().unwrap();
        let perturbed = |seed: u64| {
            let mut random = crate::kernels::RandomInputs::new(seed);
            let mut weights = gpt.initial(1);
            for tensor in weights.tensors.values_mut() {
                let shifts = random.floats(tensor.values.len());
                tensor.values.iter_mut().zip(shifts).for_each(|(value, shift)| *value += 0.2 * shift);
            }
            weights
        };
        let (start, center, beta) = (perturbed(2), perturbed(3), 0.3);
        let all: Vec<Continuation> = (0..81u32)
            .map(|n| Continuation { tokens: (0..4).map(|i| n / 3u32.pow(i) % 3).collect(), log_p: Vec::new() })
            .collect();
        let batch = batch_of(&vec![vec![1]; 81], &all, 5);
        let log_p = |weights: &Weights| -> Vec<f64> {
            let losses = GptState::new(&gpu, &gpt, weights, 81).unwrap().losses(&batch).unwrap();
            losses.chunks(5).map(|rows| -rows.iter().map(|loss| f64::from(*loss)).sum::<f64>()).collect()
        };
        let reference = log_p(&start);
        let reward = |n: usize| all[n].tokens.iter().filter(|token| **token == 2).count() as f64;
        // E of every continuation, and F.
        let energies = |weights: &Weights| -> (Vec<f64>, Vec<f64>) {
            let log_p = log_p(weights);
            let energies = (0..81).map(|n| beta * (log_p[n] - reference[n]) - reward(n)).collect();
            (log_p.iter().map(|log_p| log_p.exp()).collect(), energies)
        };
        let mean = |(p, e): &(Vec<f64>, Vec<f64>)| p.iter().zip(e).map(|(p, e)| p * e).sum::<f64>();
        let at_center = energies(&center);
        assert!((at_center.0.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        let baseline = mean(&at_center);
        let weight = |row: usize| match batch.targets[row] {
            IGNORED => 0.0,
            _ => (at_center.0[row / 5] * (baseline - at_center.1[row / 5])) as f32,
        };
        let weights: Vec<f32> = (0..batch.targets.len()).map(weight).collect();
        let state = GptState::new(&gpu, &gpt, &center, 81).unwrap();
        let gradient = state.weighted_gradient(&batch, &weights).unwrap();
        for (name, tensor) in &center.tensors {
            let direction = crate::kernels::RandomInputs::new(9).floats(tensor.values.len());
            let moved = |step: f32| {
                let mut weights = center.clone();
                let values = &mut weights.tensors.get_mut(name).unwrap().values;
                values.iter_mut().zip(&direction).for_each(|(value, d)| *value += step * d);
                mean(&energies(&weights))
            };
            let difference = (moved(2e-3) - moved(-2e-3)) / 4e-3;
            let along: f64 = gradient.tensors[name].values.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            assert!((difference - along).abs() < 3e-3 * along.abs().max(0.3), "{name}: {difference} {along}");
        }
        // Weights of equally probable sequences.
        let rewards: Vec<f64> = (0..81).map(reward).collect();
        let some = sequence_weights(&rewards, &[0.0; 81], beta);
        assert!(some.iter().sum::<f64>().abs() < 1e-12 && some[80] > 0.0 && some[0] < 0.0);
    }
}
