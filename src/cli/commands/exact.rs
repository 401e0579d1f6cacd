//! `ketformer exact`: exact ground state of a small lattice, the reference for trained energies.

use std::time::Instant;

use ketformer::Result;
use ketformer::physics::{
    GroundState, Hamiltonian, Lattice, Observables, Peak, Terms, check_exact_sites, ground_state,
};
use serde_json::{Value, json};

use crate::cli::arguments::ExactArguments;
use crate::cli::groups::{hamiltonian, lattice};
use crate::cli::output::number::significant;
use crate::cli::output::observables;
use crate::cli::{Outcome, output};

/// Prints energy, residual, degeneracy and observables of the ground level.
///
/// # Errors
/// `ErrorKind::Settings` for too many sites or invalid couplings.
pub fn run(arguments: &ExactArguments) -> Result<Outcome> {
    let settings = hamiltonian::settings(&arguments.hamiltonian, &arguments.settings)?;
    let lattice = lattice::agree(None, None, &settings)?;
    check_exact_sites(lattice.sites())?;
    let begun = Instant::now();
    let hamiltonian = hamiltonian::hamiltonian(&settings);
    let terms = hamiltonian.terms(&lattice)?;
    if !arguments.quiet {
        hamiltonian::notes(&settings, &lattice).iter().for_each(|note| output::note(note));
    }
    let ground = ground_state(&terms, lattice.sites())?;
    let seen = ground.observables(&terms, &lattice)?;
    if ground.gap.is_none() {
        output::warning(&format!(
            "the distance of the next level is too small to be resolved, so that the ground level may be more than {} \
             times degenerate; observables are those of the states found",
            ground.degeneracy()
        ));
    }
    let seconds = begun.elapsed().as_secs_f64();
    match arguments.json {
        true => output::line(as_json(&ground, &seen, &terms, hamiltonian.as_ref(), &lattice)),
        false => {
            show(&ground, &seen, &terms, hamiltonian.as_ref(), &lattice);
            output::line(format!("lattice {lattice}  seconds {seconds:.2}"));
        }
    }
    Ok(Outcome::Done)
}

fn show(ground: &GroundState, seen: &Observables, terms: &Terms, hamiltonian: &dyn Hamiltonian, lattice: &Lattice) {
    let per_site = ground.energy / lattice.sites() as f64;
    let gap = match ground.gap {
        Some(gap) if gap.is_finite() => format!("  gap {}", significant(gap, 3)),
        _ => String::new(),
    };
    output::line(format!(
        "energy {:.12}  per site {per_site:.12}  residual {:.1e}{gap}",
        ground.energy, ground.residual
    ));
    if ground.degeneracy() > 1 {
        output::line(format!(
            "degenerate (×{}), within {:.0e}: observables are means over the states of the level, with equal weights",
            ground.degeneracy(),
            ground.width
        ));
    }
    let diagonal = seen.diagonal.iter().map(|value| format!("{value:.10}"));
    output::line(observables::scalars(diagonal, &format!("{:.10}", seen.sigma_x)).join("  "));
    let [size, fluctuation] = seen.order(hamiltonian.order()).map(|value| format!("{value:.10}"));
    output::line(observables::order_line(hamiltonian.order(), &size, &fluctuation));
    if let Some((peak, value)) = peak(seen, terms) {
        let zero = [seen.structure_factor[0], seen.connected()].map(|value| format!("{value:.10}"));
        output::line(observables::peak_line(peak, lattice, &format!("{value:.10}"), &zero));
    }
}

/// Largest peak of the structure factor and its value.
fn peak(seen: &Observables, terms: &Terms) -> Option<(Peak, f64)> {
    let peak = Peak::of(&seen.structure_factor, seen.connected(), terms.is_flip_symmetric())?;
    Some((peak, peak.value(&seen.structure_factor, seen.connected())))
}

/// All results as one JSON object.
fn as_json(
    ground: &GroundState,
    seen: &Observables,
    terms: &Terms,
    hamiltonian: &dyn Hamiltonian,
    lattice: &Lattice,
) -> Value {
    let mut all = json!({
        "sites": lattice.sites(),
        "Lx": lattice.lx,
        "Ly": lattice.ly,
        "energy": ground.energy,
        "residual": ground.residual,
        "degeneracy": ground.degeneracy(),
        "level_width": ground.width,
        "gap": ground.gap,
        "products": ground.products,
        "sigma_x": seen.sigma_x,
        "order_parameter": hamiltonian.order().name(),
        "density_per_site": seen.density_per_site,
        "structure_factor": seen.structure_factor,
        "structure_factor_connected_at_zero": seen.connected(),
        "structure_factor_peak": peak(seen, terms).map(|(peak, value)| observables::peak_json(peak, lattice, value.into())),
    });
    observables::add_diagonal(&mut all, seen.diagonal.iter().map(|value| json!(value)));
    all
}
