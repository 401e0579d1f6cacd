//! Resumption of a run from its newest checkpoint.

use std::path::Path;

use ketformer::run::{
    AdapterRecord, Ending, HISTORY_FILE, MODEL_FILE, Resumption, RunFolder, RunSettings, newest_checkpoint,
};
use ketformer::vmc::Checkpoint;
use ketformer::{Error, ErrorKind, Result};

use super::{Job, Training, TrainingRun};
use crate::cli::arguments::AdapterArguments;
use crate::cli::settings::typed::words;
use crate::cli::shell::quoted_path;
use crate::cli::{Outcome, device, interrupt, output};

/// Resumes the run in `path` with the settings `typed`. `job` is that of the settings of the run with changes. A run
/// whose steps are all done, but which was killed before its files were complete, is completed.
///
/// # Errors
/// `ErrorKind::Settings` for settings that cannot change and for a run without remaining steps; errors of adapter,
/// memory, files and weights.
pub fn run<T: Training>(
    path: &Path,
    typed: &[String],
    adapter: &AdapterArguments,
    job: impl FnOnce(&RunSettings, &[String]) -> Result<Job<T>>,
) -> Result<Outcome> {
    if RunFolder::is_killed_start(path) {
        return fault(format!(
            "the run in {} was killed before its first step; begin it again with --out {}",
            path.display(),
            quoted_path(path)
        ));
    }
    let mut settings = T::load_settings(path)?;
    let changes = changes::<T>(typed, &settings)?;
    let job = job(&settings, &changes)?;
    interrupt::watch()?;
    let folder = RunFolder::existing(path)?;
    let checkpoint = checkpoint(path)?;
    if checkpoint.step >= job.steps && (is_complete::<T>(path, &settings) || !changes.is_empty()) {
        return fault(format!(
            "{} has done all its {} steps; give more, such as steps={}",
            path.display(),
            job.steps,
            2 * checkpoint.step.max(1)
        ));
    }
    let gpu = device::open(adapter)?;
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
        let resumption = Resumption { step: checkpoint.step, adapter, changes };
        settings = settings.resumed(resumption, T::group().name, job.settings.map());
    }
    TrainingRun::resume(job, &gpu, folder, settings, &checkpoint)?.finish(&gpu)
}

/// Whether the run in `path` ended after its last step, with all its files.
fn is_complete<T: Training>(path: &Path, settings: &RunSettings) -> bool {
    let has_ended = settings.ended.is_some_and(|end| matches!(end.cause, Ending::Completed | Ending::Rejected));
    has_ended && [MODEL_FILE, HISTORY_FILE, T::PICTURE_FILE].iter().all(|name| path.join(name).is_file())
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

/// Error of a resumption.
///
/// # Errors
/// Always, `ErrorKind::Settings`.
pub fn fault<T>(text: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(ErrorKind::Settings, format!("resume: {text}")))
}

/// Refuses weights and a folder for a run that resumes with its own ones.
///
/// # Errors
/// `ErrorKind::Settings` if one of them is given.
pub fn refuse(weights: Option<&Path>, out: Option<&Path>) -> Result<()> {
    match (weights, out) {
        (Some(_), _) => fault("the run resumes with its own weights; leave --weights out, or begin a new run"),
        (None, Some(_)) => fault("the run resumes in its own folder; leave --out out"),
        (None, None) => Ok(()),
    }
}

/// Given settings that differ from those of the run. All of them must be allowed to change.
fn changes<T: Training>(typed: &[String], run: &RunSettings) -> Result<Vec<String>> {
    let settings = T::group().parse(typed)?;
    let kept = run.group(T::group().name).map(words).unwrap_or_default();
    let mut changes = Vec::new();
    for (name, value) in settings.resolved().filter(|(name, _)| settings.is_given(name)) {
        let word = format!("{name}={value}");
        if kept.contains(&word) {
            continue;
        }
        if !T::MAY_CHANGE.contains(&name) {
            let old = kept.iter().find(|word| word.split_once('=').is_some_and(|(key, _)| key == name));
            return fault(format!(
                "{word} would be another run{}; only {} may change: leave {name} out, or begin a new run with --weights",
                old.map_or(String::new(), |old| format!(" than that of {old}")),
                T::MAY_CHANGE.join(", ")
            ));
        }
        changes.push(word);
    }
    Ok(changes)
}

/// Words of the settings of a run in the group called `group`, with `changes`.
pub fn changed_words(run: &RunSettings, group: &str, changes: &[String]) -> Vec<String> {
    let name = |word: &String| word.split_once('=').map(|(name, _)| name.to_string());
    let is_changed = |word: &String| changes.iter().any(|change| name(change) == name(word));
    let kept = run.group(group).map(words).unwrap_or_default().into_iter().filter(|word| !is_changed(word));
    kept.chain(changes.iter().cloned()).collect()
}
