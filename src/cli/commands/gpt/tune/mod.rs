//! `ketformer gpt tune`: fine-tunes a GPT by the reward of its continuations.

mod job;
mod prompts;
mod reward;
mod training;

use ketformer::Result;

use crate::cli::arguments::gpt::GptTuneArguments;
use crate::cli::subject::split_runs;
use crate::cli::training::{TrainingRun, resume};
use crate::cli::{Outcome, interrupt};
use training::TuneTraining;

/// Fine-tunes in a new run folder, or resumes such a run. Everything that can be checked without a GPU and without the
/// program of the reward is checked before.
///
/// # Errors
/// Errors of settings, data, reward, adapter, memory, files and weights.
pub fn run(arguments: &GptTuneArguments) -> Result<Outcome> {
    let (words, runs) = split_runs(&arguments.words);
    if let Some(path) = &arguments.resume {
        resume::refuse(None, arguments.out.as_deref())?;
        if let Some(other) = runs.first() {
            return resume::fault(format!("the run resumes from its own weights; leave {other} out"));
        }
        return resume::run(path, &words, &arguments.gpu.adapter, |run, changes| {
            TuneTraining::job_of_run(path, run, changes, arguments)
        });
    }
    let job = TuneTraining::job(&words, &runs, arguments)?;
    interrupt::watch()?;
    TrainingRun::start(job, None, &arguments.gpu.adapter)
}
