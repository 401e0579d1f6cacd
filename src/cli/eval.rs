//! `ketformer eval`: what a trained wave function is worth, from fresh samples and, where it is small, exactly.

use ketformer::physics::{Lattice, SymmetryGroup, Terms, ground_state};
use ketformer::run::Enumeration;
use ketformer::vmc::{EvaluateConfig, enumerate, evaluate, evaluate_symmetrised};
use ketformer::{Error, ErrorKind, Result};

use super::arguments::EvalArguments;
use super::groups::{Problem, eval, train};
use super::number::{Measured, energy_line, exact_line, significant};
use super::subject::{is_setting, subject};
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
    let (problem, weights) = subject(["eval", "evaluate"], &arguments.groups, arguments.weights.as_ref(), &runs)?;
    let Problem { lattice, hamiltonian, model, .. } = &problem;
    let terms = hamiltonian.terms(lattice)?;
    let is_symmetrised = arguments.symmetrize || settings.switch("symmetrize");
    let group = is_symmetrised.then(|| symmetries(&terms, lattice)).transpose()?;
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
