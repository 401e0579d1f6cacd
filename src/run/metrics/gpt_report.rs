//! Quantities of a training step of a GPT.

use super::quantities::{self, TrainingReport, number, number_of_part};
use crate::gpt::{GptReport, RewardReport};

type Quantity = quantities::Quantity<GptReport>;

impl TrainingReport for GptReport {
    type Scale = ();

    fn quantities() -> &'static [Quantity] {
        QUANTITIES
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn accepted(&self) -> bool {
        self.accepted
    }
}

/// All quantities. The columns of the history are the step, losses, norm of the gradient, learning rate, reward and its
/// divergence, and the seconds since the run began.
static QUANTITIES: &[Quantity] = &[
    Quantity::column("step", |step| step.step as f64, |step, cell| step.step = cell as u64).history(),
    // Cross-entropy of the batch in nats per token and its standard error.
    number!("loss", loss).scalar("loss/training").history(),
    number!("loss_error", loss_error).scalar("loss/training_error"),
    // Cross-entropy of held-out data after the step; NaN if it was not computed.
    Quantity::column(
        "validation_loss",
        |step| step.validation_loss.unwrap_or(f64::NAN),
        |step, cell| step.validation_loss = Some(cell).filter(|cell| !cell.is_nan()),
    )
    .scalar("loss/validation")
    .history(),
    number!("gradient_norm", gradient_norm).scalar("training/gradient_norm").history(),
    number!("learning_rate", learning_rate).scalar("training/learning_rate").history(),
    // Number of tokens with a target.
    Quantity::column("tokens", |step| step.tokens as f64, |step, cell| step.tokens = cell as u64)
        .scalar("training/tokens"),
    // 1 if the step was taken and 0 if it was rejected.
    Quantity::column("accepted", |step| u8::from(step.accepted).into(), |step, cell| step.accepted = cell == 1.0)
        .scalar("training/accepted"),
    // Mean reward with its standard error, divergence from the starting weights and entropy in nats per continuation;
    // NaN without a reward.
    Quantity::column(
        "reward",
        |step| step.reward.map_or(f64::NAN, |of| of.mean),
        |step, mean| {
            let others = f64::NAN;
            let report = RewardReport { mean, error: others, divergence: others, entropy: others };
            step.reward = Some(report).filter(|of| !of.mean.is_nan());
        },
    )
    .scalar("reward/mean")
    .history(),
    number_of_part!("reward_error", reward, error).scalar("reward/error"),
    number_of_part!("divergence", reward, divergence).scalar("reward/divergence").history(),
    number_of_part!("entropy", reward, entropy).scalar("reward/entropy"),
    // Last: without it, two runs of one command on one adapter give identical bytes.
    number!("seconds", seconds).scalar("time/seconds_per_step").history(),
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::{Metrics, ResumedMetrics};

    #[test]
    fn rows_read_back_to_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let report = GptReport {
            step: 1,
            loss: 0.1 + 0.2,
            loss_error: 1e-300,
            validation_loss: Some(1.5),
            gradient_norm: 0.25,
            learning_rate: 5e-4,
            tokens: 768,
            accepted: true,
            reward: Some(RewardReport { mean: 0.5, error: 0.125, divergence: -0.1, entropy: 3.0 }),
            seconds: 0.75,
        };
        let plain = GptReport { step: 2, validation_loss: None, accepted: false, reward: None, ..report };
        let mut metrics = Metrics::create(&path).unwrap();
        metrics.write(&report).unwrap();
        metrics.write(&plain).unwrap();
        metrics.flush().unwrap();
        let header = "step,loss,loss_error,validation_loss,gradient_norm,learning_rate,tokens,accepted,reward,\
                      reward_error,divergence,entropy,seconds";
        assert_eq!(fs::read_to_string(&path).unwrap().lines().next(), Some(header));
        let ResumedMetrics { reports, repair, .. } = Metrics::<GptReport>::resume(&path, 2).unwrap();
        assert_eq!((reports, repair), (vec![report, plain], None));
    }
}
