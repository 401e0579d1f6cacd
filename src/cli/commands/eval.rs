//! `ketformer eval`: evaluation of a trained wave function from fresh samples and, on small lattices, exactly.

use ketformer::physics::{Lattice, SymmetryGroup, Terms};
use ketformer::vmc::{Estimate, Mean, ProjectedEstimate, SampleConfig, State};
use ketformer::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::cli::arguments::EvalArguments;
use crate::cli::groups::{Problem, eval, train};
use crate::cli::output::exact_answer::{EXACT_SITES, ExactAnswer, exact_level};
use crate::cli::output::number::{Measurement, energy_line, pair};
use crate::cli::output::sector::Sector;
use crate::cli::output::{chains, concentration, observables, projected, shortfall};
use crate::cli::subject::{split_runs, subject};
use crate::cli::{Outcome, device, output};

/// Minimum number of samples for an estimate of the entropy.
const LEAST_SAMPLES: usize = 4;

/// Prints energy, variance and observables.
///
/// # Errors
/// Errors of settings, files, weights, adapter and memory.
pub fn run(arguments: &EvalArguments) -> Result<Outcome> {
    let (words, runs) = split_runs(&arguments.words);
    let settings = eval::GROUP.parse(&words)?;
    let (problem, weights) =
        subject(["eval", "evaluate"], &arguments.groups, arguments.weights.as_ref(), &runs, &arguments.gpu)?;
    let Problem { lattice, hamiltonian, model, .. } = &problem;
    let terms = hamiltonian.terms(lattice)?;
    let is_symmetrized = arguments.symmetrize || settings.switch("symmetrize");
    let group = is_symmetrized.then(|| symmetries(&terms, lattice)).transpose()?;
    if !arguments.gpu.quiet {
        problem.show_notes();
    }
    let ground = exact_level(&terms)?;
    shortfall::warn(&problem, ground.as_ref().map(|ground| ground.energy));
    let gpu = device::open(&arguments.gpu.adapter)?;
    let config = SampleConfig {
        samples: settings.size("samples"),
        seed: settings.optional_count("seed").unwrap_or_else(train::draw_seed),
    };
    let state = State::new(&gpu, lattice, model.as_ref(), &weights)
        .with_precision(train::precision(&settings))
        .with_memory(arguments.gpu.memory);
    let estimate = state.expect(hamiltonian.as_ref(), config)?;
    let projected = group
        .map(|group| {
            let found = state.expect_projected(hamiltonian.as_ref(), &group, config)?;
            Ok::<_, Error>((group, found))
        })
        .transpose()?;
    let half = left_half(lattice);
    let has_pairs = config.samples >= LEAST_SAMPLES && lattice.sites() > 1;
    let mut entropy = has_pairs.then(|| state.renyi_entropy(&half, config)).transpose()?;
    if let (Some(entropy), Some(report)) = (&mut entropy, &estimate.chains) {
        [&mut entropy.purity, &mut entropy.entropy].into_iter().for_each(|mean| mean.error *= report.widening);
    }
    let amplitudes = (lattice.sites() <= EXACT_SITES).then(|| state.full_sum()).transpose()?;
    let projection = projected.as_ref().map(|(group, found)| (group, found.character));
    let compare = |(amplitudes, ground)| ExactAnswer::new(&terms, lattice, amplitudes, ground, projection);
    let exact = amplitudes.as_ref().zip(ground.as_ref()).map(compare).transpose()?;
    let sector = Sector::new(&problem, &terms, &state, amplitudes.as_ref(), config)?;
    let energy = Measurement { mean: estimate.energy, error: estimate.energy_error };
    concentration::warn(&estimate.concentration, energy, &problem);
    if let Some(report) = &estimate.chains {
        chains::warn(report);
    }
    if let Some((_, found)) = &projected {
        projected::warn(found);
    }
    if arguments.json {
        let mut all = json(&problem, &estimate, projected.as_ref(), exact.as_ref());
        all["sector"] = sector.json();
        all["renyi_2"] = entropy.as_ref().map(observables::entropy_json).into();
        output::line(all);
        return Ok(Outcome::Done);
    }
    let sites = lattice.sites();
    output::line(energy_line(energy, sites, estimate.variance));
    observables::show(&estimate, lattice);
    sector.show();
    if let Some(entropy) = &entropy {
        observables::show_entropy(entropy);
    }
    if let Some(report) = &estimate.chains {
        chains::show(report);
    }
    if let Some((group, found)) = &projected {
        projected::show(found, group, sites);
    }
    if let Some(exact) = &exact {
        exact.show(model.chains().is_none(), hamiltonian.order());
    }
    Ok(Outcome::Done)
}

/// Returns all results as one JSON object. A quantity with an error bar is [value, standard error].
fn json(
    problem: &Problem,
    estimate: &Estimate,
    projected: Option<&(SymmetryGroup, ProjectedEstimate)>,
    exact: Option<&ExactAnswer>,
) -> Value {
    let found = &estimate.observables;
    let of = |means: &[Mean]| means.iter().map(|mean| pair(*mean)).collect::<Value>();
    let mut all = json!({
        "sites": problem.lattice.sites(),
        "Lx": problem.lattice.lx,
        "Ly": problem.lattice.ly,
        "samples": estimate.samples,
        "energy": [estimate.energy, estimate.energy_error],
        "variance": estimate.variance,
        "v_score": estimate.v_score,
        "sigma_x": found.sigma_x.map(pair),
        "density_per_site": of(&found.density_per_site),
        "correlation": found.correlation.iter().map(|row| of(row)).collect::<Value>(),
        "structure_factor": of(&found.structure_factor),
    });
    observables::add_orders(&mut all, found, &problem.lattice);
    all["concentration"] = concentration::json(&estimate.concentration);
    observables::add_diagonal(&mut all, found.diagonal.iter().map(|mean| pair(*mean)));
    if let Some(report) = &estimate.chains {
        all["chains"] = chains::json(report);
    }
    if let Some((group, found)) = projected {
        all["symmetrized"] = projected::json(found, group);
    }
    if let Some(exact) = exact {
        all["exact"] = exact.json();
    }
    all
}

/// Sites with x < Lx/2, or the first half of a chain along y.
fn left_half(lattice: &Lattice) -> Vec<bool> {
    let inside = |site: usize| match lattice.position(site) {
        (_, y) if lattice.lx == 1 => y < lattice.ly / 2,
        (x, _) => x < lattice.lx / 2,
    };
    (0..lattice.sites()).map(inside).collect()
}

/// Symmetries of `terms`. Having none is an error.
fn symmetries(terms: &Terms, lattice: &Lattice) -> Result<SymmetryGroup> {
    let group = SymmetryGroup::new(terms, lattice)?;
    if group.order() == 1 {
        let message = format!("eval: the Hamiltonian has no symmetry on {lattice}; leave symmetrize out");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    Ok(group)
}
