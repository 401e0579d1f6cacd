//! Exact expectation values of a wave function ψ = √P e^(i·phase) from all 2^N amplitudes.

use crate::error::{Error, ErrorKind, Result};
use crate::physics::{GroundState, Lattice, Observables, SymmetryGroup, Terms};
use crate::vmc::Amplitudes;

/// Exact expectation values in ψ(s) = √P(s) e^(i·phase(s)), in 64-bit floats.
#[derive(Debug, Clone)]
pub struct Enumeration {
    /// `Σ_s P(s)`, 1 up to the rounding of 32-bit floats.
    pub total: f64,
    /// Observables in the normalized ψ. The energy is `Σ_s P(s) E_loc(s)` with `E_loc(s) = Σ_s' H(s, s') ψ(s')/ψ(s)`,
    /// which is `⟨ψ|H|ψ⟩`.
    pub observables: Observables,
    /// Real and imaginary parts of the normalized ψ.
    parts: [Vec<f64>; 2],
}

impl Enumeration {
    /// Computes the expectation values from all `2^N` amplitudes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`] if the sum of the probabilities is zero or not finite, and those of
    /// [`Observables::of`].
    pub fn new(terms: &Terms, lattice: &Lattice, amplitudes: &Amplitudes) -> Result<Self> {
        Self::of_parts(terms, lattice, parts(amplitudes))
    }

    /// The same for the projection onto representation `character` of `group`; `total` is the weight of ψ in it.
    ///
    /// # Errors
    /// As [`Enumeration::new`].
    ///
    /// # Panics
    /// If there is no such representation.
    pub fn projected(
        terms: &Terms,
        lattice: &Lattice,
        amplitudes: &Amplitudes,
        group: &SymmetryGroup,
        character: usize,
    ) -> Result<Self> {
        let projected = parts(amplitudes).map(|part| group.project(character, &part));
        Self::of_parts(terms, lattice, projected)
    }

    fn of_parts(terms: &Terms, lattice: &Lattice, mut parts: [Vec<f64>; 2]) -> Result<Self> {
        let total: f64 = parts.iter().flatten().map(|amplitude| amplitude * amplitude).sum();
        if !(total.is_finite() && total > 0.0) {
            let text = format!(
                "enumeration: the probabilities add up to {total}; train again with a smaller TrainConfig::learning_rate"
            );
            return Err(Error::new(ErrorKind::NotFinite, text));
        }
        let norm = total.sqrt();
        parts.iter_mut().flatten().for_each(|amplitude| *amplitude /= norm);
        let observables = Observables::of_complex(terms, lattice, [&parts[0], &parts[1]])?;
        Ok(Self { total, observables, parts })
    }

    /// Fidelity with the ground level, `Σ_k |⟨φ_k|ψ⟩|²` over an orthonormal basis `φ_k` of it: `|⟨φ|ψ⟩|²` if the ground
    /// state `φ` is not degenerate.
    pub fn fidelity(&self, ground: &GroundState) -> f64 {
        self.parts.iter().map(|part| ground.weight(part)).sum()
    }
}

/// Real and imaginary parts of `amplitudes`.
fn parts(amplitudes: &Amplitudes) -> [Vec<f64>; 2] {
    let Amplitudes { log_p, phase } = amplitudes;
    let part = |of: fn(f64) -> f64| -> Vec<f64> {
        log_p.iter().zip(phase).map(|(log_p, phase)| (0.5 * log_p).exp() * of(*phase)).collect()
    };
    [part(f64::cos), part(f64::sin)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Hamiltonian, Move, Pair, Rydberg, ground_state};

    fn real(log_p: &[f64]) -> Amplitudes {
        Amplitudes { log_p: log_p.to_vec(), phase: vec![0.0; log_p.len()] }
    }

    /// A constant phase changes nothing; the signs of an eigenstate as phases give that eigenstate.
    #[test]
    fn phases_are_those_of_amplitudes() {
        let lattice = Lattice::chain(2);
        // S·S on two sites: the singlet at −3/4, with a phase of π between its two configurations.
        let terms = Terms {
            constant: 0.25,
            field: vec![-0.5; 2],
            pairs: vec![Pair { sites: [0, 1], coefficient: 1.0 }],
            moves: vec![Move::exchange(0, 1, 0.5)],
            exclusions: Vec::new(),
        };
        let log_p = vec![-1e3, 0.5f64.ln(), 0.5f64.ln(), -1e3];
        let of = |phase: Vec<f64>| Enumeration::new(&terms, &lattice, &Amplitudes { log_p: log_p.clone(), phase });
        let singlet = of(vec![0.0, 0.3, 0.3 + std::f64::consts::PI, 0.0]).unwrap();
        assert!((singlet.observables.energy + 0.75).abs() < 1e-12);
        let ground = ground_state(&terms, 2).unwrap();
        assert!((singlet.fidelity(&ground) - 1.0).abs() < 1e-12);
        let triplet = of(vec![0.0, 2.0, 2.0, 0.0]).unwrap();
        assert!((triplet.observables.energy - 0.25).abs() < 1e-12);
        assert!(triplet.fidelity(&ground) < 1e-12);
    }

    #[test]
    fn the_energy_is_the_mean_of_the_local_energies() {
        let lattice = Lattice::square(2, 2);
        let terms = Rydberg { v: 3.0, delta: 0.7, omega: 1.3 }.terms(&lattice).unwrap();
        let weights: Vec<f64> = (0..16).map(|s| 1.0 + f64::from((s * 7) % 5)).collect();
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
        // A common factor of the probabilities only changes the total.
        let shifted: Vec<f64> = log_p.iter().map(|log_p| log_p + 0.01).collect();
        let found = Enumeration::new(&terms, &lattice, &real(&shifted)).unwrap();
        assert!((found.observables.energy - mean).abs() < 1e-12);
        assert!((found.total - 0.01f64.exp()).abs() < 1e-12);
    }

    #[test]
    fn the_ground_state_has_fidelity_one() {
        let lattice = Lattice::chain(4);
        let terms = Rydberg::default().terms(&lattice).unwrap();
        let exact = ground_state(&terms, 4).unwrap();
        let log_p: Vec<f64> = exact.state.iter().map(|amplitude| 2.0 * amplitude.ln()).collect();
        let found = Enumeration::new(&terms, &lattice, &real(&log_p)).unwrap();
        assert!((found.fidelity(&exact) - 1.0).abs() < 1e-12);
        assert!((found.observables.energy - exact.energy).abs() < 1e-10);
        let uniform = Enumeration::new(&terms, &lattice, &real(&[-(16f64.ln()); 16])).unwrap();
        assert!(uniform.fidelity(&exact) < 0.99);
    }

    #[test]
    fn probabilities_that_are_none_are_refused() {
        let lattice = Lattice::chain(1);
        let terms = Rydberg::default().terms(&lattice).unwrap();
        for log_p in [[f64::NAN, 0.0], [f64::NEG_INFINITY; 2], [f64::INFINITY, 0.0]] {
            assert_eq!(Enumeration::new(&terms, &lattice, &real(&log_p)).unwrap_err().kind(), ErrorKind::NotFinite);
        }
    }
}
