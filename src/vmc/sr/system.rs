//! Linear system of a step on the host: from what the device has summed to the solution.

use web_time::Instant;

use super::gram::{ProductWords, Solution};
use super::reweighting::Reweighted;
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
        let along = products.along(root);
        let summed = Instant::now();
        let right: Vec<f64> = right.iter().zip(&along).map(|(f, along)| f - momentum * along).collect();
        let solution = gram.solve(&right, lambda);
        let end = Instant::now();
        let (gram_seconds, solve_seconds) = ((summed - sampled.begun).as_secs_f64(), (end - summed).as_secs_f64());
        Ok(Solved { sampled, gradient_norm, solution, gram_seconds, solve_seconds, end })
    }
}
