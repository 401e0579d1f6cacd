//! What is left of a wave function after its projection onto the symmetries of the Hamiltonian.

use ketformer::physics::{SymmetryGroup, Terms};
use ketformer::run::Enumeration;
use ketformer::vmc::{Amplitudes, SymmetrisedEstimate};
use ketformer::{Lattice, Result};

use super::number::{Measured, energy_line, exact_line, significant};
use super::output;

/// The part of a wave function below which it has no representation of its own.
const HARDLY: f64 = 0.5;

/// Prints what `estimate` says, and warns where the projection left little.
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
    if estimate.weight < HARDLY {
        output::warning(&format!(
            "no representation of the symmetries holds more than {:.0} % of the wave function, which is far from any \
             eigenstate; train it further, or leave symmetrize out",
            100.0 * estimate.weight
        ));
    }
}

/// Prints the energy of the projection of all `amplitudes` onto representation `character`, and how far it is from the
/// ground state `exact` at `ground`.
///
/// # Errors
/// As [`Enumeration::projected`].
pub fn show_enumerated(
    (terms, lattice): (&Terms, &Lattice),
    amplitudes: &Amplitudes,
    (group, character): (&SymmetryGroup, usize),
    (ground, exact): (f64, &[f64]),
) -> Result<()> {
    let all = Enumeration::projected(terms, lattice, amplitudes, group, character)?;
    let energy = all.observables.energy;
    output::line(format!("symmetrized enumerated energy {energy:.7}  part {:.6}", all.total));
    let measured = Measured { mean: energy, error: 1e-6 };
    output::line(format!("{}  fidelity {:.7}", exact_line(ground, measured), all.fidelity(exact)));
    Ok(())
}

/// What a representation is called: by what changes its sign.
fn representation(group: &SymmetryGroup, character: usize) -> String {
    match (character, group.odd(character)) {
        (0, _) => "even under all".into(),
        (_, odd) if odd.is_empty() => format!("representation {character}"),
        (_, odd) => format!("odd under {}", odd.join(", ")),
    }
}
