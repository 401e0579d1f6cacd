//! Sampling power p that follows the signal-to-noise ratio of the gradient (arXiv:2507.05352).
//!
//! Samples of |ψ|^p give the gradient g = Σ_b w_b c_b with weights w ∝ |ψ|^(2−p). With S = ⟨w² |c|²⟩ over the samples,
//! its signal-to-noise ratio is |g| / √(S − |g|²), up to the number of samples, and
//!
//! ```text
//! ∂ ln S / ∂p = ⟨ln |ψ|⟩ − Σ_b s_b ln |ψ_b|        s_b ∝ w_b² |c_b|²,  Σ_b s_b = 1
//! p ← p + clip(0.2 · ∂ ln SNR / ∂p, −0.1, 0.1)      ∂ ln SNR / ∂p = −½ ∂ ln S / ∂p · S / (S − |g|²)
//! ```
//!
//! The ratio is that of the whole gradient, where the reference averages the ratios of its components: |c_b|² is known
//! from the Gram matrix, single components are not.

use super::gram::GramMatrix;

/// Bounds of p.
const LEAST: f32 = 0.2;
const MOST: f32 = 2.0;
/// Step length and largest step.
const RATE: f64 = 0.2;
const LARGEST_STEP: f64 = 0.1;

/// Deduplicated samples of |ψ|^p.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PowerSamples {
    /// Number of draws of each sample.
    pub counts: Vec<f64>,
    /// ln |ψ| of each sample.
    pub log_amplitudes: Vec<f64>,
}

impl PowerSamples {
    /// ∂ ln SNR / ∂p, from the square roots of the weights of the samples, including their numbers of draws, the right
    /// side f = −2 √w (E − Ē) in one or two parts, and the Gram matrix. `None` without noise.
    pub(crate) fn slope(&self, root: &[f64], right: &[f64], gram: &GramMatrix) -> Option<f64> {
        let n = root.len();
        let parts = right.len() / n;
        let at = |i: usize, j: usize| gram.values()[i * gram.rows() + j];
        // (count · w)² |c|² / count
        let square = |b: usize| -> f64 {
            let term = |i: usize, j: usize| right[i * n + b] * right[j * n + b] * at(i * n + b, j * n + b);
            (0..parts).flat_map(|i| (0..parts).map(move |j| (i, j))).map(|(i, j)| term(i, j)).sum::<f64>()
                / self.counts[b]
        };
        let squares: Vec<f64> = (0..n).map(|b| square(b).max(0.0)).collect();
        let (second, draws): (f64, f64) = (squares.iter().sum(), self.counts.iter().sum());
        let mean = |weights: &[f64], total: f64| -> f64 {
            weights.iter().zip(&self.log_amplitudes).map(|(weight, log)| weight * log).sum::<f64>() / total
        };
        let signal: f64 = gram.product(right).iter().zip(right).map(|(g, f)| g * f).sum();
        // Both are sums over the samples, so that S is `draws` times as large as `second`.
        let noise = 1.0 - signal / (draws * second);
        let slope = 0.5 * (mean(&squares, second) - mean(&self.counts, draws)) / noise;
        (slope.is_finite() && noise > 0.0).then_some(slope)
    }
}

