//! Training runs: their folder, checkpoints, resumption, recovery from lost devices, progress and end. What is trained
//! is a [`Training`].

mod cause;
mod closing;
mod files;
mod job;
mod location;
mod record;
mod recovery;
pub mod resume;
mod run;
mod trainer;

pub use job::Job;
pub use location::RunLocation;
pub use run::{Results, TrainingRun};
pub use trainer::{RunSteps, RunTrainer};

use std::collections::BTreeMap;
use std::path::Path;

use ketformer::Result;
use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::run::{RunFolder, RunSettings, TrainingReport};
use serde_json::{Map, Value};

use crate::cli::output::progress::StepDisplay;
use crate::cli::settings::Group;

/// What a run trains: its settings and trainer, the results of its steps, and their texts.
pub trait Training: Sized {
    /// Report of a step.
    type Report: TrainingReport;
    /// Trainer.
    type Trainer: RunTrainer<Self::Report>;
    /// Display of steps.
    type Display: StepDisplay<Self::Report>;
    /// Result of the steps so far.
    type Summary: Clone + Default;
    /// Plot of the steps so far.
    type Curve: Default;

    /// Command that trains, such as `train`.
    const COMMAND: &'static str;
    /// Settings that are allowed to change on resume: length, step size and output of the run, but not the problem.
    const MAY_CHANGE: &'static [&'static str];
    /// Plot of the run.
    const PICTURE_FILE: &'static str;
    /// What to change if steps are rejected.
    const REMEDY: &'static str;

    /// Group of the settings of a run.
    fn group() -> &'static Group;

    /// Resolved settings of other groups, which define the problem, by the name of the group.
    fn groups(&self) -> BTreeMap<String, Map<String, Value>>;

    /// Reads and checks the settings of the run in `folder`.
    ///
    /// # Errors
    /// `ErrorKind::File` if the file is not that of such a run.
    fn load_settings(folder: &Path) -> Result<RunSettings>;

    /// Seed of the run.
    fn seed(&self) -> u64;

    /// Creates the trainer. A signal stops it.
    ///
    /// # Errors
    /// Errors of adapter, memory and settings.
    fn trainer(&self, gpu: &Gpu) -> Result<Self::Trainer>;

    /// Computes what the displays need, after the trainer was created.
    ///
    /// # Errors
    /// Errors of the computation.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// What the TensorBoard scalars depend on.
    fn scale(&self) -> <Self::Report as TrainingReport>::Scale;

    /// Display of the steps.
    fn display(&self) -> Self::Display;

    /// Prints notes on the problem.
    fn show_notes(&self) {}

    /// Prints warnings before the first step.
    fn warn(&self) {}

    /// Adds a step to the results.
    fn add(&self, report: &Self::Report, summary: &mut Self::Summary, curve: &mut Self::Curve);

    /// Number of steps between two calls of [`Self::pause`]; `None` if it is not needed.
    fn pause_interval(&self) -> Option<u64> {
        None
    }

    /// Writes what belongs to the last step into the folder of the run. No step is in flight.
    ///
    /// # Errors
    /// Errors of the device and of files.
    fn pause(_run: &TrainingRun<Self>, _folder: &RunFolder) -> Result<()> {
        Ok(())
    }

    /// Writes files that do not change during the run, before the settings.
    ///
    /// # Errors
    /// Errors of files.
    fn begin(&self, _folder: &RunFolder) -> Result<()> {
        Ok(())
    }

    /// Writes the weights of a checkpoint.
    ///
    /// # Errors
    /// Errors of files.
    fn save_weights(&self, weights: &Weights, path: &Path) -> Result<()>;

    /// Whether a step was accepted, so that there is a result.
    fn has_result(summary: &Self::Summary) -> bool;

    /// Prints the result of the steps.
    ///
    /// # Errors
    /// Errors of the device.
    fn show_result(run: &TrainingRun<Self>) -> Result<()>;

    /// Draws the steps.
    ///
    /// # Errors
    /// Errors of files.
    fn draw(&self, results: &Results<Self>, path: &Path) -> Result<()>;

    /// What to do with the completed run in the folder `word`, quoted for a shell.
    fn next_commands(word: &str) -> String;
}
