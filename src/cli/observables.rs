//! What there is to say of magnetisations and correlations.

use ketformer::Lattice;
use ketformer::vmc::{Estimate, Mean};

use super::number::{Measured, significant};
use super::output;

/// Prints the observables of an estimate with their error bars.
pub fn show(estimate: &Estimate, lattice: &Lattice) {
    let found = &estimate.observables;
    let sigma_x = found.sigma_x.map_or("-".into(), |mean| measured(mean).to_string());
    output::line(format!("density {}  sigma_x {sigma_x}", measured(found.density)));
    output::line(format!("staggered |m| {}  m^2 {}", measured(found.staggered), measured(found.staggered_squared)));
    // The wave vector of the order, if there is one: beside k = 0, which only says how many sites are occupied.
    let factors = found.structure_factor.iter().enumerate().skip(1);
    if let Some((k, peak)) = factors.max_by(|a, b| a.1.value.total_cmp(&b.1.value)) {
        let (a, b) = lattice.position(k);
        let of_turn = |part: usize, length: usize| significant(2.0 * part as f64 / length as f64, 3);
        output::line(format!(
            "structure factor highest at ({} pi, {} pi): {}",
            of_turn(a, lattice.lx),
            of_turn(b, lattice.ly),
            measured(*peak)
        ));
    }
    output::line(format!("V-score {}  samples {}", significant(estimate.v_score, 2), estimate.samples));
}

fn measured(mean: Mean) -> Measured {
    Measured { mean: mean.value, error: mean.error }
}
