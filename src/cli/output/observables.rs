//! Printing of observables: densities, magnetizations, structure factor and entropy.

use ketformer::Lattice;
use ketformer::physics::{DIAGONAL_OBSERVABLES, Order, Peak};
use ketformer::vmc::{Estimate, Mean, ObservableEstimates, RenyiEntropy};
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
    let [size, fluctuation] = found.order_parameter(found.order).map(|mean| Measurement::from(mean).to_string());
    output::line(order_line(found.order, &size, &fluctuation));
    if let Some((peak, value)) = found.peak() {
        let shown = |mean: Mean| Measurement::from(mean).to_string();
        let zero = [found.structure_factor[0], found.connected].map(shown);
        output::line(peak_line(peak, lattice, &shown(value), &zero));
    }
    output::line(format!("V-score {}  samples {}", significant(estimate.v_score, 2), estimate.samples));
}

/// Line on the order parameter of a Hamiltonian.
pub fn order_line(order: Order, size: &str, fluctuation: &str) -> String {
    format!("order parameter {} |m| {size}  fluctuation N(m^2 - |m|^2) {fluctuation}", order.name())
}

/// Line on the largest peak of the structure factor, of value `value`, and on its value at k = 0, not connected and
/// connected.
pub fn peak_line(peak: Peak, lattice: &Lattice, value: &str, [zero, connected]: &[String; 2]) -> String {
    let [kx, ky] = peak.vector(lattice).map(|part| significant(part, 3));
    let kind = if peak.is_connected { " connected" } else { "" };
    format!(
        "structure factor, not connected: highest at ({kx} pi, {ky} pi): {value}{kind}  at (0, 0): {zero}, connected \
         {connected}"
    )
}

/// Adds order parameters and the peak of the structure factor to a JSON object.
pub fn add_orders(object: &mut Value, found: &ObservableEstimates, lattice: &Lattice) {
    object["order_parameter"] = found.order.name().into();
    for order in Order::ALL {
        let [_, fluctuation] = found.order_parameter(order);
        object[format!("{}_fluctuation", order.name())] = pair(fluctuation);
    }
    object["structure_factor_connected_at_zero"] = pair(found.connected);
    object["structure_factor_peak"] = found.peak().map(|(peak, value)| peak_json(peak, lattice, pair(value))).into();
}

/// The largest peak of a structure factor as JSON.
pub fn peak_json(peak: Peak, lattice: &Lattice, value: Value) -> Value {
    json!({ "k_in_pi": peak.vector(lattice), "value": value, "connected": peak.is_connected })
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
