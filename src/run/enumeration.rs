//! What a wave function ψ = √P is worth when all 2^N probabilities are known.

use crate::error::{Error, ErrorKind, Result};
use crate::physics::{Lattice, Observables, Terms};

/// Exact expectation values in ψ(s) = √P(s), in 64-bit floats.
#[derive(Debug, Clone)]
pub struct Enumeration {
    /// `Σ_s P(s)`, 1 up to the rounding of 32-bit floats.
    pub total: f64,
    /// `Σ_s P(s) E_loc(s)` with `E_loc(s) = Σ_s' H(s, s') √(P(s')/P(s))`, which is `⟨ψ|H|ψ⟩`, and the rest of the
    /// observables, all in ψ divided by its norm.
    pub observables: Observables,
    amplitudes: Vec<f64>,
}

impl Enumeration {
    /// From `log_p`, the logarithms of the `2^N` probabilities, bit `i` of the index being site `i`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`] if they do not add up to a number, and those of [`Observables::of`].
    pub fn new(terms: &Terms, lattice: &Lattice, log_p: &[f64]) -> Result<Self> {
        let total: f64 = log_p.iter().map(|log_p| log_p.exp()).sum();
        if !(total.is_finite() && total > 0.0) {
            let text = format!("enumeration: the probabilities add up to {total}; train again with a smaller lr=");
            return Err(Error::new(ErrorKind::NotFinite, text));
        }
        let norm = total.sqrt();
        let amplitudes: Vec<f64> = log_p.iter().map(|log_p| (0.5 * log_p).exp() / norm).collect();
        let observables = Observables::of(terms, lattice, &amplitudes)?;
        Ok(Self { total, observables, amplitudes })
    }

    /// `⟨ψ|φ⟩²` with a normalised state φ.
    pub fn fidelity(&self, state: &[f64]) -> f64 {
        self.amplitudes.iter().zip(state).map(|(a, b)| a * b).sum::<f64>().powi(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Hamiltonian, Rydberg, ground_state};

    #[test]
    fn the_energy_is_the_mean_of_the_local_energies() {
        let lattice = Lattice::square(2, 2);
        let terms = Rydberg { v: 3.0, delta: 0.7, omega: 1.3 }.terms(&lattice).unwrap();
        let weights: Vec<f64> = (0..16).map(|s| 1.0 + ((s * 7) % 5) as f64).collect();
        let norm: f64 = weights.iter().sum();
        let log_p: Vec<f64> = weights.iter().map(|weight| (weight / norm).ln()).collect();
        let local = |s: usize| {
            let mut config: Vec<u8> = (0..4).map(|i| (s >> i & 1) as u8).collect();
            let mut energy = terms.diagonal(&config);
            for step in &terms.moves {
                step.flip_in(&mut config);
                let flipped = config.iter().rev().fold(0, |index, n| index << 1 | usize::from(*n));
                step.flip_in(&mut config);
                energy += step.amplitude * (0.5 * (log_p[flipped] - log_p[s])).exp();
            }
            energy
        };
        let mean: f64 = (0..16).map(|s| log_p[s].exp() * local(s)).sum();
        // Probabilities that are off by a common factor change nothing but the total.
        let shifted: Vec<f64> = log_p.iter().map(|log_p| log_p + 0.01).collect();
        let found = Enumeration::new(&terms, &lattice, &shifted).unwrap();
        assert!((found.observables.energy - mean).abs() < 1e-12);
        assert!((found.total - 0.01f64.exp()).abs() < 1e-12);
    }

    #[test]
    fn the_ground_state_has_fidelity_one() {
        let lattice = Lattice::chain(4);
        let terms = Rydberg::default().terms(&lattice).unwrap();
        let exact = ground_state(&terms, 4).unwrap();
        let log_p: Vec<f64> = exact.state.iter().map(|amplitude| 2.0 * amplitude.ln()).collect();
        let found = Enumeration::new(&terms, &lattice, &log_p).unwrap();
        assert!((found.fidelity(&exact.state) - 1.0).abs() < 1e-12);
        assert!((found.observables.energy - exact.energy).abs() < 1e-10);
        let uniform = Enumeration::new(&terms, &lattice, &[-(16f64.ln()); 16]).unwrap();
        assert!(uniform.fidelity(&exact.state) < 0.99);
    }

    #[test]
    fn probabilities_that_are_none_are_refused() {
        let lattice = Lattice::chain(1);
        let terms = Rydberg::default().terms(&lattice).unwrap();
        for log_p in [[f64::NAN, 0.0], [f64::NEG_INFINITY; 2], [f64::INFINITY, 0.0]] {
            assert_eq!(Enumeration::new(&terms, &lattice, &log_p).unwrap_err().kind(), ErrorKind::NotFinite);
        }
    }
}
