//! Final loss of a run of a GPT: the mean over its last steps, and the lowest loss of held-out data.

use std::collections::VecDeque;

use super::RECENT_STEPS;
use crate::gpt::{GptReport, RewardReport};

/// Results of the steps that were not rejected.
#[derive(Debug, Clone, Default)]
pub struct LossSummary {
    /// The last [`RECENT_STEPS`] ones.
    losses: VecDeque<f64>,
    last_validation: Option<(u64, f64)>,
    best_validation: Option<(u64, f64)>,
    last_reward: Option<RewardReport>,
}

impl LossSummary {
    /// Adds the next step; a rejected one is skipped.
    pub fn push(&mut self, report: &GptReport) {
        if !report.accepted {
            return;
        }
        if self.losses.len() == RECENT_STEPS {
            self.losses.pop_front();
        }
        self.losses.push_back(report.loss);
        self.last_reward = report.reward;
        if let Some(loss) = report.validation_loss.filter(|loss| loss.is_finite()) {
            self.last_validation = Some((report.step, loss));
            if self.best_validation.is_none_or(|(_, best)| loss < best) {
                self.best_validation = Some((report.step, loss));
            }
        }
    }

    /// Mean loss of the last steps and their number; `None` before the first step that was not rejected.
    pub fn loss(&self) -> Option<(f64, usize)> {
        let steps = self.losses.len();
        (steps > 0).then(|| (self.losses.iter().sum::<f64>() / steps as f64, steps))
    }

    /// Step and loss of the last evaluation of held-out data.
    pub fn last_validation(&self) -> Option<(u64, f64)> {
        self.last_validation
    }

    /// Step and loss of the first evaluation with the lowest loss of held-out data.
    pub fn best_validation(&self) -> Option<(u64, f64)> {
        self.best_validation
    }

    /// Reward of the last step of fine-tuning.
    pub fn last_reward(&self) -> Option<RewardReport> {
        self.last_reward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_losses_is_the_best() {
        let mut summary = LossSummary::default();
        assert_eq!((summary.loss(), summary.best_validation()), (None, None));
        let losses = [Some(3.0), None, Some(2.0), Some(f64::NAN), Some(2.0), Some(2.5)];
        for (step, validation_loss) in (1..).zip(losses) {
            summary.push(&GptReport { step, loss: 1.0, validation_loss, accepted: true, ..GptReport::default() });
        }
        summary.push(&GptReport { step: 7, loss: f64::NAN, validation_loss: Some(1.0), ..GptReport::default() });
        assert_eq!(summary.loss(), Some((1.0, 6)));
        assert_eq!((summary.best_validation(), summary.last_validation()), (Some((3, 2.0)), Some((6, 2.5))));
    }
}
