//! Training curves of a GPT: losses, norm of the gradient, learning rate, rewards and times against the step.

use crate::gpt::GptReport;
use crate::plot_style::Fault;
use crate::run::LossCurve;
use crate::run::plots::Vertical;
use crate::run::report::markup::figure;
use crate::run::report::training::{Chart, LETTERS, SIZE, inline};

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
