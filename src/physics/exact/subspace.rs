//! Subspace of the states that are invariant under given symmetries and have a given number of occupied sites, and the
//! lowest energy in it by exact diagonalization.
//!
//! A state of the subspace is constant on the orbits of configurations under the symmetries, except for configurations
//! outside of the subspace of H. With the normalized sums over orbits as basis, the matrix is `Pᵀ H P`. H does not have
//! to be invariant: the lowest eigenvalue is the minimum of ⟨H⟩ over the subspace either way.

use super::davidson::{Davidson, RitzPair, damped, pseudorandom};
use super::operator::{Operator, SymmetricMatrix};
use super::pieces::finish;
use crate::error::{Error, ErrorKind, Result};
use crate::physics::{Symmetry, Terms};

/// Maximum number of sites of [`Subspace::lowest_energy`], which then takes less than a second.
pub const MAX_SUBSPACE_SITES: usize = 16;

/// Target residual in units of the energies in the state. The error of the energy is of second order in it.
const RESIDUAL: f64 = 1e-7;

/// Maximum number of products of `H` and a vector.
const MOST_PRODUCTS: usize = 2000;

/// Marker of states outside of the subspace.
const OUTSIDE: u32 = u32::MAX;

/// States that are invariant under symmetries, within the configurations of a number of occupied sites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subspace {
    /// Generators of the group: ψ(gσ) = ψ(σ).
    pub generators: Vec<Symmetry>,
    /// Number of occupied sites of its configurations; `None` for all configurations.
    pub excitations: Option<usize>,
}

impl Subspace {
    /// The minimum of ⟨H⟩ over the states of the subspace, to a relative accuracy of about 1e-9 of the couplings.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for more than [`MAX_SUBSPACE_SITES`] sites, an empty subspace, or if the search does not
    /// converge; as [`Operator::new`].
    pub fn lowest_energy(&self, terms: &Terms) -> Result<f64> {
        let sites = terms.sites();
        let fault = |text: String| Err(Error::new(ErrorKind::Settings, format!("subspace: {text}")));
        if sites > MAX_SUBSPACE_SITES {
            return fault(format!("expected at most {MAX_SUBSPACE_SITES} sites, got {sites}; give a smaller lattice"));
        }
        let mut operator = Operator::new(terms)?;
        let offset = operator.shift_to_zero();
        let orbits = self.orbits(sites, &operator);
        if orbits.weights.is_empty() {
            return fault(format!("no configuration of {sites} sites is in it; give another number of excitations"));
        }
        let mut diagonal = vec![0.0; orbits.weights.len()];
        for (orbit, energy) in orbits.of_state.iter().zip(operator.diagonal()).filter(|(orbit, _)| **orbit != OUTSIDE) {
            diagonal[*orbit as usize] += energy * orbits.weights[*orbit as usize].powi(2);
        }
        if operator.largest_off_diagonal_sum() == 0.0 {
            return Ok(diagonal.into_iter().fold(f64::INFINITY, f64::min) + offset);
        }
        let projected = Projected { operator: &operator, orbits, diagonal };
        let accepts = |pair: &RitzPair| pair.residual <= RESIDUAL * (pair.scale + operator.largest_off_diagonal_sum());
        // As for the ground state: the lowest state of stoquastic terms is non-negative, also in the basis of orbits.
        let start = match terms.is_stoquastic() {
            true => damped(&projected, |_| 1.0),
            false => pseudorandom(&projected, 0),
        };
        let found = finish(Davidson::new(&projected, MOST_PRODUCTS).lowest(start, accepts))?;
        let Some(pair) = found else {
            return fault(format!(
                "no residual below {RESIDUAL:.0e} in {MOST_PRODUCTS} products; give couplings of similar size"
            ));
        };
        Ok(pair.value + offset)
    }

    /// Orbits of the configurations, each without those outside of the subspace, on which amplitudes are 0.
    fn orbits(&self, sites: usize, operator: &Operator) -> Orbits {
        let mut of_state = vec![OUTSIDE; 1 << sites];
        let mut weights = Vec::new();
        let is_inside = |state: usize| {
            self.excitations.is_none_or(|wanted| state.count_ones() as usize == wanted) && operator.admits(state)
        };
        for start in 0..1 << sites {
            if of_state[start] != OUTSIDE || !is_inside(start) {
                continue;
            }
            let mut members = Symmetry::orbit(&self.generators, start);
            members.retain(|member| is_inside(*member));
            members.iter().for_each(|member| of_state[*member] = weights.len() as u32);
            weights.push(1.0 / (members.len() as f64).sqrt());
        }
        Orbits { of_state, weights }
    }
}

