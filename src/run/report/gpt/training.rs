//! Training curves of a GPT: losses, norm of the gradient, learning rate, rewards and times against the step.

use crate::gpt::{GptReport, RewardReport};
use crate::plot_style::Fault;
use crate::run::plots::Vertical;
use crate::run::report::markup::figure;
use crate::run::report::training::{Chart, LETTERS, SIZE, inline};
use crate::run::{LossCurve, Measurement};

pub(super) fn section(steps: &[GptReport]) -> Result<String, Fault> {
    if steps.is_empty() {
        return Ok("<p>There is no record of steps.</p>\n".into());
    }
    let mut curve = LossCurve::default();
    steps.iter().for_each(|step| curve.push(step));
    let caption = "Loss in nats per token: each step (thin), the mean over steps (thick), held-out data (red).";
    let mut figures = match steps.iter().any(|step| step.loss.is_finite()) {
        true => {
            let svg = curve.svg("", SIZE, LETTERS)?;
            figure("chart", &inline(&svg, "loss against the step"), caption)
        }
        false => String::new(),
    };
    let plain = Chart { of: &|_| 0.0, name: "", vertical: Vertical::FromZero, noisy: true, exact: None, caption: "" };
    let reward = |step: &GptReport| step.reward.map_or(f64::NAN, |reward| reward.mean);
    let divergence = |step: &GptReport| step.reward.map_or(f64::NAN, |reward| reward.divergence);
    let charts: [Chart<'_, GptReport>; 5] = [
        Chart { of: &reward, name: "reward", vertical: Vertical::Close, caption: "Mean reward.", ..plain },
        Chart {
            of: &divergence,
            name: "divergence",
            vertical: Vertical::Close,
            caption: "Divergence from the starting weights in nats.",
            ..plain
        },
        Chart {
            of: &|step| step.gradient_norm,
            name: "gradient norm",
            caption: "Norm of the gradient before clipping.",
            ..plain
        },
        Chart {
            of: &|step| step.learning_rate,
            name: "learning rate",
            noisy: false,
            caption: "Learning rate.",
            ..plain
        },
        Chart { of: &|step| step.seconds, name: "seconds", noisy: false, caption: "Wall time of each step.", ..plain },
    ];
    for chart in charts {
        figures += &chart.figure(steps)?;
    }
    Ok(format!("<div class=\"figures\">\n{figures}</div>\n"))
}

/// Number of steps over which rewards are averaged.
const RECENT_STEPS: usize = 10;

/// Mean reward of `steps`, whose continuations are independent.
fn mean_reward(steps: &[RewardReport]) -> Measurement {
    let count = steps.len() as f64;
    let mean = steps.iter().map(|step| step.mean).sum::<f64>() / count;
    let error = steps.iter().map(|step| step.error * step.error).sum::<f64>().sqrt() / count;
    Measurement { mean, error }
}

/// Trend of the reward, and what to try next. `rewards` is not empty.
pub(super) fn assessed_rewards(rewards: &[RewardReport]) -> String {
    let recent = RECENT_STEPS.min(rewards.len());
    let (first, last) = (mean_reward(&rewards[..recent]), mean_reward(&rewards[rewards.len() - recent..]));
    let risen = last.mean - first.mean;
    let verb = match risen.abs() < 3.0 * first.error.hypot(last.error) {
        true => "did not change much",
        false if risen > 0.0 => "rose",
        false => "fell",
    };
    let advice = match verb {
        "rose" => "Read the continuations below: a reward can rise without the texts becoming better.",
        _ => "More samples, another learning rate, or a smaller penalty beta would help.",
    };
    format!("The mean reward {verb}, from {first} in the first {recent} steps to {last} in the last {recent}. {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trend_of_rewards_is_compared_with_their_errors() {
        let trend = |means: [f64; 2]| {
            let rewards = means.map(|mean| vec![RewardReport { mean, error: 0.1, ..RewardReport::default() }; 10]);
            assessed_rewards(&rewards.concat())
        };
        assert!(trend([0.2, 0.9]).contains("rose, from 0.2000 ± 0.0316"), "{}", trend([0.2, 0.9]));
        assert!(trend([0.9, 0.2]).contains("fell") && trend([0.9, 0.2]).contains("More samples"));
        assert!(trend([0.5, 0.52]).contains("did not change much"));
    }
}
