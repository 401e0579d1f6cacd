//! `ketformer train`: trains a wave function in a new run folder, or resumes a run.

#[cfg(test)]
mod given_values;
mod job;
mod wave_function;

use std::path::Path;

use ketformer::Result;

use crate::cli::arguments::TrainArguments;
use crate::cli::training::{TrainingRun, resume};
use crate::cli::{Outcome, interrupt, weights};
pub use wave_function::{Trained, WaveFunctionTraining};

/// Trains and prints the final energy. Everything that can be checked without a GPU is checked before one is opened. A
/// new run folder is removed unless the run starts.
///
/// # Errors
/// Errors of settings, adapter, memory, files and weights.
pub fn run(arguments: &TrainArguments) -> Result<Outcome> {
    match &arguments.resume {
        Some(path) => resume(arguments, path),
        None => begin(arguments),
    }
}

/// Starts a new run.
fn begin(arguments: &TrainArguments) -> Result<Outcome> {
    let job = WaveFunctionTraining::job(arguments)?;
    interrupt::watch()?;
    let load = |path| weights::load(path, &job.training.problem, arguments.output.json || arguments.gpu.quiet);
    let weights = arguments.weights.as_deref().map(load).transpose()?;
    TrainingRun::start(job, weights.as_ref(), &arguments.gpu.adapter)
}

/// Resumes the run in `path`.
fn resume(arguments: &TrainArguments, path: &Path) -> Result<Outcome> {
    let groups = &arguments.groups;
    if groups.model.is_given() || groups.hamiltonian.is_given() {
        return resume::fault("the run folder defines wave function and Hamiltonian; leave them out");
    }
    resume::refuse(arguments.weights.as_deref(), arguments.out.as_deref())?;
    resume::run(path, &arguments.words(), &arguments.gpu.adapter, |run, changes| {
        WaveFunctionTraining::job_of_run(path, run, changes, arguments)
    })
}
