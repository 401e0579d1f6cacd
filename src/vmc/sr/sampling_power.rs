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