/// The next power after a step with `power` at which the slope is `slope`.
pub(crate) fn next(power: f32, slope: f64) -> f32 {
    (power + (RATE * slope).clamp(-LARGEST_STEP, LARGEST_STEP) as f32).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Amplitudes, local energies and gradients of log ψ of a complex wave function of a few configurations.
    const LOG_AMPLITUDES: [f64; 5] = [0.3, -1.0, 0.8, -2.5, 0.1];
    const ENERGIES: [[f64; 2]; 5] = [[-1.0, 0.2], [2.0, -0.1], [-1.5, 0.0], [4.0, 1.0], [0.5, -0.3]];
    const GRADIENTS: [[[f64; 2]; 3]; 5] = [
        [[0.3, 0.1], [-0.2, 0.0], [0.5, -0.4]],
        [[-0.7, 0.2], [0.1, 0.6], [0.0, 0.3]],
        [[0.2, -0.3], [0.4, 0.2], [-0.1, 0.1]],
        [[1.0, 0.0], [-0.9, 0.3], [0.2, 0.8]],
        [[-0.4, 0.5], [0.3, -0.2], [0.6, 0.0]],
    ];

    fn normalized(logarithms: impl Iterator<Item = f64>) -> Vec<f64> {
        let weights: Vec<f64> = logarithms.map(f64::exp).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    /// Mean of `values` over |ψ|².
    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        normalized(LOG_AMPLITUDES.iter().map(|log| 2.0 * log)).iter().zip(values).map(|(p, value)| p * value).sum()
    }

    /// ln SNR of a draw of |ψ|^p, by enumeration.
    fn log_ratio(power: f64) -> f64 {
        let density = normalized(LOG_AMPLITUDES.iter().map(|log| 2.0 * log));
        let drawn = normalized(LOG_AMPLITUDES.iter().map(|log| power * log));
        let centered = |b: usize, k: usize, part: usize| {
            GRADIENTS[b][k][part] - mean(GRADIENTS.iter().map(|gradient| gradient[k][part]))
        };
        let energy = |b: usize, part: usize| ENERGIES[b][part] - mean(ENERGIES.iter().map(|energy| energy[part]));
        let (mut signal, mut second) = (0.0, 0.0);
        for k in 0..3 {
            let of = |b: usize| -2.0 * (0..2).map(|part| energy(b, part) * centered(b, k, part)).sum::<f64>();
            signal += (0..5).map(|b| density[b] * of(b)).sum::<f64>().powi(2);
            second += (0..5).map(|b| drawn[b] * (density[b] / drawn[b] * of(b)).powi(2)).sum::<f64>();
        }
        0.5 * (signal / (second - signal)).ln()
    }

    #[test]
    fn the_slope_is_the_derivative_of_the_signal_to_noise_ratio() {
        for power in [2.0, 1.1, 0.4] {
            let density = normalized(LOG_AMPLITUDES.iter().map(|log| 2.0 * log));
            let counts: Vec<f64> =
                normalized(LOG_AMPLITUDES.iter().map(|log| power * log)).iter().map(|q| 1e4 * q).collect();
            let root: Vec<f64> = density.iter().map(|p| p.sqrt()).collect();
            let column = |k: usize, part: usize| {
                let mean = mean(GRADIENTS.iter().map(|gradient| gradient[k][part]));
                (0..5).map(move |b| (b, GRADIENTS[b][k][part] - mean))
            };
            let x: Vec<Vec<f64>> = (0..3)
                .map(|k| (0..2).flat_map(|part| column(k, part)).map(|(b, value)| root[b] * value).collect())
                .collect();
            let at = |r: usize, c: usize| x.iter().map(|column: &Vec<f64>| column[r] * column[c]).sum::<f64>();
            let gram = GramMatrix::new(10, (0..100).map(|place| at(place / 10, place % 10)).collect());
            let right: Vec<f64> = (0..2)
                .flat_map(|part| {
                    let mean = mean(ENERGIES.iter().map(|energy| energy[part]));
                    (0..5).map(move |b| (b, ENERGIES[b][part] - mean))
                })
                .map(|(b, energy)| -2.0 * root[b] * energy)
                .collect();
            let samples = PowerSamples { counts, log_amplitudes: LOG_AMPLITUDES.to_vec() };
            let slope = samples.slope(&root, &right, &gram).unwrap();
            let expected = (log_ratio(power + 1e-5) - log_ratio(power - 1e-5)) / 2e-5;
            assert!((slope - expected).abs() < 1e-6 * expected.abs().max(1.0), "{power}: {slope} of {expected}");
        }
    }

    #[test]
    fn steps_are_clipped_and_the_power_bounded() {
        assert_eq!(next(2.0, 7.0), 2.0);
        assert_eq!(next(2.0, -7.0), 1.9);
        assert_eq!(next(0.25, -7.0), 0.2);
        assert!((next(1.0, 0.25) - 1.05).abs() < 1e-6);
    }
}
