//! Diagnostics and cost of a step of stochastic reconfiguration.

use crate::gpu::Cost;

/// Diagnostics of a step of stochastic reconfiguration.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ReconfigurationReport {
    /// Estimated condition number of G + λ: largest over smallest eigenvalue.
    pub condition: f64,
    /// Relative residual of (G + λ) v = f, ‖(G + λ) v − f‖ / ‖f‖.
    pub residual: f64,
    /// λ. If G + λ could not be factorized, its smallest eigenvalue that was not cut off.
    pub lambda: f64,
    /// Norm of the step in the parameters.
    pub update_norm: f64,
    /// Effective number of samples of |ψ|². It is smaller than the number of samples if they were drawn from another
    /// power of |ψ|.
    pub effective_samples: f64,
}

/// Cost of the last step of stochastic reconfiguration, without sampling and local energies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct ReconfigurationCost {
    /// Number of parameters.
    pub parameters: u64,
    /// Number of passes over the samples, each for some of the layers.
    pub passes: usize,
    /// Number of additions to the Gram matrix from pairs of rows, and from columns of the Jacobian.
    pub additions: [usize; 2],
    /// Number of rows of the linear system.
    pub rows: usize,
    /// Cost of the passes and of the products of gradients, for samples that are all distinct.
    pub gram: Cost,
    /// Wall time of reading energies, of the passes and of reading the matrix.
    pub gram_seconds: f64,
    /// Wall time of solving the linear system on the host.
    pub solve_seconds: f64,
    /// Cost of the pass that computes the direction from the solution.
    pub apply: Cost,
    /// Wall time of that pass and of the parameter update.
    pub apply_seconds: f64,
}
