//! Loading of weights files, with notes on what is left out of them and on their order of sites.

use std::path::Path;

use ketformer::Result;
use ketformer::model::{LoadedWeights, Weights};

use crate::cli::groups::Problem;
use crate::cli::output;

/// Weights in the file at `path` for the wave function of `problem`. Unless `quiet`, prints a note if a prefix or
/// tensors are left out, or if the order of sites matters.
///
/// # Errors
/// Errors of files, weights and the layout of the wave function.
pub fn load(path: &Path, problem: &Problem, quiet: bool) -> Result<Weights> {
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
