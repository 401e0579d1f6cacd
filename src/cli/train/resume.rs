//! `ketformer train --resume RUN`: a run that goes on from its newest checkpoint.

use std::path::Path;

use ketformer::run::{
    AdapterRecord, METRICS_FILE, Metrics, Resumption, RunFolder, RunSettings, SETTINGS_FILE, newest_checkpoint,
};
use ketformer::vmc::{Checkpoint, Trainer};
use ketformer::{Error, ErrorKind, Result};

use super::job::Job;
use super::run::Run;
use crate::cli::arguments::TrainArguments;
use crate::cli::groups::train;
use crate::cli::typed::words;
use crate::cli::{Outcome, device, interrupt, output};

/// Settings that may change when a run goes on: how long, how far and how often, and not what is trained.
const MAY_CHANGE: [&str; 6] = ["steps", "lr", "clip", "report", "checkpoint", "rejections"];

/// Goes on with the run in `path`.
///
/// # Errors
/// `ErrorKind::Settings` for settings that cannot change and for a run with nothing left to do; of every room.
pub fn run(arguments: &TrainArguments, path: &Path) -> Result<Outcome> {
    refuse_what_a_run_says(arguments)?;
    let settings = RunSettings::load(&path.join(SETTINGS_FILE))?;
    let changes = changes(arguments, &settings)?;
    let job = Job::of_run(&settings, &changes, arguments)?;
    interrupt::watch()?;
    let folder = RunFolder::existing(path)?;
    let checkpoint = checkpoint(path)?;
    if checkpoint.step >= job.steps {
        return fault(format!(
            "{} has done all its {} steps; give more, such as steps={}",
            path.display(),
            job.steps,
            2 * checkpoint.step.max(1)
        ));
    }
    let gpu = device::open(&arguments.gpu.adapter)?;
    let mut trainer = super::trainer(&job, &gpu)?;
    trainer.restore(&checkpoint)?;
    let adapter = AdapterRecord::from(gpu.info());
    if &adapter != settings.last_adapter() {
        output::warning(&format!(
            "this run went on {}, which computes other last bits than {}: it goes on, and not bit for bit as it would have; \
             for that give --adapter",
            settings.last_adapter().described(),
            adapter.described()
        ));
    }
    let changed = !changes.is_empty() || &adapter != settings.last_adapter();
    if changed {
        let resumption = Resumption { step: checkpoint.step, adapter, changes };
        settings.resumed(resumption, &job.settings.map()).save(&folder.file(SETTINGS_FILE))?;
    }
    let run = gone_on(&job, folder, checkpoint.step)?;
    super::train(&job, run, &gpu, trainer)
}

/// The run in a folder, where its newest checkpoint is, with a trainer that stands there; a run with nothing left to do too.
///
/// # Errors
/// Of files and weights.
pub fn restored(job: &Job, folder: RunFolder, trainer: &mut Trainer) -> Result<Run> {
    let checkpoint = checkpoint(folder.path())?;
    trainer.restore(&checkpoint)?;
    gone_on(job, folder, checkpoint.step)
}

/// The newest checkpoint that is whole, with a warning for those that are newer and not.
fn checkpoint(path: &Path) -> Result<Checkpoint> {
    let Some(newest) = newest_checkpoint(path)? else {
        return fault(format!(
            "{} has no checkpoint; begin a new run, perhaps with --weights of this one",
            path.display()
        ));
    };
    for damaged in newest.damaged {
        output::warning(&format!("{damaged}; going on from the checkpoint of step {}", newest.checkpoint.step));
    }
    Ok(newest.checkpoint)
}

/// The run after step `done`, with its metrics up to there.
fn gone_on(job: &Job, folder: RunFolder, done: u64) -> Result<Run> {
    let (metrics, reports) = Metrics::resume(&folder.file(METRICS_FILE), done)?;
    if (reports.len() as u64) < done {
        output::warning(&format!(
            "metrics.csv has {} of {done} steps: those that are missing stay missing; training is not touched by it",
            reports.len()
        ));
    }
    Run::go_on(job, folder, metrics, &reports, done)
}

fn fault<T>(text: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(ErrorKind::Settings, format!("resume: {text}")))
}

/// What the run folder says cannot be said again.
fn refuse_what_a_run_says(arguments: &TrainArguments) -> Result<()> {
    let groups = &arguments.groups;
    if groups.model.is_given() || groups.hamiltonian.is_given() {
        return fault("the run folder says what wave function and Hamiltonian are; leave them out");
    }
    if arguments.weights.is_some() {
        return fault("the run goes on with its own weights; leave --weights out, or begin a new run");
    }
    if arguments.out.is_some() {
        return fault("the run goes on in its own folder; leave --out out");
    }
    Ok(())
}

/// The settings that were typed and are other than those of the run, all of which may change.
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
