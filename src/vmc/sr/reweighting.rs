//! Reweighting: estimates for |ψ|² from samples of |ψ|^p.
//!
//! ```text
//! σ_b ~ |ψ|^p        w_b ∝ |ψ(σ_b)|^(2−p),  Σ_b w_b = 1        ⟨x⟩ ≈ Σ_b w_b x_b
//! error² = Σ_b w_b² (x_b − ⟨x⟩)²                                effective number of samples: 1 / Σ_b w_b²
//! ```
//!
//! The relative error of |ψ|² can be large where |ψ|² is small. Samples of |ψ|² rarely cover this region, samples with
//! p < 2 do.

use crate::kernels::vmc::energy::{COLUMNS, Column};

/// Distribution of the samples of a step.
pub(crate) enum SampleDistribution {
    /// |ψ|^p, with p of the step.
    Power,
    /// One configuration of every orbit of a sector, with the logarithms of the numbers of their members.
    Orbits(Vec<f64>),
}

impl SampleDistribution {
    /// One configuration of every orbit, which have `members` members.
    pub(crate) fn orbits(members: &[u32]) -> Self {
        Self::Orbits(members.iter().map(|members| f64::from(*members).ln()).collect())
    }

    /// Whether samples have weights if p = `power`.
    pub(crate) fn is_reweighted(&self, power: f64) -> bool {
        !matches!(self, Self::Power if power == 2.0)
    }

    /// Weights of samples with the given log |ψ|² that were drawn with p = `power`; `None` if all are equal.
    pub(crate) fn reweighting(&self, log_p: &[f64], power: f64) -> Option<Reweighting> {
        self.is_reweighted(power).then(|| match self {
            Self::Power => Reweighting::of(log_p, power),
            Self::Orbits(members) => {
                let log_weights = log_p.iter().zip(members).map(|(log_p, members)| log_p + members);
                Reweighting { is_complete: true, ..Reweighting::from_logarithms(log_weights.collect()) }
            }
        })
    }
}

/// Statistics of weighted samples, which replace those of equally weighted samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reweighted {
    /// Mean and variance of each column.
    pub statistics: [f32; 2 * COLUMNS as usize],
    /// Standard error of the mean energy.
    pub energy_error: f64,
}

/// Weights of the samples of a step.
pub(crate) struct Reweighting {
    /// (B), with sum 1
    weights: Vec<f64>,
    /// Whether the samples are all configurations, so that sums over them have no statistical error.
    is_complete: bool,
}

impl Reweighting {
    /// Computes the weights of samples of |ψ|^`power` from their log |ψ|².
    pub(crate) fn of(log_p: &[f64], power: f64) -> Self {
        Self::from_logarithms(log_p.iter().map(|log_p| (1.0 - 0.5 * power) * log_p).collect())
    }

    /// Weights with the given logarithms up to a constant.
    fn from_logarithms(logarithms: Vec<f64>) -> Self {
        let level = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logarithms.iter().map(|logarithm| (logarithm - level).exp()).collect();
        let total: f64 = weights.iter().sum();
        Self { weights: weights.into_iter().map(|weight| weight / total).collect(), is_complete: false }
    }

    /// Whether the samples are all configurations, so that sums over them have no statistical error.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Weight of sample `b`.
    pub(crate) fn weight(&self, b: usize) -> f64 {
        self.weights[b]
    }

    /// Effective number of samples of |ψ|².
    pub(crate) fn effective_samples(&self) -> f64 {
        self.weights.iter().map(|weight| weight * weight).sum::<f64>().recip()
    }

    /// Computes statistics of `values`, `COLUMNS` numbers per sample.
    pub(crate) fn statistics(&self, values: &[Vec<f32>]) -> Reweighted {
        let columns: Vec<[f64; 3]> = (0..COLUMNS as usize)
            .map(|k| self.moments(&values.iter().map(|row| f64::from(row[k])).collect::<Vec<_>>()))
            .collect();
        let statistics = std::array::from_fn(|at| columns[at / 2][at % 2] as f32);
        Reweighted { statistics, energy_error: columns[Column::Energy as usize][2] }
    }

    /// Returns the mean, the variance, unbiased for independent samples, and the standard error of the mean.
    fn moments(&self, x: &[f64]) -> [f64; 3] {
        let sum = |of: &dyn Fn(f64, f64) -> f64| self.weights.iter().zip(x).map(|(w, x)| of(*w, *x)).sum::<f64>();
        let mean = sum(&|w, x| w * x);
        let variance = sum(&|w, x| w * (x - mean).powi(2));
        if self.is_complete {
            return [mean, variance, 0.0];
        }
        let variance = variance / (1.0 - self.effective_samples().recip());
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

    /// One sample of each configuration, as from a uniform distribution: the weights are the probabilities.
    #[test]
    fn weights_make_up_for_the_power() {
        let p = [0.5f64, 0.3, 0.15, 0.05];
        let log_p = p.map(|p| p.ln() + 17.0);
        let flat = Reweighting::of(&log_p, 0.0);
        assert!(p.iter().enumerate().all(|(b, p)| (flat.weight(b) - p).abs() < 1e-12));
        // Samples of |ψ| have frequencies ∝ √p, so the weights are ∝ √p.
        let half = Reweighting::of(&log_p, 1.0);
        let total: f64 = p.iter().map(|p| p.sqrt()).sum();
        assert!(p.iter().enumerate().all(|(b, p)| (half.weight(b) - p.sqrt() / total).abs() < 1e-12));
    }
}
