//! What is left of a wave function after its projection onto the symmetries of the Hamiltonian.

use ketformer::physics::SymmetryGroup;
use ketformer::vmc::SymmetrisedEstimate;
use serde_json::{Value, json};

use super::number::{Measured, energy_line, significant};
use super::output;

/// The part of a wave function below which it has no representation of its own.
const HARDLY: f64 = 0.5;

/// Prints what `estimate` says.
pub fn show(estimate: &SymmetrisedEstimate, group: &SymmetryGroup, sites: usize) {
    let energy = Measured { mean: estimate.energy, error: estimate.energy_error };
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

/// Warns where the projection left little.
pub fn warn(estimate: &SymmetrisedEstimate) {
    if estimate.weight < HARDLY {
        output::warning(&format!(
            "no representation of the symmetries holds more than {:.0} % of the wave function, which is far from any \
             eigenstate; train it further, or leave symmetrize out",
            100.0 * estimate.weight
        ));
    }
}

/// The same as JSON.
pub fn json(estimate: &SymmetrisedEstimate, group: &SymmetryGroup) -> Value {
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

/// What a representation is called: by what changes its sign.
fn representation(group: &SymmetryGroup, character: usize) -> String {
    match (character, group.odd(character)) {
        (0, _) => "even under all".into(),
        (_, odd) if odd.is_empty() => format!("representation {character}"),
        (_, odd) => format!("odd under {}", odd.join(", ")),
    }
}
