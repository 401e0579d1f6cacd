//! Comparison of a wave function with the exact ground state, by a full sum over all configurations of a small lattice.

use ketformer::physics::{GroundState, Order, SymmetryGroup, Terms, ground_energy, ground_state};
use ketformer::run::Enumeration;
use ketformer::vmc::Amplitudes;
use ketformer::{ErrorKind, Lattice, Result};
use serde_json::{Value, json};

use super::number::{Measurement, exact_line, relative_error};
use super::observables;
use crate::cli::groups::Problem;
use crate::cli::output;

/// Maximum number of sites for exact energies and full sums over all 2^N configurations, which take a second or two.
pub const EXACT_SITES: usize = 16;

/// Exact energy of a problem of at most [`EXACT_SITES`] sites, otherwise `None`. A search that does not converge is a
/// warning: only the comparison is lost.
///
/// # Errors
/// Errors of the terms; others than those of the couplings of [`ground_energy`].
pub fn exact_energy(problem: &Problem) -> Result<Option<f64>> {
    let sites = problem.lattice.sites();
    let terms = problem.hamiltonian.terms(&problem.lattice)?;
    if sites > EXACT_SITES { Ok(None) } else { or_warning(ground_energy(&terms, sites)) }
}

/// Ground level of `terms` on at most [`EXACT_SITES`] sites, otherwise `None`. As in [`exact_energy`], a search that does
/// not converge is a warning.
///
/// # Errors
/// As [`exact_energy`].
pub fn exact_level(terms: &Terms) -> Result<Option<GroundState>> {
    let sites = terms.sites();
    if sites > EXACT_SITES { Ok(None) } else { or_warning(ground_state(terms, sites)) }
}

/// The answer of an exact diagonalization, or a warning if the couplings do not allow one.
///
/// # Errors
/// All other errors of `answer`.
fn or_warning<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.kind() == ErrorKind::Settings => {
            output::warning(&format!("no comparison with the exact ground state: {error}"));
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// Error of the energy from a full sum over 32-bit amplitudes, which determines the printed digits.
const ENUMERATED: f64 = 1e-6;

/// Full sums over the wave function and, if requested, its projection, compared with the ground level.
pub struct ExactAnswer {
    energy: f64,
    /// Number of states of the ground level.
    degeneracy: usize,
    all: Enumeration,
    /// With the whole ground level.
    fidelity: f64,
    projected: Option<(Enumeration, f64)>,
}

impl ExactAnswer {
    /// Computes the full sums over `amplitudes` and their projection onto a representation of a group.
    ///
    /// # Errors
    /// Errors of [`Enumeration::new`].
    pub fn new(
        terms: &Terms,
        lattice: &Lattice,
        amplitudes: &Amplitudes,
        ground: &GroundState,
        projection: Option<(&SymmetryGroup, usize)>,
    ) -> Result<Self> {
        let all = Enumeration::new(terms, lattice, amplitudes)?;
        let projected = projection
            .map(|(group, character)| Enumeration::projected(terms, lattice, amplitudes, group, character))
            .transpose()?;
        let projected = projected.map(|projected| {
            let fidelity = projected.fidelity(ground);
            (projected, fidelity)
        });
        Ok(Self {
            energy: ground.energy,
            degeneracy: ground.degeneracy(),
            fidelity: all.fidelity(ground),
            all,
            projected,
        })
    }

    /// Prints the results. The sum of probabilities is printed only if `normalized`; otherwise the full sum makes it 1.
    /// The order parameter is that of `order`.
    pub fn show(&self, normalized: bool, order: Order) {
        let found = &self.all.observables;
        let sum = if normalized { format!("  sum of probabilities {:.6}", self.all.total) } else { String::new() };
        output::line(format!(
            "enumerated energy {:.7}  density {:.5}  sigma_x {:.5}  {} |m| {:.5}{sum}",
            found.energy,
            found.density(),
            found.sigma_x,
            order.name(),
            found.order(order)[0]
        ));
        self.show_distance(found.energy, self.fidelity);
        if let Some((projected, fidelity)) = &self.projected {
            let energy = projected.observables.energy;
            output::line(format!("symmetrized enumerated energy {energy:.7}  part {:.6}", projected.total));
            self.show_distance(energy, *fidelity);
        }
    }

    fn show_distance(&self, energy: f64, fidelity: f64) {
        let enumerated = Measurement { mean: energy, error: ENUMERATED };
        let level = match self.degeneracy {
            1 => String::new(),
            states => format!(" with the ground level, degenerate (×{states})"),
        };
        output::line(format!("{}  fidelity {fidelity:.7}{level}", exact_line(self.energy, enumerated)));
    }

    /// Returns the results as JSON.
    pub fn json(&self) -> Value {
        let of = |all: &Enumeration, fidelity: f64| {
            let found = &all.observables;
            let mut values = json!({
                "energy": found.energy,
                "relative_error": relative_error(found.energy, self.energy),
                "fidelity": fidelity,
                "weight": all.total,
                "density_per_site": found.density_per_site,
                "sigma_x": found.sigma_x,
            });
            observables::add_diagonal(&mut values, found.diagonal.iter().map(|value| json!(value)));
            values
        };
        json!({
            "ground_energy": self.energy,
            "degeneracy": self.degeneracy,
            "enumerated": of(&self.all, self.fidelity),
            "symmetrized": self.projected.as_ref().map(|(projected, fidelity)| of(projected, *fidelity)),
        })
    }
}
