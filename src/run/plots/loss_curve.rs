//! `loss.svg`: the losses of a GPT against the step.

use std::path::Path;

use crate::error::Result;
use crate::gpt::GptReport;
use crate::plot_style::{Fault, LETTERS};

use super::curve::{SIZE, write};
use super::series::{Series, SeriesStyle, Vertical};

/// Losses of a run of a GPT: those of the batches and those of held-out data.
#[derive(Debug, Clone, Default)]
pub struct LossCurve {
    training: Series,
    validation: Series,
}

impl LossCurve {
    /// Adds the losses of a step; values that are not finite are skipped.
    pub fn push(&mut self, report: &GptReport) {
        self.training.push(report.step, report.loss);
        self.validation.push(report.step, report.validation_loss.unwrap_or(f64::NAN));
    }

    /// Draws every step, the moving mean, and the losses of held-out data.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] if there is no step to draw or the file cannot be written.
    pub fn draw(&self, path: &Path, title: &str) -> Result<()> {
        write(path, self.svg(title, SIZE, LETTERS))
    }

    /// The plot of this size as SVG; with a legend if it has a title.
    pub(in crate::run) fn svg(
        &self,
        title: &str,
        size: (u32, u32),
        letters: u32,
    ) -> std::result::Result<String, Fault> {
        let is_large = !title.is_empty();
        self.training.svg(&SeriesStyle {
            size,
            letters,
            title,
            name: "loss in nats per token",
            exact: None,
            other: (self.validation.len() > 0).then_some(("held-out data", &self.validation)),
            vertical: Vertical::Close,
            mean: true,
            legend: is_large,
            numbers: if is_large { [8, 8] } else { [5, 5] },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_losses_are_drawn() {
        let mut curve = LossCurve::default();
        assert!(curve.svg("", SIZE, LETTERS).is_err());
        for step in 1..=100 {
            let validation_loss = (step % 25 == 0).then_some(2.0 - step as f64 / 100.0);
            curve.push(&GptReport { step, loss: 3.0 - step as f64 / 50.0, validation_loss, ..GptReport::default() });
        }
        let svg = curve.svg("gpt", SIZE, LETTERS).unwrap();
        for text in ["each step", "mean of 5 steps", "held-out data", "loss in nats per token"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("NaN"));
        assert!(!curve.svg("", SIZE, LETTERS).unwrap().contains("held-out data"));
    }
}
