//! Printing of observables: densities, magnetizations, structure factor and entropy.

use ketformer::Lattice;
use ketformer::physics::DIAGONAL_OBSERVABLES;
use ketformer::vmc::{Estimate, RenyiEntropy};
use serde_json::{Value, json};

use super::number::{Measurement, pair, significant};
use super::output;

/// Error in nats above which an entropy is unreliable.
const HARDLY: f64 = 0.3;

/// Prints the observables of an estimate with their error bars.
pub fn show(estimate: &Estimate, lattice: &Lattice) {
    let found = &estimate.observables;
    let diagonal = DIAGONAL_OBSERVABLES.iter().zip(&found.diagonal);
    let mut values: Vec<String> =
        diagonal.map(|(row, mean)| format!("{} {}", row.label, Measurement::from(*mean))).collect();
    let sigma_x = found.sigma_x.map_or("-".into(), |mean| Measurement::from(mean).to_string());
    values.insert(1, format!("sigma_x {sigma_x}"));
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

/// Returns the diagonal observables as JSON entries: value of each name.
pub fn diagonal_json(values: impl IntoIterator<Item = Value>) -> impl Iterator<Item = (String, Value)> {
    DIAGONAL_OBSERVABLES.iter().map(|row| row.name.to_string()).zip(values)
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
