//! Exact expectation values in a state vector, the reference for estimates from samples.

use super::chunks::norm;
use super::{DIAGONAL_OBSERVABLES, Evaluate, Lattice, Operator, Order, Terms, index_of};
use crate::error::{Error, ErrorKind, Result};

/// Maximum deviation of the norm of a state from 1.
const NORM_TOLERANCE: f64 = 1e-6;

/// Expectation values in a normalized state `ψ`, with `⟨·⟩ = Σ_s ψ(s)² ·` for diagonal observables.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Observables {
    /// `⟨H⟩`, in total, not per site.
    pub energy: f64,
    /// The part of `⟨H⟩` from constant, fields and pairs.
    pub energy_diagonal: f64,
    /// The part of `⟨H⟩` from the off-diagonal terms.
    pub energy_moves: f64,
    /// The observables of [`DIAGONAL_OBSERVABLES`], in their order.
    pub diagonal: Vec<f64>,
    /// `⟨n_i⟩` for each of the `N` sites.
    pub density_per_site: Vec<f64>,
    /// `(1/N) Σ ⟨σˣ_i⟩`, in the basis of the Hamiltonian before a rotation ([`super::Move::rotated`]).
    pub sigma_x: f64,
    /// `⟨m⟩` with `m = (1/N) Σ_i (−1)^(x+y) (n_i − ½)`, the staggered magnetization.
    pub staggered: f64,
    /// `⟨M⟩` with `M = Σ_i (2n_i − 1)`, in total, not per site.
    pub magnetization: f64,
    /// `⟨|M|⟩`.
    pub magnetization_abs: f64,
    /// `⟨M²⟩`.
    pub magnetization_squared: f64,
    /// `S(k) = (1/N) ⟨|Σ_j e^(i k·r_j) (n_j − ½)|²⟩` at `k = 2π (a/Lx, b/Ly)`, `(Lx, Ly)` with `b` fastest, not connected.
    pub structure_factor: Vec<f64>,
}

impl Observables {
    /// `(1/N) Σ ⟨n_i⟩`.
    pub fn density(&self) -> f64 {
        self.diagonal[index_of("density")]
    }

    /// `⟨|m|⟩`.
    pub fn staggered_abs(&self) -> f64 {
        self.diagonal[index_of("staggered_abs")]
    }

    /// `⟨m²⟩`.
    pub fn staggered_squared(&self) -> f64 {
        self.diagonal[index_of("staggered_squared")]
    }

    /// Connected structure factor at `k = 0`, `N (⟨m²⟩ − ⟨m⟩²)` of the uniform magnetization `m`.
    pub fn connected(&self) -> f64 {
        let [_, squared] = Order::Uniform.rows();
        self.density_per_site.len() as f64 * (self.diagonal[squared] - (self.density() - 0.5).powi(2))
    }

    /// `⟨|m|⟩` and `N (⟨m²⟩ − ⟨|m|⟩²)` of an order parameter.
    pub fn order(&self, order: Order) -> [f64; 2] {
        let [size, squared] = order.rows().map(|row| self.diagonal[row]);
        [size, self.density_per_site.len() as f64 * (squared - size * size)]
    }

    /// Observables of the mixture of states with observables `parts`, each with its weight. The weights add up to 1.
    ///
    /// # Panics
    /// If there is none.
    pub fn mixture(parts: &[(f64, Self)]) -> Self {
        let one = |of: &dyn Fn(&Self) -> f64| parts.iter().map(|(weight, part)| weight * of(part)).sum::<f64>();
        let all = |of: fn(&Self) -> &Vec<f64>| (0..of(&parts[0].1).len()).map(|at| one(&|part| of(part)[at])).collect();
        Self {
            energy: one(&|part| part.energy),
            energy_diagonal: one(&|part| part.energy_diagonal),
            energy_moves: one(&|part| part.energy_moves),
            diagonal: all(|part| &part.diagonal),
            density_per_site: all(|part| &part.density_per_site),
            sigma_x: one(&|part| part.sigma_x),
            staggered: one(&|part| part.staggered),
            magnetization: one(&|part| part.magnetization),
            magnetization_abs: one(&|part| part.magnetization_abs),
            magnetization_squared: one(&|part| part.magnetization_squared),
            structure_factor: all(|part| &part.structure_factor),
        }
    }

