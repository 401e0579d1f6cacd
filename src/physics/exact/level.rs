//! Ground levels: the states of lowest energy, and means over them.

use super::Operator;
use crate::error::Result;
use crate::physics::{Lattice, Observables, Terms};

/// A ground state with its numerical error, and the level to which it belongs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroundState {
    /// The total ground-state energy, not per site.
    pub energy: f64,
    /// `2^N` amplitudes of norm 1; bit `i` of the index is the occupation of site `i`. The sign of `±ψ` is chosen such
    /// that the sum is positive; if the sum vanishes by symmetry, such that the first of the largest amplitudes is
    /// positive. One of many in a degenerate level, see [`GroundState::degeneracy`].
    pub state: Vec<f64>,
    /// `‖Hψ − Eψ‖₂`: an eigenvalue lies within this distance of `energy`, and the error of the lowest one is of second
    /// order in it.
    pub residual: f64,
    /// Number of products of `H` and a vector.
    pub products: usize,
    /// Distance of the next level, to about three digits; infinite if all states have the same energy, `None` if it is
    /// too small to be resolved.
    pub gap: Option<f64>,
    /// Distance below which energies count as one level.
    pub width: f64,
    pub(super) level: Level,
}

/// Orthonormal basis of a level.
#[derive(Clone, Debug)]
pub(super) enum Level {
    /// [`GroundState::state`] and these vectors.
    Vectors(Vec<Vec<f64>>),
    /// The configurations of lowest energy, for a Hamiltonian without off-diagonal terms.
    Configurations(Vec<usize>),
}

impl GroundState {
    /// Number of states in the ground level, those with the same energy within [`GroundState::width`].
    pub fn degeneracy(&self) -> usize {
        match &self.level {
            Level::Vectors(others) => 1 + others.len(),
            Level::Configurations(all) => all.len(),
        }
    }

    /// `Σ_k |⟨φ_k|ψ⟩|²` over an orthonormal basis `φ_k` of the level: the weight of the real vector `ψ`, `2^N` numbers,
    /// in it.
    ///
    /// # Panics
    /// If the number of amplitudes differs.
    pub fn weight(&self, psi: &[f64]) -> f64 {
        assert_eq!(psi.len(), self.state.len(), "exact: a state has 2^N amplitudes");
        let overlap = |state: &Vec<f64>| state.iter().zip(psi).map(|(a, b)| a * b).sum::<f64>().powi(2);
        match &self.level {
            Level::Vectors(others) => [&self.state].into_iter().chain(others).map(overlap).sum(),
            Level::Configurations(all) => all.iter().map(|index| psi[*index].powi(2)).sum(),
        }
    }

    /// Observables in the ground state; in a degenerate level the means over its states, that is, those of the mixture
    /// of an orthonormal basis with equal weights.
    ///
    /// # Errors
    /// As [`Observables::of`].
    pub fn observables(&self, terms: &Terms, lattice: &Lattice) -> Result<Observables> {
        let first = Observables::of(terms, lattice, &self.state)?;
        match &self.level {
            Level::Vectors(others) if others.is_empty() => Ok(first),
            Level::Vectors(others) => {
                let others = others.iter().map(|state| Observables::of(terms, lattice, state));
                let all = [Ok(first)].into_iter().chain(others).collect::<Result<Vec<_>>>()?;
                let weight = 1.0 / all.len() as f64;
                Ok(Observables::mixture(&all.into_iter().map(|one| (weight, one)).collect::<Vec<_>>()))
            }
            // The state is their superposition with equal weights, in which only σˣ differs from the mixture.
            Level::Configurations(_) => Ok(Observables { sigma_x: 0.0, ..first }),
        }
    }
}

/// Level of the configurations of lowest energy of an operator without off-diagonal terms, whose diagonal begins at 0.
/// Energies within `width` are equal, and `offset` is added to them.
pub(super) fn of_diagonal(operator: &Operator, offset: f64, width: f64) -> GroundState {
    let diagonal = operator.diagonal();
    let admitted = (0..diagonal.len()).filter(|index| operator.admits(*index));
    let (lowest, above): (Vec<usize>, Vec<usize>) = admitted.partition(|index| diagonal[*index] <= width);
    let gap = above.iter().map(|index| diagonal[*index]).fold(f64::INFINITY, f64::min);
    let mut state = vec![0.0; diagonal.len()];
    let amplitude = (lowest.len() as f64).sqrt().recip();
    lowest.iter().for_each(|index| state[*index] = amplitude);
    let level = Level::Configurations(lowest);
    GroundState { energy: offset, state, residual: 0.0, products: 0, gap: Some(gap), width, level }
}
