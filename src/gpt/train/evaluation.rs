//! Mean cross-entropy of tokens, and of held-out data.

use super::trainer::GptTrainer;
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::{GptReport, IGNORED};

/// Mean cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Loss {
    /// Mean in nats per token.
    pub mean: f64,
    /// Standard error of the mean, for independent tokens.
    pub error: f64,
    /// Number of tokens.
    pub tokens: u64,
}

impl Loss {
    /// Mean of the cross-entropies of the positions that have a target, in f64.
    pub(crate) fn of_targets(losses: &[f32], targets: &[u32]) -> Self {
        let (mut tokens, mut sum, mut squares) = (0u64, 0.0, 0.0);
        for (loss, _) in losses.iter().zip(targets).filter(|(_, target)| **target != IGNORED) {
            let loss = f64::from(*loss);
            tokens += 1;
            sum += loss;
            squares += loss * loss;
        }
        let count = tokens as f64;
        let mean = sum / count;
        let variance = (squares / count - mean * mean).max(0.0) * count / (count - 1.0);
        Self { mean, error: (variance / count).sqrt(), tokens }
    }
}

/// Evaluation of held-out data after a step.
pub(super) struct Evaluation {
    /// Report of the step without the evaluation.
    pub report: GptReport,
    pub losses: Vec<f32>,
    pub targets: Vec<u32>,
}

impl GptTrainer {
    /// Mean cross-entropy of the first `batches` validation batches, or of all if 0, without dropout.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there is no held-out data; [`ErrorKind::Device`] if the device was lost.
    pub fn evaluate(&self, batches: u64) -> Result<Loss> {
        self.gpt.gpu.block_on(self.evaluate_async(batches))
    }

    /// As [`GptTrainer::evaluate`], without blocking.
    ///
    /// # Errors
    /// As [`GptTrainer::evaluate`].
    pub async fn evaluate_async(&self, batches: u64) -> Result<Loss> {
        let count = self.evaluated_batches(batches);
        if count == 0 {
            let message = "gpt: there is no held-out data to evaluate; give a validation fraction above 0";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let (mut losses, mut targets) = (Vec::<f32>::new(), Vec::new());
        for index in 0..count {
            let batch = self.source.validation(index);
            self.pass.load(&batch, 1.0)?;
            self.plans.loss.run_async().await?;
            losses.extend(self.pass.head_rows.loss.read_async::<f32>(&self.gpt.gpu, batch.targets.len()).await?);
            targets.extend(batch.targets);
        }
        Ok(Loss::of_targets(&losses, &targets))
    }

    /// Whether held-out data is evaluated after step `step`.
    pub(super) fn evaluates_after(&self, step: u64) -> bool {
        self.config.evaluates_after(step) && self.source.validation_batches() > 0
    }

    /// Number of batches of held-out data of an evaluation of `batches`, or of all if 0.
    pub(super) fn evaluated_batches(&self, batches: u64) -> u64 {
        let all = self.source.validation_batches();
        if batches == 0 { all } else { batches.min(all) }
    }
}
