//! `ketformer gpt`: trains, fine-tunes, evaluates and samples a GPT.

mod data;
mod eval;
mod files;
mod job;
pub mod report;
mod sample;
mod subject;
mod training;
mod tune;

use ketformer::Result;

use crate::cli::arguments::gpt::GptTrainArguments;
use crate::cli::training::{TrainingRun, resume};
use crate::cli::{Outcome, interrupt};
pub use eval::run as eval;
pub use sample::run as sample;
pub use training::GptTraining;
pub use tune::run as tune;

/// Trains in a new run folder, or resumes a run. Everything that can be checked without a GPU is checked before one is
/// opened.
///
/// # Errors
/// Errors of settings, data, adapter, memory, files and weights.
pub fn train(arguments: &GptTrainArguments) -> Result<Outcome> {
    if let Some(path) = &arguments.resume {
        resume::refuse(arguments.weights.as_deref(), arguments.out.as_deref())?;
        return resume::run(path, &arguments.settings, &arguments.gpu.adapter, |run, changes| {
            GptTraining::job_of_run(path, run, changes, arguments)
        });
    }
    let (job, weights) = GptTraining::job(arguments)?;
    interrupt::watch()?;
    TrainingRun::start(job, weights.as_ref(), &arguments.gpu.adapter)
}
