//! Linear system of a step on the host: from what the device has summed to the solution.

use web_time::Instant;

use super::gram::{ProductWords, Solution};
use super::reweighting::Reweighted;
use super::sampling_power::PowerSamples;
use super::step_control::StepControl;
use crate::error::Result;
use crate::vmc::step::buffers::StepInputs;

/// Weights and energies of the deduplicated samples of a step.
pub(crate) struct Sampled {
    pub inputs: StepInputs,
    /// Square roots of the weights.
    pub root: Vec<f64>,
    /// f = −2 √w (E − Ē): real parts, then imaginary parts.
    pub right: Vec<f64>,
    /// `None` if all samples have equal weights.
    pub reweighted: Option<Reweighted>,
    /// Effective number of samples of |ψ|².
    pub effective_samples: f64,
    /// Mean energy with its standard error; NaN at a temperature above zero.
    pub energy: [f64; 2],
    /// Step control with this energy, which only a completed update or shortening keeps.
    pub control: StepControl,
    /// If the sampling power follows the gradient.
    pub power: Option<PowerSamples>,
    /// When the step's sampling had ended.
    pub begun: Instant,
}

/// Linear system (G + λ) v = f − μ X φ.
pub(crate) struct LinearSystem {
    pub sampled: Sampled,
    pub products: ProductWords,
    pub lambda: f64,
    /// μ
    pub momentum: f64,
}

/// Solution of a [`LinearSystem`].
pub(crate) struct Solved {
    pub sampled: Sampled,
    /// Norm of the gradient of the energy.
    pub gradient_norm: f64,
    /// Norm of X φ, by which a step of unit length changes log ψ.
    pub change: f64,
    /// Derivative of the signal-to-noise ratio of the gradient by the sampling power.
    pub power_slope: Option<f64>,
    /// `None` if a number is not finite.
    pub solution: Option<Solution>,
    /// Wall time until the matrix was known, and of its solution.
    pub gram_seconds: f64,
    pub solve_seconds: f64,
    /// When the system was solved.
    pub end: Instant,
}

impl LinearSystem {
    /// Solves the system.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Memory`] if this machine has too little memory.
    pub(crate) fn solve(self) -> Result<Solved> {
        let Self { sampled, products, lambda, momentum } = self;
        let (root, right) = (&sampled.root, &sampled.right);
        let gram = products.gram(root)?;
        let squared: f64 = gram.product(right).iter().zip(right).map(|(g, f)| g * f).sum();
        // Rounding can make it negative.
        let gradient_norm = if squared.is_finite() { squared.max(0.0).sqrt() } else { f64::NAN };
        let power_slope = sampled.power.as_ref().and_then(|power| power.slope(root, right, &gram));
        let along = products.along(root);
        let summed = Instant::now();
        let reduced: Vec<f64> = right.iter().zip(&along).map(|(f, along)| f - momentum * along).collect();
        let solution = gram.solve(&reduced, lambda);
        // X φ = G v + μ X φ_before = f − λ v
        let change = solution.as_ref().map_or(f64::NAN, |solution| {
            let changes = right.iter().zip(&solution.values).map(|(f, v)| (f - lambda * v).powi(2));
            changes.sum::<f64>().sqrt()
        });
        let end = Instant::now();
        let (gram_seconds, solve_seconds) = ((summed - sampled.begun).as_secs_f64(), (end - summed).as_secs_f64());
        Ok(Solved { sampled, gradient_norm, change, power_slope, solution, gram_seconds, solve_seconds, end })
    }
}
