//! `reward.svg`: the mean reward of a GPT against the step.

use std::path::Path;

use crate::error::Result;
use crate::gpt::GptReport;
use crate::plot_style::LETTERS;

use super::curve::{SIZE, write};
use super::series::{Series, SeriesStyle, Vertical};

/// Mean rewards of a run of fine-tuning.
#[derive(Debug, Clone, Default)]
pub struct RewardCurve {
    series: Series,
}

impl RewardCurve {
    /// Adds the mean reward of a step; a step without one is skipped.
    pub fn push(&mut self, report: &GptReport) {
        self.series.push(report.step, report.reward.map_or(f64::NAN, |reward| reward.mean));
    }

    /// Draws every step and the moving mean.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] if there is no step to draw or the file cannot be written.
    pub fn draw(&self, path: &Path, title: &str) -> Result<()> {
        let svg = self.series.svg(&SeriesStyle {
            size: SIZE,
            letters: LETTERS,
            title,
            name: "mean reward",
            exact: None,
            other: None,
            vertical: Vertical::Close,
            mean: true,
            legend: true,
            numbers: [8, 8],
        });
        write(path, svg)
    }
}
