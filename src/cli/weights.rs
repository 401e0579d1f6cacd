//! Weights from a file, with notes on what is left out of it and on its order of sites, or from a run folder.

use std::path::Path;

use ketformer::Result;
use ketformer::model::{LoadedWeights, Weights};
use ketformer::run::newest_weights;

use crate::cli::groups::Problem;
use crate::cli::output;

/// Weights for the wave function of `problem` in the file at `path`, or the newest ones of the run folder there. Unless
/// `quiet`, prints a note if a prefix or tensors of a file are left out, or if the order of sites matters.
///
/// # Errors
/// Errors of files, weights and the layout of the wave function; as [`newest`].
pub fn load(path: &Path, problem: &Problem, quiet: bool) -> Result<Weights> {
    if path.is_dir() {
        return newest(path).map(|(weights, _)| weights);
    }
    let loaded = LoadedWeights::load(path)?;
    let (prefix, left_out) = (loaded.prefix.clone(), loaded.left_out.clone());
    let weights = loaded.for_layout(&problem.model.layout(&problem.lattice)?)?;
    if !quiet && !prefix.is_empty() {
        output::note(&format!("{}: the prefix {prefix} of the names is left out", path.display()));
    }
    if let (Some((name, dtype)), false) = (left_out.first(), quiet) {
        let (shown, count) = (path.display(), left_out.len());
        output::note(&format!("{shown}: {count} tensors without floats are left out, such as `{name}` ({dtype})"));
    }
    if !quiet {
        problem.show_weights_note();
    }
    Ok(weights)
}

/// Reads the newest weights of a run folder and the step after which they were saved, if it is known. Warns about
/// damaged and old files.
///
/// # Errors
/// As [`newest_weights`].
pub fn newest(folder: &Path) -> Result<(Weights, Option<u64>)> {
    let newest = newest_weights(folder)?;
    newest.warnings.iter().for_each(|warning| output::warning(warning));
    Ok((newest.weights, newest.step))
}
