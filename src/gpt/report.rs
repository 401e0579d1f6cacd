//! Report of a training step.

/// Results of a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GptReport {
    /// Number of the step, counted from 1.
    pub step: u64,
    /// Mean cross-entropy of the batch in nats per token; with a reward, the mean of −log P of the sampled tokens.
    pub loss: f64,
    /// Standard error of the loss over tokens.
    pub loss_error: f64,
    /// Mean cross-entropy of held-out data after this step in nats per token, if it was computed.
    pub validation_loss: Option<f64>,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Number of tokens of the step that have a target.
    pub tokens: u64,
    /// Whether the step was accepted: loss and gradient were finite.
    pub accepted: bool,
    /// Results of a step of fine-tuning by reward.
    pub reward: Option<RewardReport>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Results of a step of fine-tuning by reward.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RewardReport {
    /// Mean reward of the sampled continuations.
    pub mean: f64,
    /// Standard error of the mean.
    pub error: f64,
    /// Kullback-Leibler divergence from the starting weights, in nats per continuation, estimated from the samples.
    pub divergence: f64,
    /// Entropy of the continuations in nats per continuation, estimated from the samples.
    pub entropy: f64,
}
