//! Printing of estimates of a wave function projected onto the symmetries of the Hamiltonian.

use ketformer::physics::SymmetryGroup;
use ketformer::vmc::ProjectedEstimate;
use serde_json::{Value, json};

use super::number::{Measurement, energy_line, significant};
use crate::cli::output;

/// Weight of the projection below which no representation dominates the wave function.
const HARDLY: f64 = 0.5;

/// Prints `estimate`.
pub fn show(estimate: &ProjectedEstimate, group: &SymmetryGroup, sites: usize) {
    let energy = Measurement { mean: estimate.energy, error: estimate.energy_error };
    output::line(format!("symmetrized {}", energy_line(energy, sites, estimate.variance)));
    output::line(format!(
        "symmetries {}  {}  part {:.5}  V-score {}  effective samples {:.0}",
        group.order(),
        representation(group, estimate.character),
        estimate.weight,
        significant(estimate.v_score, 2),
        estimate.effective_samples
    ));
}

/// Warns if the projection keeps little of the wave function.
pub fn warn(estimate: &ProjectedEstimate) {
    if estimate.weight < HARDLY {
        output::warning(&format!(
            "no representation of the symmetries holds more than {:.0} % of the wave function, which is far from any \
             eigenstate; train it further, or leave symmetrize out",
            100.0 * estimate.weight
        ));
    }
}

/// Returns `estimate` as JSON.
pub fn json(estimate: &ProjectedEstimate, group: &SymmetryGroup) -> Value {
    json!({
        "energy": [estimate.energy, estimate.energy_error],
        "variance": estimate.variance,
        "v_score": estimate.v_score,
        "symmetries": group.order(),
        "representation": representation(group, estimate.character),
        "part": estimate.weight,
        "effective_samples": estimate.effective_samples,
    })
}

/// Name of a representation: the symmetries under which it is odd.
fn representation(group: &SymmetryGroup, character: usize) -> String {
    match (character, group.odd(character)) {
        (0, _) => "even under all".into(),
        (_, odd) if odd.is_empty() => format!("representation {character}"),
        (_, odd) => format!("odd under {}", odd.join(", ")),
    }
}
