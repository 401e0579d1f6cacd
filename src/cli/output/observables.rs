//! Printing of observables: densities, magnetizations, structure factor and entropy.

use ketformer::Lattice;
use ketformer::physics::DIAGONAL_OBSERVABLES;
use ketformer::vmc::{Estimate, RenyiEntropy};
use serde_json::{Value, json};

use super::number::{Measurement, pair, significant};
use crate::cli::output;

/// Error in nats above which an entropy is unreliable.
const HARDLY: f64 = 0.3;

/// Prints the observables of an estimate with their error bars.
pub fn show(estimate: &Estimate, lattice: &Lattice) {
    let found = &estimate.observables;
    let sigma_x = found.sigma_x.map_or("-".into(), |mean| Measurement::from(mean).to_string());
    let values = scalars(found.diagonal.iter().map(|mean| Measurement::from(*mean).to_string()), &sigma_x);
    values.chunks(2).for_each(|line| output::line(line.join("  ")));
    // Wave vector of the order, if there is one. k = 0 is skipped: it only counts occupied sites.
    let factors = found.structure_factor.iter().enumerate().skip(1);
    if let Some((k, peak)) = factors.max_by(|a, b| a.1.value.total_cmp(&b.1.value)) {
        let (a, b) = lattice.position(k);
        let of_turn = |part: usize, length: usize| significant(2.0 * part as f64 / length as f64, 3);
        output::line(format!(
            "structure factor highest at ({} pi, {} pi): {}",
            of_turn(a, lattice.lx),
            of_turn(b, lattice.ly),
            Measurement::from(*peak)
        ));
    }
    output::line(format!("V-score {}  samples {}", significant(estimate.v_score, 2), estimate.samples));
}

/// Returns label and value of the diagonal observables, with σˣ in second place.
pub fn scalars(diagonal: impl Iterator<Item = String>, sigma_x: &str) -> Vec<String> {
    let labeled = DIAGONAL_OBSERVABLES.iter().zip(diagonal);
    let mut values: Vec<String> = labeled.map(|(row, value)| format!("{} {value}", row.label)).collect();
    values.insert(1, format!("sigma_x {sigma_x}"));
    values
}

/// Adds the diagonal observables to a JSON object under their names.
pub fn add_diagonal(object: &mut Value, diagonal: impl Iterator<Item = Value>) {
    DIAGONAL_OBSERVABLES.iter().zip(diagonal).for_each(|(row, value)| object[row.name] = value);
}

/// Prints the entropy of a part of the lattice.
pub fn show_entropy(entropy: &RenyiEntropy) {
    let found = Measurement::from(entropy.entropy);
    output::line(format!("Renyi-2 entropy of half the lattice, {} sites: {found} nats", entropy.sites));
    if hardly_known(entropy) {
        output::warning(&format!(
            "the entropy is unreliable: the swaps of {} pairs of samples vary too much; give more samples=",
            entropy.pairs
        ));
    }
}

fn hardly_known(entropy: &RenyiEntropy) -> bool {
    entropy.entropy.value.is_nan() || entropy.entropy.error > HARDLY
}

/// Returns the entropy as JSON.
pub fn entropy_json(entropy: &RenyiEntropy) -> Value {
    json!({
        "sites": entropy.sites,
        "pairs": entropy.pairs,
        "purity": pair(entropy.purity),
        "entropy": pair(entropy.entropy),
        "hardly_known": hardly_known(entropy),
    })
}
