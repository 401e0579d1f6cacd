//! Warnings of estimates that rest on few configurations or on few local energies.

use ketformer::physics::Terms;
use ketformer::run::Summary;
use ketformer::vmc::Concentration;
use serde_json::{Value, json};

use super::number::{Measurement, significant};
use crate::cli::groups::Problem;
use crate::cli::output;

/// Remedies of a collapse, as settings of a training run.
const RETRAIN: &str = "train again with temperature=2 (annealing), more samples (K=), a smaller lr= or another seed=";

/// Relative error below which the tail of the local energy does not matter.
const NEGLIGIBLE: f64 = 1e-4;

/// Occupations as a word of zeros and ones, shortened in the middle of a large lattice.
fn word(config: &[u8]) -> String {
    let digits = |part: &[u8]| part.iter().map(|n| if *n == 0 { '0' } else { '1' }).collect::<String>();
    match config.len() {
        0..=40 => digits(config),
        sites => format!("{}...{}", digits(&config[..16]), digits(&config[sites - 16..])),
    }
}

/// Text about samples that are all the configuration `config`, of which `variance` is that of H.
fn collapse(samples: &str, config: &[u8], variance: f64) -> String {
    format!(
        "{samples} are one configuration, {}: error and variance cannot be estimated from them. It is not an \
         eigenstate (the variance of H in it is {}), so that the wave function has probably collapsed; {RETRAIN}",
        word(config),
        significant(variance, 2)
    )
}

/// Remedy for configurations of large energy that are rarely drawn.
fn rare_remedy(problem: &Problem) -> String {
    let has_blockade = problem.hamiltonian_settings.group().keys.iter().any(|key| key.name == "blockade");
    let is_autoregressive = problem.model.chains().is_none();
    let radius = has_blockade.then(|| problem.hamiltonian_settings.optional_real("blockade")).flatten();
    match has_blockade && is_autoregressive {
        true if radius.is_some() => "give a larger radius of --rydberg blockade=, or more samples".into(),
        true => {
            "give --rydberg blockade=1 to leave out configurations of two excited neighbors, or more samples".into()
        }
        false => "give more samples".into(),
    }
}

/// Warns if the estimate of the energy from samples of `concentration` is unreliable.
pub fn warn(concentration: &Concentration, Measurement { mean: energy, error }: Measurement, problem: &Problem) {
    let found = concentration;
    if found.is_collapsed() {
        output::warning(&collapse(&format!("all {} samples", found.samples), &found.mode, found.variance_of_mode));
        return;
    }
    if found.configurations == 1 {
        output::note(&format!(
            "all {} samples are one configuration, {}, which is an eigenstate of this Hamiltonian",
            found.samples,
            word(&found.mode)
        ));
        return;
    }
    if found.is_nearly_collapsed() {
        output::warning(&format!(
            "{} of {} samples are one configuration, {}, which is not an eigenstate: the error bar rests on {} other \
             samples and is unreliable; give more samples=, or {RETRAIN}",
            found.samples - found.others,
            found.samples,
            word(&found.mode),
            found.others
        ));
    } else if found.is_heavy_tailed() && error > NEGLIGIBLE * energy.abs() {
        output::warning(&format!(
            "the variance of the local energy comes from about {} of {} samples: energy and error bar are unreliable; \
             {}",
            significant(found.effective_deviations, 2),
            found.samples,
            rare_remedy(problem)
        ));
    }
    if found.misses_rare(error) {
        unseen(found.unseen_energy, found.samples, problem);
    }
}

fn unseen(energy: f64, samples: usize, problem: &Problem) {
    output::warning(&format!(
        "configurations of large interaction energy that are too rare for {samples} samples can shift the energy by up \
         to {}, which the error bar does not include; {}",
        significant(energy, 2),
        rare_remedy(problem)
    ));
}

/// Warns if the final energy of a training run is unreliable. `config` is a configuration of the last
/// step, if this program made it.
pub fn warn_of_run(summary: &Summary, config: Option<&[u8]>, terms: &Terms, samples: usize, problem: &Problem) {
    let Summary { steps, others, .. } = *summary;
    if summary.energy_error.is_nan() {
        let samples = format!("all samples of the last {steps} steps");
        output::warning(&match config {
            Some(config) => collapse(&samples, config, terms.variance_of_configuration(config)),
            None => format!(
                "{samples} of each step are one configuration: error and variance cannot be estimated from them; {RETRAIN}"
            ),
        });
        return;
    }
    let drawn = steps * samples;
    if summary.is_nearly_collapsed() {
        output::warning(&format!(
            "only {others} of {drawn} samples of the last {steps} steps differ from the most frequent configurations: \
             the error bar is unreliable, and the wave function may be collapsing; {RETRAIN}"
        ));
    } else if summary.is_heavy_tailed() && summary.energy_error > NEGLIGIBLE * summary.energy.abs() {
        output::warning(&format!(
            "one of the last {steps} steps has most of their variance of the local energy: rare samples dominate, and \
             energy and error bar are unreliable; {}",
            rare_remedy(problem)
        ));
    }
    let energy = terms.unseen_energy(drawn);
    if energy > 2.0 * summary.energy_error {
        unseen(energy, drawn, problem);
    }
}

/// Returns the concentration as JSON.
pub fn json(found: &Concentration) -> Value {
    json!({
        "configurations": found.configurations,
        "effective_configurations": found.effective_configurations,
        "collapsed": found.is_collapsed(),
        "mode": word(&found.mode),
        "variance_of_mode": found.variance_of_mode,
        "effective_deviations": Some(found.effective_deviations).filter(|number| number.is_finite()),
        "heavy_tailed": found.is_heavy_tailed(),
        "unseen_energy": found.unseen_energy,
    })
}
