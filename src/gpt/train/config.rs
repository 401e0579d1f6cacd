//! Settings of the training of a GPT.

use crate::error::{Error, ErrorKind, Result};
use crate::vmc::Schedule;

/// Settings of a [`super::GptTrainer`].
#[derive(Debug, Clone, PartialEq)]
pub struct GptTrainConfig {
    /// Number of batches whose gradients are accumulated in a step.
    pub accumulate: u64,
    /// Learning rate of AdamW.
    pub learning_rate: f64,
    /// Learning rate at the end of [`Schedule::Cosine`].
    pub minimum_rate: f64,
    /// Schedule of the learning rate after the warm-up.
    pub schedule: Schedule,
    /// Number of initial steps over which the learning rate rises linearly.
    pub warmup: u64,
    /// β₁ and β₂ of Adam.
    pub betas: (f64, f64),
    /// Decoupled weight decay of the matrices of linear layers.
    pub weight_decay: f64,
    /// Maximum norm of the gradient, to which larger gradients are scaled.
    pub clip: Option<f64>,
    /// Probability with which dropout sets an element to zero in training; 0 for none.
    pub dropout: f64,
    /// Seed of the dropout.
    pub seed: u64,
    /// Maximum GPU memory in bytes; `None` for [`crate::Gpu::default_memory`].
    pub memory: Option<u64>,
    /// Number of steps between two evaluations of held-out data; 0 for none.
    pub eval_interval: u64,
    /// Number of validation batches of an evaluation between steps; 0 for all.
    pub eval_batches: u64,
}

impl Default for GptTrainConfig {
    /// AdamW with a learning rate of 10⁻³, β = (0.9, 0.99), weight decay 0.1 and clipping at 1.
    fn default() -> Self {
        Self {
            accumulate: 1,
            learning_rate: 1e-3,
            minimum_rate: 0.0,
            schedule: Schedule::Constant,
            warmup: 0,
            betas: (0.9, 0.99),
            weight_decay: 0.1,
            clip: Some(1.0),
            dropout: 0.0,
            seed: 0,
            memory: None,
            eval_interval: 0,
            eval_batches: 0,
        }
    }
}

impl GptTrainConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the remedy if a setting is invalid.
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, format!("gpt: {message}")));
        if self.accumulate == 0 {
            return error("accumulate 0; give 1 for steps of one batch".into());
        }
        let is_rate = |rate: f64| rate.is_finite() && (0.0..1e3).contains(&rate);
        if !is_rate(self.learning_rate) || self.learning_rate == 0.0 {
            return error(format!("learning rate {}; give a positive number such as 1e-3", self.learning_rate));
        }
        if !is_rate(self.minimum_rate) || self.minimum_rate > self.learning_rate {
            let (least, rate) = (self.minimum_rate, self.learning_rate);
            return error(format!("minimum learning rate {least}; give a number from 0 to the learning rate {rate}"));
        }
        let (beta1, beta2) = self.betas;
        if ![beta1, beta2].iter().all(|beta| (0.0..1.0).contains(beta)) {
            return error(format!("betas {beta1} and {beta2}; give numbers from 0 to below 1 such as 0.9 and 0.99"));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return error(format!("weight decay {}; give 0, or a positive number such as 0.1", self.weight_decay));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return error(format!("dropout {}; give 0 for none, or a number below 1 such as 0.1", self.dropout));
        }
        match self.clip {
            Some(clip) if !(clip.is_finite() && clip > 0.0) => {
                error(format!("clip {clip}; give a positive number such as 1"))
            }
            _ => Ok(()),
        }
    }

    /// Learning rate of step `step`, counted from 1.
    pub(super) fn rate(&self, step: u64) -> f64 {
        let factor = self.schedule.rate(1.0, self.warmup, step);
        match self.schedule {
            Schedule::Cosine { .. } if step > self.warmup => {
                self.minimum_rate + (self.learning_rate - self.minimum_rate) * factor
            }
            _ => self.learning_rate * factor,
        }
    }

    /// Whether held-out data is evaluated after step `step`.
    pub(super) fn evaluates_after(&self, step: u64) -> bool {
        self.eval_interval > 0 && step.is_multiple_of(self.eval_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall_to_the_minimum() {
        let schedule = Schedule::Cosine { steps: 110 };
        let config =
            GptTrainConfig { learning_rate: 1.0, minimum_rate: 0.1, warmup: 10, schedule, ..GptTrainConfig::default() };
        assert_eq!(config.rate(1), 0.1);
        assert_eq!(config.rate(11), 1.0);
        assert!((config.rate(61) - 0.55).abs() < 1e-12 && (config.rate(111) - 0.1).abs() < 1e-12);
        assert_eq!(GptTrainConfig::default().rate(5), 1e-3);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_with_a_remedy() {
        let base = GptTrainConfig::default();
        base.check().unwrap();
        let refused = [
            (GptTrainConfig { learning_rate: f64::NAN, ..base.clone() }, "1e-3"),
            (GptTrainConfig { learning_rate: 0.0, ..base.clone() }, "1e-3"),
            (GptTrainConfig { minimum_rate: 1.0, ..base.clone() }, "0.001"),
            (GptTrainConfig { betas: (0.9, 1.0), ..base.clone() }, "0.99"),
            (GptTrainConfig { weight_decay: -0.1, ..base.clone() }, "0.1"),
            (GptTrainConfig { dropout: 1.0, ..base.clone() }, "below 1"),
            (GptTrainConfig { clip: Some(0.0), ..base.clone() }, "such as 1"),
            (GptTrainConfig { accumulate: 0, ..base }, "give 1"),
        ];
        for (config, remedy) in refused {
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(remedy), "{message}");
        }
    }
}
