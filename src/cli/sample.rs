//! `ketformer sample`: configurations of a trained wave function, as a file for NumPy.

use std::path::{Path, PathBuf};

use ketformer::Result;
use ketformer::run::{save_array, save_bytes};
use ketformer::vmc::{SampleConfig, sample};

use super::arguments::SampleArguments;
use super::groups::{Problem, sample as group, train};
use super::subject::{subject, told};
use super::{Outcome, device, output};

/// Draws, and writes the configurations and beside them their log-probabilities.
///
/// # Errors
/// Of every room: settings, files, weights, adapter, memory.
pub fn run(arguments: &SampleArguments) -> Result<Outcome> {
    let (words, runs) = told(&arguments.words);
    let settings = group::GROUP.parse(&words)?;
    let (problem, weights) = subject(["sample", "draw from"], &arguments.groups, arguments.weights.as_ref(), &runs)?;
    let Problem { lattice, model, .. } = &problem;
    let beside = beside(&arguments.out);
    let gpu = device::open(&arguments.gpu.adapter)?;
    let config = SampleConfig {
        samples: arguments.samples as usize,
        seed: settings.optional_count("seed").unwrap_or_else(train::draw_seed),
        memory: arguments.gpu.memory,
        precision: train::precision(&settings),
    };
    let drawn = sample(&gpu, lattice, model.as_ref(), &weights, config)?;
    let (count, sites) = (drawn.configurations.len(), lattice.sites());
    save_bytes(&arguments.out, [count, sites], &drawn.configurations.concat())?;
    save_array(&beside, &[count], &drawn.log_p)?;
    let what = if drawn.normalised { "log P" } else { "log psi^2, up to a constant" };
    output::line(format!(
        "{} uint8 ({count}, {sites})  {} float64 ({count},): {what}",
        arguments.out.display(),
        beside.display()
    ));
    if !drawn.normalised && !arguments.gpu.quiet {
        output::note(&"samples are of Markov chains, which depend on those before; `ketformer eval` says how much");
    }
    Ok(Outcome::Done)
}

/// spins.npy → spins.log_p.npy
fn beside(path: &Path) -> PathBuf {
    path.with_extension("log_p.npy")
}