/// Orbits of the states under the symmetries.
struct Orbits {
    /// Orbit of each state.
    of_state: Vec<u32>,
    /// Amplitude of the states of each orbit in its normalized sum.
    weights: Vec<f64>,
}

/// `Pᵀ H P` in the basis of the orbits.
struct Projected<'a> {
    operator: &'a Operator,
    orbits: Orbits,
    /// Mean of the diagonal of H over each orbit: without the elements of H between states of one orbit.
    diagonal: Vec<f64>,
}

impl SymmetricMatrix for Projected<'_> {
    fn states(&self) -> usize {
        self.orbits.weights.len()
    }

    fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    /// The orbits are those of the subspace.
    fn restrict(&self, _: &mut [f64]) {}

    /// A bound for the states of an orbit holds for their normalized sum.
    fn largest_off_diagonal_sum(&self) -> f64 {
        self.operator.largest_off_diagonal_sum()
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        let Orbits { of_state, weights } = &self.orbits;
        let inside = |orbit: &u32| (*orbit != OUTSIDE).then_some(*orbit as usize);
        let amplitude = |orbit: &u32| inside(orbit).map_or(0.0, |orbit| x[orbit] * weights[orbit]);
        let whole: Vec<f64> = of_state.iter().map(amplitude).collect();
        let mut product = vec![0.0; whole.len()];
        self.operator.apply(&whole, &mut product);
        y.fill(0.0);
        for (orbit, value) in of_state.iter().zip(&product) {
            if let Some(orbit) = inside(orbit) {
                y[orbit] += value * weights[orbit];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Hamiltonian, Heisenberg, Lattice, Rydberg, Tfim, ground_state};

    fn lowest(hamiltonian: &dyn Hamiltonian, lattice: Lattice, subspace: &Subspace) -> [f64; 2] {
        let terms = hamiltonian.terms(&lattice).unwrap();
        [subspace.lowest_energy(&terms).unwrap(), ground_state(&terms, lattice.sites()).unwrap().energy]
    }

    /// Ring of six spins: the ground state has momentum π, the lowest level of momentum 0 and zero magnetization is
    /// −2.1180339887 = −(1 + √5)/2 − ½.
    #[test]
    fn the_lowest_state_of_momentum_zero_of_a_ring_of_six() {
        let lattice = Lattice::chain(6).periodic();
        let by = |steps: usize| Subspace {
            generators: vec![Symmetry::translation(&lattice, [steps, 0])],
            excitations: Some(3),
        };
        let [found, exact] = lowest(&Heisenberg::default(), lattice, &by(1));
        assert!((found + 2.118_033_988_75).abs() < 1e-8 && (exact + 2.802_775_637_73).abs() < 1e-8, "{found} {exact}");
        let [found, exact] = lowest(&Heisenberg::default(), lattice, &by(2));
        assert!((found - exact).abs() < 1e-8);
        let [found, exact] = lowest(&Heisenberg { marshall: true, ..Heisenberg::default() }, lattice, &by(1));
        assert!((found - exact).abs() < 1e-8);
    }

    /// An open lattice is not invariant. The minimum over invariant states is that of the dense projected matrix.
    #[test]
    fn an_open_lattice_is_not_reached_by_invariant_states() {
        let lattice = Lattice::square(3, 3);
        let generators = [[1, 0], [0, 1]].map(|shift| Symmetry::translation(&lattice, shift)).to_vec();
        let subspace = Subspace { generators, excitations: None };
        let [found, exact] = lowest(&Rydberg::default(), lattice, &subspace);
        assert!((found + 3.6897).abs() < 1e-4 && (exact + 4.7959).abs() < 1e-4, "{found} {exact}");
        let [found, exact] = lowest(&Tfim::default(), lattice.periodic(), &subspace);
        assert!((found - exact).abs() < 1e-8);
    }

    #[test]
    fn without_restrictions_it_is_everything() {
        let [found, exact] = lowest(&Rydberg::default(), Lattice::square(3, 2), &Subspace::default());
        assert!((found - exact).abs() < 1e-8);
        let terms = Heisenberg::default().terms(&Lattice::chain(4)).unwrap();
        let polarized = Subspace { excitations: Some(4), ..Subspace::default() };
        assert!((polarized.lowest_energy(&terms).unwrap() - 0.75).abs() < 1e-9);
        let none = Subspace { excitations: Some(5), ..Subspace::default() };
        assert!(none.lowest_energy(&terms).unwrap_err().to_string().contains("no configuration"));
        let terms = Tfim::default().terms(&Lattice::chain(17)).unwrap();
        assert!(Subspace::default().lowest_energy(&terms).unwrap_err().to_string().contains("at most 16 sites"));
    }
}
