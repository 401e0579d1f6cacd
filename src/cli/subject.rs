//! Subject of a command: wave function, Hamiltonian and weights, from a run folder or from arguments.

use std::path::{Path, PathBuf};

use ketformer::model::Weights;
use ketformer::run::{RunFolder, RunSettings, WeightsOrigin};
use ketformer::{Error, ErrorKind, Result};

use crate::cli::arguments::{GpuArguments, GroupArguments};
use crate::cli::groups::Problem;
use crate::cli::settings::typed::Typed;
use crate::cli::{output, run_settings, weights};

/// Whether a word is KEY=VALUE rather than a path, which may contain a `=`.
fn is_setting(word: &str) -> bool {
    word.split_once('=').is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Splits words into settings and paths.
pub fn split_runs(words: &[String]) -> (Vec<String>, Vec<String>) {
    words.iter().cloned().partition(|word| is_setting(word))
}

/// Subject of a command that is a run folder.
pub struct RunSubject {
    pub settings: RunSettings,
    pub problem: Problem,
    pub weights: Weights,
    /// Where the weights come from.
    pub origin: WeightsOrigin,
}

/// Returns the problem and the weights of a run folder, or the given ones. `does` is the verb of the command, such as
/// "evaluate". Notes which weights of a run are used, unless they are the final ones.
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
        ([run], None) => {
            let RunSubject { problem, weights, origin, .. } = of_run(Path::new(run), gpu.memory)?;
            if !gpu.quiet && !origin.is_final() {
                output::note(&format!("{run}: {}", origin.described()));
            }
            Ok((problem, weights))
        }
        _ => fault(format!("more than one run folder is given; {does} them one by one")),
    }
}

/// Returns the settings, the problem and the newest weights of the run in a folder.
///
/// # Errors
/// As [`run_settings::load`], [`Problem::new`] and [`weights::newest`].
pub fn of_run(run: &Path, memory: Option<u64>) -> Result<RunSubject> {
    let settings = run_settings::load(run)?;
    let (model, hamiltonian) = (Typed::of_run(&settings.groups), Typed::of_run(&settings.groups));
    let problem = Problem::new(&model, &hamiltonian, None, memory)?;
    let (weights, step) = weights::newest(run)?;
    let origin = WeightsOrigin { step, state: RunFolder::state(run, settings.ended) };
    Ok(RunSubject { settings, problem, weights, origin })
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
