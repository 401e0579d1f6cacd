//! `ketformer train`: starts a run in a new run folder, or resumes a run.

mod cause;
mod closing;
mod files;
#[cfg(test)]
mod given_values;
mod job;
mod location;
mod record;
mod recovery;
mod resume;
mod run;

use ketformer::Result;

use crate::cli::arguments::TrainArguments;
use crate::cli::{Outcome, device, interrupt, output, weights};
pub use job::Job;
pub use resume::checkpoint;
pub use run::{Trained, TrainingRun};

/// Trains and prints the final energy. Everything that can be checked without a GPU is checked before one is opened. A
/// new run folder is removed unless the run starts.
///
/// # Errors
/// Errors of settings, adapter, memory, files and weights.
pub fn run(arguments: &TrainArguments) -> Result<Outcome> {
    match &arguments.resume {
        Some(path) => resume::run(arguments, path),
        None => begin(arguments),
    }
}

/// Starts a new run.
fn begin(arguments: &TrainArguments) -> Result<Outcome> {
    let job = Job::new(arguments)?;
    interrupt::watch()?;
    let load = |path| weights::load(path, &job.problem, arguments.json || arguments.gpu.quiet);
    let weights = arguments.weights.as_deref().map(load).transpose()?;
    let folder = job.location.reserve()?;
    let gpu = device::open(&arguments.gpu.adapter)?;
    let mut run = TrainingRun::new(job, &gpu, weights.as_ref())?;
    if interrupt::requested() {
        output::warning(&"interrupted before the first step: nothing is left behind; the same command starts again");
        return Ok(Outcome::Interrupted);
    }
    run.begin(&gpu, folder)?;
    run.finish(&gpu)
}
