//! Checked settings of a training run.

use super::{RunLocation, Training};
use crate::cli::output::progress::OutputStyle;
use crate::cli::settings::Settings;
use crate::cli::settings::interval::Interval;

/// Checked settings of a training run.
pub struct Job<T> {
    /// What is trained.
    pub training: T,
    /// Location of the run folder.
    pub location: RunLocation,
    /// Settings of the group of runs.
    pub settings: Settings,
    /// Number of steps of the whole run.
    pub steps: u64,
    /// Steps between two reports.
    pub report: u64,
    /// Steps or time between two checkpoints.
    pub checkpoint: Interval,
    /// Number of consecutive rejected steps that ends the run.
    pub max_rejected_steps: u64,
    /// Number of device losses from which the run recovers.
    pub max_device_losses: u64,
    /// Command that reproduces the run.
    pub command: String,
    /// Output style.
    pub style: OutputStyle,
    /// Whether event files for TensorBoard are requested.
    pub tensorboard: bool,
}

impl<T: Training> Job<T> {
    /// Job of `training` with resolved settings.
    pub fn of(
        training: T,
        location: RunLocation,
        settings: Settings,
        command: String,
        (style, tensorboard): (OutputStyle, bool),
    ) -> Self {
        let [steps, report, max_rejected_steps, max_device_losses] =
            ["steps", "report", "max_rejected_steps", "max_device_losses"].map(|key| settings.count(key));
        let checkpoint = settings.interval("checkpoint");
        Self {
            training,
            location,
            settings,
            steps,
            report,
            checkpoint,
            max_rejected_steps,
            max_device_losses,
            command,
            style,
            tensorboard,
        }
    }
}
