//! `ketformer train --resume RUN`: resumes a run from its newest checkpoint.

use std::path::Path;

use ketformer::run::{
    AdapterRecord, Ending, HISTORY_FILE, MODEL_FILE, PICTURE_FILE, Resumption, RunFolder, RunSettings,
    newest_checkpoint,
};
use ketformer::vmc::Checkpoint;
use ketformer::{Error, ErrorKind, Result};

use super::job::Job;
use super::run::TrainingRun;
use crate::cli::arguments::TrainArguments;
use crate::cli::groups::train;
use crate::cli::settings::typed::words;
use crate::cli::shell::quoted_path;
use crate::cli::{Outcome, device, interrupt, output, run_settings};

/// Settings that are allowed to change on resume: length, step size and output of the run, but not the problem.
const MAY_CHANGE: [&str; 7] =
    ["steps", "lr", "clip", "report", "checkpoint", "max_rejected_steps", "max_device_losses"];

/// Resumes the run in `path`. A run whose steps are all done, but which was killed before its files were complete, is
/// completed.
///
/// # Errors
/// `ErrorKind::Settings` for settings that cannot change and for a run without remaining steps; errors of adapter,
/// memory, files and weights.
pub fn run(arguments: &TrainArguments, path: &Path) -> Result<Outcome> {
    refuse_what_a_run_says(arguments)?;
    if RunFolder::is_killed_start(path) {
        return fault(format!(
            "the run in {} was killed before its first step; begin it again with --out {}",
            path.display(),
            quoted_path(path)
        ));
    }
    let mut settings = run_settings::load(path)?;
    let changes = changes(arguments, &settings)?;
    let job = Job::of_run(path, &settings, &changes, arguments)?;
    interrupt::watch()?;
    let folder = RunFolder::existing(path)?;
    let checkpoint = checkpoint(path)?;
    if checkpoint.step >= job.steps && (is_complete(path, &settings) || !changes.is_empty()) {
        return fault(format!(
            "{} has done all its {} steps; give more, such as steps={}",
            path.display(),
            job.steps,
            2 * checkpoint.step.max(1)
        ));
    }
    let gpu = device::open(&arguments.gpu.adapter)?;
    let adapter = AdapterRecord::from(gpu.info());
    let is_other = &adapter != settings.last_adapter();
    if is_other {
        output::warning(&format!(
            "this run used {}, which may round differently from {}: it resumes, but not bit for bit as on the former; \
             for that give --adapter",
            settings.last_adapter().described(),
            adapter.described()
        ));
    }
    if is_other || !changes.is_empty() {
        settings = settings.resumed(Resumption { step: checkpoint.step, adapter, changes }, &job.settings.map());
    }
    TrainingRun::resume(job, &gpu, folder, settings, &checkpoint)?.finish(&gpu)
}

/// Whether the run in `path` ended after its last step, with all its files.
fn is_complete(path: &Path, settings: &RunSettings) -> bool {
    let has_ended = settings.ended.is_some_and(|end| matches!(end.cause, Ending::Completed | Ending::Rejected));
    has_ended && [MODEL_FILE, HISTORY_FILE, PICTURE_FILE].iter().all(|name| path.join(name).is_file())
}

/// Newest intact checkpoint of the run in `path`. Warns about damaged ones that are newer.
///
/// # Errors
/// `ErrorKind::Settings` if there is none; errors of files and weights.
pub fn checkpoint(path: &Path) -> Result<Checkpoint> {
    let Some(newest) = newest_checkpoint(path)? else {
        return fault(format!(
            "{} has no checkpoint; begin a new run, perhaps with --weights of this one",
            path.display()
        ));
    };
    for damaged in newest.damaged {
        output::warning(&format!("{damaged}; resuming from the checkpoint of step {}", newest.checkpoint.step));
    }
    Ok(newest.checkpoint)
}

fn fault<T>(text: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(ErrorKind::Settings, format!("resume: {text}")))
}

/// Refuses arguments that the run folder already defines.
fn refuse_what_a_run_says(arguments: &TrainArguments) -> Result<()> {
    let groups = &arguments.groups;
    if groups.model.is_given() || groups.hamiltonian.is_given() {
        return fault("the run folder defines wave function and Hamiltonian; leave them out");
    }
    if arguments.weights.is_some() {
        return fault("the run resumes with its own weights; leave --weights out, or begin a new run");
    }
    if arguments.out.is_some() {
        return fault("the run resumes in its own folder; leave --out out");
    }
    Ok(())
}

/// Given settings that differ from those of the run. All of them must be allowed to change.
fn changes(arguments: &TrainArguments, run: &RunSettings) -> Result<Vec<String>> {
    let typed = arguments.words();
    let settings = train::GROUP.parse(&typed)?;
    let kept = words(&run.train);
    let mut changes = Vec::new();
    for (name, value) in settings.resolved().filter(|(name, _)| settings.is_given(name)) {
        let word = format!("{name}={value}");
        if kept.contains(&word) {
            continue;
        }
        if !MAY_CHANGE.contains(&name) {
            let old = kept.iter().find(|word| word.split_once('=').is_some_and(|(key, _)| key == name));
            return fault(format!(
                "{word} would be another run{}; only {} may change: leave {name} out, or begin a new run with --weights",
                old.map_or(String::new(), |old| format!(" than that of {old}")),
                MAY_CHANGE.join(", ")
            ));
        }
        changes.push(word);
    }
    Ok(changes)
}