    /// Computes the observables of the complex state `real + i·imaginary`. Hamiltonian and observables are real and
    /// symmetric, so each value is the sum of those of both parts.
    ///
    /// # Errors
    /// As [`Observables::of`].
    pub fn of_complex(terms: &Terms, lattice: &Lattice, [real, imaginary]: [&[f64]; 2]) -> Result<Self> {
        let share = norm(imaginary).powi(2);
        if share < f64::EPSILON {
            return Self::of(terms, lattice, real);
        }
        if norm(real).powi(2) < f64::EPSILON {
            return Self::of(terms, lattice, imaginary);
        }
        let of_part = |part: &[f64]| {
            let length = norm(part);
            Self::of(terms, lattice, &part.iter().map(|amplitude| amplitude / length).collect::<Vec<f64>>())
        };
        let (a, b) = (of_part(real)?, of_part(imaginary)?);
        let total = norm(real).powi(2) + share;
        if total.is_nan() || (total.sqrt() - 1.0).abs() > NORM_TOLERANCE {
            let message =
                format!("observables: expected a state of norm 1, got {}; divide it by its norm", total.sqrt());
            return Err(Error::new(ErrorKind::Settings, message));
        }
        Ok(Self::mixture(&[(total - share, a), (share, b)]))
    }

    /// Computes the observables of `state`, `2^N` amplitudes of norm 1; bit `i` of the index is site `i` of `lattice`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the sizes of `lattice`, `terms` and `state` differ, the terms fail [`Terms::check`]
    /// or the state is not normalized (including NaN); [`ErrorKind::Memory`] as [`Operator::new`].
    pub fn of(terms: &Terms, lattice: &Lattice, state: &[f64]) -> Result<Self> {
        lattice.check()?;
        let sites = lattice.sites();
        if terms.sites() != sites {
            return Err(Error::new(
                ErrorKind::Settings,
                format!(
                    "observables: expected terms for the {sites} sites of {lattice}, got {}; build them from this lattice",
                    terms.sites()
                ),
            ));
        }
        let operator = Operator::new(terms)?;
        if state.len() != operator.states() {
            return Err(Error::new(
                ErrorKind::Settings,
                format!(
                    "observables: expected 2^{sites} amplitudes, got {}; give the state of this lattice",
                    state.len()
                ),
            ));
        }
        let length = norm(state);
        if length.is_nan() || (length - 1.0).abs() > NORM_TOLERANCE {
            return Err(Error::new(
                ErrorKind::Settings,
                format!("observables: expected a state of norm 1, got {length}; divide it by its norm"),
            ));
        }
        let mut product = vec![0.0; state.len()];
        operator.apply(state, &mut product);
        let energy: f64 = state.iter().zip(&product).map(|(a, b)| a * b).sum();
        let energy_diagonal = state.iter().zip(operator.diagonal()).map(|(a, energy)| a * a * energy).sum();

        let per_site = 1.0 / sites as f64;
        let even = (0..sites).filter(|&i| lattice.sublattice_sign(i) > 0.0).fold(0, |mask, i| mask | 1_usize << i);
        let odd_minus_even = sites as f64 - 2.0 * f64::from(even.count_ones());
        let mut sums = Self {
            energy,
            energy_diagonal,
            energy_moves: energy - energy_diagonal,
            diagonal: vec![0.0; DIAGONAL_OBSERVABLES.len()],
            density_per_site: vec![0.0; sites],
            sigma_x: 0.0,
            staggered: 0.0,
            magnetization: 0.0,
            magnetization_abs: 0.0,
            magnetization_squared: 0.0,
            structure_factor: Vec::new(),
        };
        let mut pairs = vec![0.0; sites * sites];
        let signs = terms.sigma_x_signs();
        let values: Vec<Evaluate> = DIAGONAL_OBSERVABLES.iter().map(|row| (row.on)(lattice)).collect();
        let mut configuration = vec![0; sites];
        for (index, &amplitude) in state.iter().enumerate() {
            let p = amplitude * amplitude;
            configuration.iter_mut().enumerate().for_each(|(site, n)| *n = (index >> site & 1) as u8);
            sums.diagonal.iter_mut().zip(&values).for_each(|(sum, value)| *sum += p * value(&configuration));
            for (a, row) in pairs.chunks_mut(sites).enumerate().filter(|(a, _)| index >> a & 1 == 1) {
                row[..=a].iter_mut().enumerate().for_each(|(b, pair)| *pair += p * (index >> b & 1) as f64);
            }
            let mut flipped = 0.0;
            for (site, density) in sums.density_per_site.iter_mut().enumerate() {
                *density += p * (index >> site & 1) as f64;
                flipped += signs[site] * state[index ^ 1 << site];
            }
            sums.sigma_x += amplitude * flipped * per_site;
            let occupied = f64::from(index.count_ones());
            let occupied_even = f64::from((index & even).count_ones());
            let staggered = (2.0 * occupied_even - occupied + 0.5 * odd_minus_even) * per_site;
            sums.staggered += p * staggered;
            let magnetization = 2.0 * occupied - sites as f64;
            sums.magnetization += p * magnetization;
            sums.magnetization_abs += p * magnetization.abs();
            sums.magnetization_squared += p * magnetization * magnetization;
        }
        let density = &sums.density_per_site;
        let spins = |a: usize, b: usize| pairs[a * sites + b] - 0.5 * (density[a] + density[b]) + 0.25;
        sums.structure_factor = (0..sites).map(|wave| structure_factor(lattice, wave, spins)).collect();
        Ok(sums)
    }
}

