//! Expectation values of symmetries of the lattice in a wave function, which show its momentum and parities.
//!
//! ```text
//! (Tψ)(σ) = ψ(gσ)        ⟨T⟩ = Σ_σ |ψ(σ)|² ψ(gσ)/ψ(σ) / Σ_σ |ψ(σ)|²
//! ```
//!
//! In an eigenstate of T the ratio is the same for all σ, so that the estimate from samples has no variance.

use super::evaluate::chunk_of;
use super::full_sum::{Amplitudes, Free};
use crate::error::Result;
use crate::physics::Symmetry;
use crate::vmc::state::{SampleConfig, State};
use crate::vmc::statistics::{autocorrelation_time, series};
use crate::vmc::step::fixed_configurations::FixedConfigurations;

/// Expectation value of a symmetry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SymmetryExpectation {
    /// Real and imaginary part of ⟨T⟩, which is on the unit circle in an eigenstate.
    pub value: [f64; 2],
    /// Standard error of the real and the imaginary part.
    pub error: [f64; 2],
}

/// Real and imaginary part of ψ(gσ)/ψ(σ); 0 where ψ(gσ) is.
fn ratio([log_p, phase]: [f64; 2], [log_p_of_image, phase_of_image]: [f64; 2]) -> [f64; 2] {
    let size = (0.5 * (log_p_of_image - log_p)).exp();
    let angle = phase_of_image - phase;
    [size * angle.cos(), size * angle.sin()]
}

impl Amplitudes {
    /// ⟨T⟩ of `symmetry` by a sum over all configurations.
    ///
    /// # Panics
    /// If `symmetry` is of another number of sites.
    pub fn expectation(&self, symmetry: &Symmetry) -> [f64; 2] {
        let top = self.log_p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut norm) = ([0.0; 2], 0.0);
        for (state, (&log_p, &phase)) in self.log_p.iter().zip(&self.phase).enumerate() {
            let weight = (log_p - top).exp();
            if weight > 0.0 {
                let image = symmetry.image_of_state(state);
                let [re, im] = ratio([log_p, phase], [self.log_p[image], self.phase[image]]);
                sum = [sum[0] + weight * re, sum[1] + weight * im];
                norm += weight;
            }
        }
        sum.map(|part| part / norm)
    }
}

impl State<'_> {
    /// Estimates ⟨T⟩ of each of `symmetries` from samples, as [`State::sample`] draws them, and their images.
    ///
    /// # Errors
    /// As [`State::sample`] and [`State::expect`].
    pub fn expect_symmetries(&self, symmetries: &[Symmetry], config: SampleConfig) -> Result<Vec<SymmetryExpectation>> {
        let drawn = self.sample(config)?.configurations;
        let given = FixedConfigurations::new(self, &Free, drawn.len())?;
        let log_psi = |configurations: &[Vec<u8>]| {
            let mut all = Vec::with_capacity(configurations.len());
            for chunk in configurations.chunks(given.chunk) {
                let values = given.run(chunk)?;
                all.extend(values.log_p.into_iter().zip(values.phase).map(|(log_p, phase)| [log_p, phase]));
            }
            Ok(all)
        };
        let own: Vec<[f64; 2]> = log_psi(&drawn)?;
        let chunk = chunk_of(self.model, drawn.len());
        let chains = self.model.chains().map_or(1, |chains| chains.chains_of(chunk as u32) as usize);
        let mean = |values: &[f64]| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
            let twice_time = match self.model.chains() {
                Some(_) => 2.0 * autocorrelation_time(&series(values, chunk, chains)),
                None => 1.0,
            };
            (mean, (variance * twice_time / count).sqrt())
        };
        let expectation = |symmetry: &Symmetry| {
            let images: Vec<Vec<u8>> = drawn.iter().map(|config| symmetry.image(config)).collect();
            let ratios: Vec<[f64; 2]> = own.iter().zip(log_psi(&images)?).map(|(a, b)| ratio(*a, b)).collect();
            let parts = [0, 1].map(|part| mean(&ratios.iter().map(|ratio| ratio[part]).collect::<Vec<f64>>()));
            Ok(SymmetryExpectation { value: parts.map(|part| part.0), error: parts.map(|part| part.1) })
        };
        symmetries.iter().map(expectation).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Hamiltonian, Heisenberg, Lattice, ground_state, named_symmetries};

    #[test]
    fn plane_waves_and_singlets_have_their_eigenvalues() {
        let lattice = Lattice::chain(5);
        let g = Symmetry::translation(&lattice, [1, 0]);
        // A single excitation at x with the phase k x: ψ(gσ) = e^(−ik) ψ(σ).
        let k = std::f64::consts::TAU / 5.0;
        let mut wave = Amplitudes { log_p: vec![f64::NEG_INFINITY; 32], phase: vec![0.0; 32] };
        for x in 0..5 {
            (wave.log_p[1 << x], wave.phase[1 << x]) = (0.3, 2.0 * k * f64::from(x));
        }
        let [re, im] = wave.expectation(&g);
        assert!((re - (2.0 * k).cos()).abs() < 1e-12 && (im + (2.0 * k).sin()).abs() < 1e-12);
        wave.log_p[3] = 0.3;
        let [re, im] = wave.expectation(&g);
        assert!(re.hypot(im) < 0.9, "a superposition is no eigenstate");

        let ring = Lattice::chain(6).periodic();
        let terms = Heisenberg::default().terms(&ring).unwrap();
        let state = ground_state(&terms, 6).unwrap().state;
        let log_p = state.iter().map(|amplitude| (amplitude * amplitude).ln()).collect();
        let phase = state.iter().map(|&amplitude| if amplitude < 0.0 { std::f64::consts::PI } else { 0.0 }).collect();
        let singlet = Amplitudes { log_p, phase };
        let found: Vec<(&str, f64)> = named_symmetries(&terms, &ring)
            .unwrap()
            .iter()
            .map(|(name, g)| (*name, (1e9 * singlet.expectation(g)[0]).round() / 1e9))
            .collect();
        assert_eq!(found, [("translation along x", -1.0), ("reflection of x", -1.0), ("spin flip", -1.0)]);
    }
}
