//! `ketformer exact`: exact ground state of a small lattice, the reference for trained energies.

use std::time::Instant;

use ketformer::Result;
use ketformer::physics::{Observables, ground_state};

use crate::cli::arguments::ExactArguments;
use crate::cli::groups::{hamiltonian, lattice};
use crate::cli::output::observables;
use crate::cli::{Outcome, output};

/// Prints energy, residual and observables of the ground state.
///
/// # Errors
/// `ErrorKind::Settings` for too many sites or invalid couplings.
pub fn run(arguments: &ExactArguments) -> Result<Outcome> {
    let settings = hamiltonian::settings(&arguments.hamiltonian, &arguments.settings)?;
    let lattice = lattice::agree(None, None, &settings)?;
    let sites = lattice.sites();
    let begun = Instant::now();
    let terms = hamiltonian::hamiltonian(&settings).terms(&lattice)?;
    let ground = ground_state(&terms, sites)?;
    let seen = Observables::of(&terms, &lattice, &ground.state)?;
    output::line(format!(
        "energy {:.12}  per site {:.12}  residual {:.1e}",
        ground.energy,
        ground.energy / sites as f64,
        ground.residual
    ));
    let diagonal = seen.diagonal.iter().map(|value| format!("{value:.10}"));
    let values = observables::scalars(diagonal, &format!("{:.10}", seen.sigma_x));
    output::line(values.join("  "));
    output::line(format!("lattice {lattice}  seconds {:.2}", begun.elapsed().as_secs_f64()));
    Ok(Outcome::Done)
}
