//! Sources of the batches of a step: data, or sampled continuations with rewards.

use super::tuning::Tuning;
use crate::error::Result;
use crate::gpt::{Batches, RewardReport, TokenBatch};

/// Batch with the weight of the cross-entropy of each target in the loss.
pub(super) struct WeightedBatch {
    pub batch: TokenBatch,
    /// (B·T)
    pub weights: Vec<f32>,
}

/// Batches of a step.
pub(super) struct StepBatches {
    pub batches: Vec<WeightedBatch>,
    /// Results of sampled continuations, without their entropy.
    pub reward: Option<RewardReport>,
}

/// Source of the batches of a step.
pub(super) enum Source {
    Data(Box<dyn Batches>),
    Reward(Box<Tuning>),
}

impl Source {
    /// B, T of all batches.
    pub(super) fn shape(&self, block: usize) -> (usize, usize) {
        match self {
            Self::Data(batches) => batches.shape(),
            Self::Reward(tuning) => (tuning.sequences(), block),
        }
    }

    /// Batches of step `step`, `count` of them: for the mean cross-entropy of all targets, or for the reward of
    /// sampled continuations.
    pub(super) fn step(&mut self, step: u64, count: u64) -> Result<StepBatches> {
        match self {
            Self::Data(data) => {
                let batches: Vec<_> = (0..count).map(|at| data.training((step - 1) * count + at)).collect();
                let weight = 1.0 / batches.iter().map(TokenBatch::targeted).sum::<usize>() as f32;
                let weighted = |batch: TokenBatch| WeightedBatch { weights: batch.weights(weight), batch };
                Ok(StepBatches { batches: batches.into_iter().map(weighted).collect(), reward: None })
            }
            Self::Reward(tuning) => tuning.step(step),
        }
    }

    /// Number of validation batches.
    pub(super) fn validation_batches(&self) -> u64 {
        match self {
            Self::Data(batches) => batches.validation_batches(),
            Self::Reward(_) => 0,
        }
    }

    /// Validation batch of number `index`.
    pub(super) fn validation(&self, index: u64) -> TokenBatch {
        match self {
            Self::Data(batches) => batches.validation(index),
            Self::Reward(_) => TokenBatch::default(),
        }
    }
}
