//! `ketformer sample`: samples of a trained wave function as NumPy files.

use std::path::{Path, PathBuf};

use ketformer::Result;
use ketformer::run::{is_stream, save_array, save_bytes};
use ketformer::vmc::{SampleConfig, State};

use crate::cli::arguments::SampleArguments;
use crate::cli::groups::{Problem, sample as group, train};
use crate::cli::subject::{split_runs, subject};
use crate::cli::{Outcome, device, output};

/// Draws configurations and writes them, and in a second file their log-probabilities. A stream, such as /dev/stdout,
/// receives only the configurations.
///
/// # Errors
/// Errors of settings, files, weights, adapter and memory.
pub fn run(arguments: &SampleArguments) -> Result<Outcome> {
    let (words, runs) = split_runs(&arguments.words);
    let settings = group::GROUP.parse(&words)?;
    let (problem, weights) =
        subject(["sample", "draw from"], &arguments.groups, arguments.weights.as_ref(), &runs, &arguments.gpu)?;
    let Problem { lattice, model, .. } = &problem;
    let log_p_path = (!is_stream(&arguments.out)).then(|| log_p_path(&arguments.out));
    let gpu = device::open(&arguments.gpu.adapter)?;
    let config = SampleConfig {
        samples: arguments.samples as usize,
        seed: settings.optional_count("seed").unwrap_or_else(train::draw_seed),
    };
    let state = State::new(&gpu, lattice, model.as_ref(), &weights)
        .with_precision(train::precision(&settings))
        .with_memory(arguments.gpu.memory);
    let drawn = state.sample(config)?;
    let (count, sites) = (drawn.configurations.len(), lattice.sites());
    save_bytes(&arguments.out, [count, sites], &drawn.configurations.concat())?;
    let Some(log_p_path) = log_p_path else {
        let text = "the log-probabilities are left out, because -o is not a file; give a file to get both";
        (!arguments.gpu.quiet).then(|| output::note(&text));
        return Ok(Outcome::Done);
    };
    save_array(&log_p_path, &[count], &drawn.log_p)?;
    let what = if drawn.normalized { "log P" } else { "log psi^2, up to a constant" };
    output::line(format!(
        "{} uint8 ({count}, {sites})  {} float64 ({count},): {what}",
        arguments.out.display(),
        log_p_path.display()
    ));
    if !drawn.normalized && !arguments.gpu.quiet {
        output::note(&"samples of Markov chains are correlated; `ketformer eval` prints the autocorrelation time");
    }
    Ok(Outcome::Done)
}

/// Path of the log-probabilities: spins.npy → spins.log_p.npy.
fn log_p_path(path: &Path) -> PathBuf {
    path.with_extension("log_p.npy")
}
