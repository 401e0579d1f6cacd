//! `ketformer eval`: what a trained wave function is worth, from fresh samples and, where it is small, exactly.

use std::path::{Path, PathBuf};

use ketformer::model::Weights;
use ketformer::physics::{Lattice, SymmetryGroup, Terms, ground_state};
use ketformer::run::{Enumeration, MODEL_FILE, RunSettings, SETTINGS_FILE};
use ketformer::vmc::{EvaluateConfig, enumerate, evaluate, evaluate_symmetrised};
use ketformer::{Error, ErrorKind, Result};

use super::arguments::EvalArguments;
use super::groups::{Problem, eval, train};
use super::number::{Measured, energy_line, exact_line, significant};
use super::typed::Typed;
use super::{Outcome, chains, device, output, symmetrised};

/// Up to here all 2^N configurations are enumerated.
const ENUMERATED_SITES: usize = 16;

/// Prints energy, variance and observables.
///
/// # Errors
/// Of every room: settings, files, weights, adapter, memory.
pub fn run(arguments: &EvalArguments) -> Result<Outcome> {
    let (words, runs): (Vec<String>, Vec<String>) = arguments.words.iter().cloned().partition(|word| is_setting(word));
    let settings = eval::GROUP.parse(&words)?;
    let (problem, weights) = subject(arguments, &runs)?;
    let Problem { lattice, hamiltonian, model, .. } = &problem;
    let terms = hamiltonian.terms(lattice)?;
    let is_symmetrised = arguments.symmetrize || settings.switch("symmetrize");
    let group = is_symmetrised.then(|| symmetries(&terms, lattice)).transpose()?;
    let weights = Weights::load(&weights)?;
    let gpu = device::open(&arguments.gpu.adapter)?;
    let config = EvaluateConfig {
        samples: settings.size("samples"),
        seed: settings.optional_count("seed").unwrap_or_else(train::draw_seed),
        memory: arguments.gpu.memory,
        precision: train::precision(&settings),
    };
    let precision = config.precision;
    let estimate = evaluate(&gpu, lattice, hamiltonian.as_ref(), model.as_ref(), &weights, config.clone())?;
    let sites = lattice.sites();
    let energy = Measured { mean: estimate.energy, error: estimate.energy_error };
    output::line(energy_line(energy, sites, estimate.variance));
    output::line(format!(
        "density {:.5}  sigma_x {:.5}  staggered {:.5}  V-score {}  samples {}",
        estimate.density,
        estimate.sigma_x,
        estimate.staggered,
        significant(estimate.v_score, 2),
        estimate.samples
    ));
    if let Some(report) = &estimate.chains {
        chains::show(report);
    }
    let projected = group
        .map(|group| {
            let (hamiltonian, model) = (hamiltonian.as_ref(), model.as_ref());
            let found = evaluate_symmetrised(&gpu, lattice, hamiltonian, model, &weights, &group, config)?;
            symmetrised::show(&found, &group, sites);
            Ok((group, found.character))
        })
        .transpose()?;
    if sites <= ENUMERATED_SITES {
        let amplitudes = enumerate(&gpu, lattice, model.as_ref(), &weights, precision)?;
        let all = Enumeration::new(&terms, lattice, &amplitudes)?;
        let exact = ground_state(&terms, sites)?;
        // Where only ψ up to a factor is known, the sum was made 1 by enumeration itself, and says nothing.
        let sum = match model.chains() {
            None => format!("  sum of probabilities {:.6}", all.total),
            Some(_) => String::new(),
        };
        output::line(format!(
            "enumerated energy {:.7}  density {:.5}  sigma_x {:.5}  staggered {:.5}{}",
            all.observables.energy,
            all.observables.density,
            all.observables.sigma_x,
            all.observables.staggered_abs,
            sum
        ));
        let enumerated = Measured { mean: all.observables.energy, error: 1e-6 };
        output::line(format!("{}  fidelity {:.7}", exact_line(exact.energy, enumerated), all.fidelity(&exact.state)));
        if let Some((group, character)) = &projected {
            let ground = (exact.energy, &exact.state[..]);
            symmetrised::show_enumerated((&terms, lattice), &amplitudes, (group, *character), ground)?;
        }
    }
    Ok(Outcome::Done)
}

/// The symmetries of `terms`, of which there must be some.
fn symmetries(terms: &Terms, lattice: &Lattice) -> Result<SymmetryGroup> {
    let group = SymmetryGroup::new(terms, lattice)?;
    if group.order() == 1 {
        let message = format!("eval: the Hamiltonian has no symmetry on {lattice}; leave symmetrize out");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    Ok(group)
}

/// KEY=VALUE, against a path, which may have a `=` in it.
fn is_setting(word: &str) -> bool {
    word.split_once('=').is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// The problem and the file of the weights: those of a run folder, or those given.
fn subject(arguments: &EvalArguments, runs: &[String]) -> Result<(Problem, PathBuf)> {
    let fault = |text: &str| Err(Error::new(ErrorKind::Settings, format!("eval: {text}")));
    let groups = &arguments.groups;
    match (runs, &arguments.weights) {
        ([], None) => {
            fault("nothing to evaluate; give a run folder, such as out/1, or --weights FILE with groups such as --ptf")
        }
        ([], Some(weights)) => Ok((Problem::new(&groups.model, &groups.hamiltonian, None)?, weights.clone())),
        ([_], Some(_)) => fault("a run folder and --weights are both given; keep one of them"),
        ([_], None) if groups.model.is_given() || groups.hamiltonian.is_given() => fault(
            "the run folder says what wave function and Hamiltonian are; leave them out, or give --weights FILE instead",
        ),
        ([run], None) => {
            let run = Path::new(run);
            let settings = RunSettings::load(&run.join(SETTINGS_FILE))?;
            let (model, hamiltonian) = (Typed::of_run(&settings.groups), Typed::of_run(&settings.groups));
            for (what, is_given) in [("wave function", model.is_given()), ("Hamiltonian", hamiltonian.is_given())] {
                if !is_given {
                    return fault(&format!(
                        "settings.json names no {what} known here; use the version of ketformer that wrote it"
                    ));
                }
            }
            Ok((Problem::new(&model, &hamiltonian, None)?, run.join(MODEL_FILE)))
        }
        _ => fault("more than one run folder is given; evaluate them one by one"),
    }
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
