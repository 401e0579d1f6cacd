//! Optimizers and their settings.

use crate::error::{Error, ErrorKind, Result};

/// Origin of the samples of a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sampling {
    /// The sampler of the wave function: exact draws of an autoregressive one, otherwise Markov chains.
    #[default]
    Own,
    /// No samples: the sum over all configurations of the sector, with probabilities ∝ |ψ|². Energies have no statistical
    /// error. Of configurations that differ by a symmetry of network and Hamiltonian one is computed. Up to 24 sites and
    /// 20,000 such configurations, with stochastic reconfiguration only.
    FullSum,
    /// Independent draws of an unnormalized wave function, from the amplitudes of all configurations of the sector, instead
    /// of Markov chains. Up to as many configurations as of a full sum.
    Exact,
}

/// Optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Optimizer {
    /// Adam on the gradient of the energy (arXiv:1412.6980).
    #[default]
    Adam,
    /// Natural gradient.
    StochasticReconfiguration(StochasticReconfiguration),
}

impl Optimizer {
    /// Returns p: unnormalized wave functions are sampled from |ψ|^p.
    pub(crate) fn sampling_power(&self) -> SamplingPower {
        match self {
            Self::Adam => SamplingPower::default(),
            Self::StochasticReconfiguration(settings) => settings.sampling_power,
        }
    }
}

/// Power p of |ψ|^p, from which the samples of an unnormalized wave function are drawn, with weights ∝ |ψ|^(2−p).
///
/// p < 2 samples more configurations of small |ψ|, with error bars that grow with the lattice. Autoregressive wave
/// functions are always sampled from |ψ|².
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SamplingPower {
    /// Above 0, at most 2.
    Fixed(f64),
    /// Starts at 2 and follows the signal-to-noise ratio of the gradient, between 0.2 and 2 (Misery, Gravina, Santini &
    /// Vicentini, arXiv:2507.05352).
    Adaptive,
}

impl SamplingPower {
    /// p of the first step.
    pub(crate) fn first(self) -> f32 {
        match self {
            Self::Fixed(power) => power as f32,
            Self::Adaptive => 2.0,
        }
    }
}

impl Default for SamplingPower {
    /// Samples of |ψ|².
    fn default() -> Self {
        Self::Fixed(2.0)
    }
}

/// Stochastic reconfiguration in the space of samples, with momentum.
///
/// ```text
/// φ = Xᵀ (X Xᵀ + λ)⁻¹ (f − μ X φ_before) + μ φ_before        θ ← θ + τ φ
/// ```
///
/// X are the centered, weighted gradients of log ψ, f the centered, weighted −2 (E_loc − E), and τ the learning rate.
/// [`crate::vmc::TrainConfig::clip`] limits the norm of the step. No step changes log ψ by more than 1, as a standard
/// deviation over |ψ|², and of a step after which the energy is higher by more than three standard errors, half is taken
/// back. Sources: Rende, Viteritti, Bardone, Becca & Goldt,
/// arXiv:2310.05715 (the matrix); Goldshlager, Abrahamsen & Lin, arXiv:2401.10190 (SPRING, the momentum).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StochasticReconfiguration {
    /// Diagonal shift λ at the first step, in units of squared gradients of log ψ.
    pub lambda: f64,
    /// λ after `lambda_steps` steps. λ changes geometrically from `lambda` to `lambda_end`.
    pub lambda_end: f64,
    /// Number of steps over which λ changes to `lambda_end`; with 0, λ is `lambda_end` from the first step on.
    pub lambda_steps: u64,
    /// μ, fraction of the previous direction that is kept in the subspace that the samples do not determine; at least 0
    /// and below 1.
    pub momentum: f64,
    /// p of samples of |ψ|^p.
    pub sampling_power: SamplingPower,
}

impl Default for StochasticReconfiguration {
    /// Constant λ = 10⁻³, no momentum, samples of |ψ|².
    fn default() -> Self {
        Self {
            lambda: 1e-3,
            lambda_end: 1e-3,
            lambda_steps: 0,
            momentum: 0.0,
            sampling_power: SamplingPower::default(),
        }
    }
}

impl StochasticReconfiguration {
    /// Returns the settings with a constant λ.
    pub fn with_lambda(self, lambda: f64) -> Self {
        Self { lambda, lambda_end: lambda, ..self }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the remedy if a setting is invalid.
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        for lambda in [self.lambda, self.lambda_end] {
            if !(lambda.is_finite() && lambda > 0.0) {
                return error(format!(
                    "lambda {lambda}: X X^T of few samples has no inverse without a shift; give a positive number such \
                     as 1e-3"
                ));
            }
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return error(format!("momentum {}; give 0 for none, or a number below 1 such as 0.9", self.momentum));
        }
        match self.sampling_power {
            SamplingPower::Fixed(power) if !(power > 0.0 && power <= 2.0) => {
                error(format!("sampling_power {power}; give 2 for samples of |psi|^2, or less such as 1"))
            }
            _ => Ok(()),
        }
    }

    /// Returns λ of step `step`, counted from 1.
    pub(crate) fn lambda_of(&self, step: u64) -> f64 {
        let done = if self.lambda_steps == 0 { 1.0 } else { ((step - 1) as f64 / self.lambda_steps as f64).min(1.0) };
        self.lambda * (self.lambda_end / self.lambda).powf(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_goes_as_a_power_from_one_end_to_the_other() {
        let base = StochasticReconfiguration::default();
        let settings = StochasticReconfiguration { lambda: 1e-2, lambda_end: 1e-4, lambda_steps: 10, ..base };
        assert_eq!(settings.lambda_of(1), 1e-2);
        assert!((settings.lambda_of(6) - 1e-3).abs() < 1e-12);
        assert!((settings.lambda_of(11) - 1e-4).abs() < 1e-15 && (settings.lambda_of(99) - 1e-4).abs() < 1e-15);
        assert_eq!(StochasticReconfiguration::default().with_lambda(0.5).lambda_of(7), 0.5);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_remedy() {
        let base = StochasticReconfiguration::default();
        base.check().unwrap();
        for lambda in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(base.with_lambda(lambda).check().unwrap_err().to_string().contains("1e-3"), "{lambda}");
        }
        for momentum in [-0.1, 1.0, 1.5, f64::NAN] {
            let message = StochasticReconfiguration { momentum, ..base }.check().unwrap_err().to_string();
            assert!(message.contains("0.9"), "{message}");
        }
        for power in [0.0, -1.0, 2.1, f64::NAN] {
            let message = StochasticReconfiguration { sampling_power: SamplingPower::Fixed(power), ..base }
                .check()
                .unwrap_err()
                .to_string();
            assert!(message.contains("give 2"), "{message}");
        }
    }
}
