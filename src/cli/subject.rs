//! Subject of a command: wave function, Hamiltonian and weights, from a run folder or from arguments.

use std::path::{Path, PathBuf};

use ketformer::model::Weights;
use ketformer::run::{MODEL_FILE, RunSettings, SETTINGS_FILE, newest_checkpoint};
use ketformer::{Error, ErrorKind, Result};

use crate::cli::arguments::{GpuArguments, GroupArguments};
use crate::cli::groups::Problem;
use crate::cli::settings::typed::Typed;
use crate::cli::weights;

/// Whether a word is KEY=VALUE rather than a path, which may contain a `=`.
fn is_setting(word: &str) -> bool {
    word.split_once('=').is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Splits words into settings and paths.
pub fn split_runs(words: &[String]) -> (Vec<String>, Vec<String>) {
    words.iter().cloned().partition(|word| is_setting(word))
}

/// Returns the problem and the weights of a run folder, or the given ones. `does` is the verb of the command, such as
/// "evaluate".
///
/// # Errors
/// `ErrorKind::Settings` if none or both are given; errors of files and weights.
pub fn subject(
    [command, does]: [&str; 2],
    groups: &GroupArguments,
    weights: Option<&PathBuf>,
    runs: &[String],
    gpu: &GpuArguments,
) -> Result<(Problem, Weights)> {
    let fault = |text: String| Err(Error::new(ErrorKind::Settings, format!("{command}: {text}")));
    match (runs, weights) {
        ([], None) => fault(format!(
            "nothing to {does}; give a run folder, such as out/1, or --weights FILE with groups such as --ptf"
        )),
        ([], Some(path)) => {
            let problem = Problem::new(&groups.model, &groups.hamiltonian, None, gpu.memory)?;
            let weights = weights::load(path, &problem, gpu.quiet)?;
            Ok((problem, weights))
        }
        ([_], Some(_)) => fault("a run folder and --weights are both given; keep one of them".into()),
        ([_], None) if groups.model.is_given() || groups.hamiltonian.is_given() => fault(
            "the run folder defines wave function and Hamiltonian; leave them out, or give --weights FILE instead"
                .into(),
        ),
        ([run], None) => of_run(command, Path::new(run), gpu.memory).map(|(_, problem, weights)| (problem, weights)),
        _ => fault(format!("more than one run folder is given; {does} them one by one")),
    }
}

/// Returns the settings, the problem and the weights of the run in a folder.
///
/// # Errors
/// `ErrorKind::Settings` if the folder names no known wave function or Hamiltonian; errors of files and weights.
pub fn of_run(command: &str, run: &Path, memory: Option<u64>) -> Result<(RunSettings, Problem, Weights)> {
    let settings = RunSettings::load(&run.join(SETTINGS_FILE))?;
    let (model, hamiltonian) = (Typed::of_run(&settings.groups), Typed::of_run(&settings.groups));
    for (what, is_given) in [("wave function", model.is_given()), ("Hamiltonian", hamiltonian.is_given())] {
        if !is_given {
            let text = format!(
                "{command}: settings.json names no {what} known here; use the version of ketformer that wrote it"
            );
            return Err(Error::new(ErrorKind::Settings, text));
        }
    }
    let problem = Problem::new(&model, &hamiltonian, None, memory)?;
    let weights = weights_of(run)?;
    Ok((settings, problem, weights))
}

/// Weights of a run: from its weights file, or from its newest checkpoint if the run ended before writing that file.
fn weights_of(run: &Path) -> Result<Weights> {
    let path = run.join(MODEL_FILE);
    if !path.exists()
        && let Some(newest) = newest_checkpoint(run)?
    {
        return Ok(newest.checkpoint.weights);
    }
    Weights::load(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_paths_are_told_apart() {
        assert!(is_setting("samples=100") && is_setting("seed="));
        assert!(!is_setting("out/1") && !is_setting("out/64-B=1024/0") && !is_setting("./a=b"));
    }
}
