//! Means of the wave function from samples that are as frequent as another power of |ψ| than its square.
//!
//! ```text
//! σ_b ~ |ψ|^p        w_b ∝ |ψ(σ_b)|^(2−p),  Σ_b w_b = 1        ⟨x⟩ ≈ Σ_b w_b x_b
//! error² = Σ_b w_b² (x_b − ⟨x⟩)²                                samples they are worth: 1 / Σ_b w_b²
//! ```
//!
//! Where |ψ|² is small its relative error can be large, and samples of |ψ|² hardly go there; p < 2 does.

use super::estimator::Estimator;
use crate::error::Result;
use crate::kernels::energy::COLUMNS;

/// Statistics of weighted samples, in the place of those that take all samples alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reweighted {
    /// Mean and variance of every column.
    pub statistics: [f32; 2 * COLUMNS as usize],
    /// Standard error of the mean energy.
    pub energy_error: f64,
}

/// Weights of the samples of a step.
pub(super) struct Reweighting {
    /// (B), which add up to 1
    weights: Vec<f64>,
}

impl Reweighting {
    /// Of the samples that were just drawn, as frequent as |ψ|^`power`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] when the device was lost.
    pub fn new(estimator: &Estimator, power: f64) -> Result<Self> {
        Ok(Self::of(&estimator.read_log_p(estimator.samples as usize)?, power))
    }

    /// From log |ψ|² of the samples.
    fn of(log_p: &[f64], power: f64) -> Self {
        let level = log_p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = log_p.iter().map(|log_p| ((1.0 - 0.5 * power) * (log_p - level)).exp()).collect();
        let total: f64 = weights.iter().sum();
        Self { weights: weights.into_iter().map(|weight| weight / total).collect() }
    }

    /// Of sample `b`.
    pub fn weight(&self, b: usize) -> f64 {
        self.weights[b]
    }

    /// How many samples of |ψ|² they are worth.
    pub fn effective_samples(&self) -> f64 {
        self.weights.iter().map(|weight| weight * weight).sum::<f64>().recip()
    }

    /// Means over samples of these values, `COLUMNS` each.
    pub fn statistics(&self, values: &[Vec<f32>]) -> Reweighted {
        let columns: Vec<[f64; 3]> = (0..COLUMNS as usize)
            .map(|k| self.moments(&values.iter().map(|row| f64::from(row[k])).collect::<Vec<_>>()))
            .collect();
        let statistics = std::array::from_fn(|at| columns[at / 2][at % 2] as f32);
        Reweighted { statistics, energy_error: columns[0][2] }
    }

    /// Mean, variance as of independent samples without bias, and standard error of the mean.
    fn moments(&self, x: &[f64]) -> [f64; 3] {
        let sum = |of: &dyn Fn(f64, f64) -> f64| self.weights.iter().zip(x).map(|(w, x)| of(*w, *x)).sum::<f64>();
        let mean = sum(&|w, x| w * x);
        let variance = sum(&|w, x| w * (x - mean).powi(2)) / (1.0 - self.effective_samples().recip());
        [mean, variance, sum(&|w, x| (w * (x - mean)).powi(2)).sqrt()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_the_wave_function_all_weigh_the_same() {
        let reweighting = Reweighting::of(&[-1.0, -700.0, 3.0, 0.5], 2.0);
        assert!((0..4).all(|b| reweighting.weight(b) == 0.25) && reweighting.effective_samples() == 4.0);
        let [mean, variance, error] = reweighting.moments(&[1.0, 2.0, 3.0, 6.0]);
        assert!((mean - 3.0).abs() < 1e-12 && (variance - 14.0 / 3.0).abs() < 1e-12);
        assert!((error - (14.0f64 / 16.0).sqrt()).abs() < 1e-12);
    }

    /// One sample of every configuration, as a flat distribution draws them: weights are probabilities.
    #[test]
    fn weights_make_up_for_the_power() {
        let p = [0.5f64, 0.3, 0.15, 0.05];
        let log_p = p.map(|p| p.ln() + 17.0);
        let flat = Reweighting::of(&log_p, 0.0);
        assert!(p.iter().enumerate().all(|(b, p)| (flat.weight(b) - p).abs() < 1e-12));
        // Of |ψ|, which has them as frequent as √p: √p again is left.
        let half = Reweighting::of(&log_p, 1.0);
        let total: f64 = p.iter().map(|p| p.sqrt()).sum();
        assert!(p.iter().enumerate().all(|(b, p)| (half.weight(b) - p.sqrt() / total).abs() < 1e-12));
    }
}
