//! Progress of the training of a GPT: losses and tokens per second, and the reward of fine-tuning.

use ketformer::gpt::{GptReport, Loss, RewardReport};
use serde_json::{Map, Value, json};

use super::number::{Measurement, significant};
use super::progress::StepDisplay;

/// Display of the losses of steps.
#[derive(Default)]
pub struct LossDisplay {
    /// Last loss of held-out data.
    validation: Option<f64>,
}

impl LossDisplay {
    fn results(&self, report: &GptReport) -> Vec<String> {
        let mut results = match report.reward {
            Some(RewardReport { mean, error, divergence, .. }) => {
                vec![format!("reward {}", Measurement { mean, error }), format!("KL {}", significant(divergence, 2))]
            }
            None => vec![format!("loss {:.4}", report.loss)],
        };
        results.extend(self.validation.map(|loss| format!("validation {loss:.4}")));
        results
    }
}

impl StepDisplay<GptReport> for LossDisplay {
    const NOT_FINITE: &'static str = "loss or gradient";
    const ITEMS: &'static str = "tokens";

    fn items(&self, report: &GptReport) -> f64 {
        report.tokens as f64
    }

    fn take(&mut self, report: &GptReport) -> Vec<String> {
        self.validation = report.validation_loss.or(self.validation);
        Vec::new()
    }

    fn bar(&self, report: &GptReport) -> Vec<String> {
        self.results(report)
    }

    fn line(&self, report: &GptReport) -> String {
        self.results(report).join("  ")
    }

    fn object(&self, report: &GptReport) -> Map<String, Value> {
        let object = json!({
            "loss": [report.loss, report.loss_error],
            "validation_loss": report.validation_loss,
            "gradient_norm": report.gradient_norm,
            "accepted": report.accepted,
            "learning_rate": report.learning_rate,
        });
        let mut object = object.as_object().cloned().unwrap_or_default();
        if let Some(RewardReport { mean, error, divergence, entropy }) = report.reward {
            object.insert("reward".into(), json!([mean, error]));
            object.insert("divergence".into(), divergence.into());
            object.insert("entropy".into(), entropy.into());
        }
        object
    }
}

/// Mean cross-entropy with its error and the perplexity: `1.8812 ± 0.0043 nats/token  perplexity 6.56`.
pub fn loss_line(loss: &Loss) -> String {
    let measured = Measurement { mean: loss.mean, error: loss.error };
    format!("{measured} nats/token  perplexity {}", significant(loss.mean.exp(), 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_and_rewards_have_their_form() {
        let mut display = LossDisplay::default();
        let report = GptReport { loss: 1.53, loss_error: 0.02, ..GptReport::default() };
        assert_eq!(display.line(&report), "loss 1.5300");
        display.take(&GptReport { validation_loss: Some(1.75), ..report });
        assert_eq!(display.line(&report), "loss 1.5300  validation 1.7500");
        let reward = RewardReport { mean: 0.5, error: 0.01, divergence: 0.25, entropy: 3.0 };
        let report = GptReport { reward: Some(reward), ..report };
        assert_eq!(display.bar(&report), ["reward 0.5000 ± 0.0100", "KL 0.25", "validation 1.7500"]);
        assert_eq!(display.object(&report)["reward"], json!([0.5, 0.01]));
        let loss = Loss { mean: 1.8812, error: 0.0043, tokens: 10 };
        assert_eq!(loss_line(&loss), "1.8812 ± 0.0043 nats/token  perplexity 6.56");
    }
}