/// `S(k) = (1/N) Σ_ab cos(k·(r_a − r_b)) spins(a, b)` for wave vector number `wave`; `spins` is symmetric, called with `a ≥
/// b`.
fn structure_factor(lattice: &Lattice, wave: usize, spins: impl Fn(usize, usize) -> f64) -> f64 {
    let (sites, angles) = (lattice.sites(), lattice.phases(wave));
    let row = |a: usize| {
        let others = (0..a).map(|b| 2.0 * (angles[a] - angles[b]).cos() * spins(a, b)).sum::<f64>();
        others + spins(a, a)
    };
    (0..sites).map(row).sum::<f64>() / sites as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Hamiltonian, Rydberg};

    #[test]
    fn a_configuration_has_its_own_values() {
        // Sites 0 and 3 of a 2x3 lattice are (0, 0) and (1, 0): signs + and −.
        let lattice = Lattice::square(2, 3);
        let terms = Rydberg { v: 7.0, delta: 1.5, omega: 2.0 }.terms(&lattice).unwrap();
        let mut state = vec![0.0; 64];
        state[0b001001] = -1.0;
        let seen = Observables::of(&terms, &lattice, &state).unwrap();
        assert_eq!((seen.energy, seen.energy_diagonal, seen.energy_moves), (4.0, 4.0, 0.0));
        assert_eq!(seen.density_per_site, [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert!((seen.density() - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!((seen.sigma_x, seen.staggered, seen.staggered_abs()), (0.0, 0.0, 0.0));
        assert_eq!((seen.magnetization, seen.magnetization_abs, seen.magnetization_squared), (-2.0, 2.0, 4.0));
        // (0, 0) and (0, 2) are both on the + sublattice: m = (1/6)(½·2 + ½·3 − ½·1) = 1/3.
        state.fill(0.0);
        state[0b000101] = 1.0;
        let seen = Observables::of(&terms, &lattice, &state).unwrap();
        assert!((seen.staggered - 1.0 / 3.0).abs() < 1e-15 && (seen.staggered_squared() - 1.0 / 9.0).abs() < 1e-15);
    }

    #[test]
    fn the_uniform_state_points_along_x() {
        let lattice = Lattice::chain(4);
        let terms = Rydberg { v: 0.0, delta: 0.0, omega: 2.0 }.terms(&lattice).unwrap();
        let seen = Observables::of(&terms, &lattice, &[0.25; 16]).unwrap();
        assert!((seen.sigma_x - 1.0).abs() < 1e-15 && (seen.energy_moves + 4.0).abs() < 1e-14);
        assert!((seen.density() - 0.5).abs() < 1e-15 && seen.magnetization.abs() < 1e-15);
        assert!(
            (seen.magnetization_squared - 4.0).abs() < 1e-14 && (seen.staggered_squared() - 1.0 / 16.0).abs() < 1e-15
        );
    }

    #[test]
    fn states_that_do_not_fit_are_refused() {
        let lattice = Lattice::chain(2);
        let terms = Rydberg::default().terms(&lattice).unwrap();
        let message =
            |lattice: Lattice, state: &[f64]| Observables::of(&terms, &lattice, state).unwrap_err().to_string();
        assert!(message(Lattice::chain(3), &[0.5; 8]).contains("got 2"));
        assert!(message(lattice, &[0.5; 8]).contains("2^2 amplitudes, got 8"));
        assert!(message(lattice, &[1.0; 4]).contains("norm 1, got 2"));
        assert!(message(lattice, &[f64::NAN; 4]).contains("NaN"));
    }
}
