//! Destination of parameter gradients: summed over all rows or per sample.

use super::{GradientShape, LinearGradient};
use crate::error::Result;
use crate::gpu::{Plan, Rows, View};

/// Destination of parameter gradients.
#[derive(Clone, Copy)]
pub enum GradientInto<'a> {
    /// Gradient over all rows; the blocks are added in order.
    Sum {
        /// Adds to the existing values instead of replacing them.
        keep: bool,
    },
    /// Per-sample gradients. A block of rows is one sample ([`crate::gpu::DynamicRows::apart`]), so the blocks are rows
    /// of the Jacobian. The receiver decides where they are stored.
    Samples(&'a dyn SampleGradients),
}

impl GradientInto<'_> {
    /// Replaces the existing values.
    pub const REPLACE: Self = Self::Sum { keep: false };
}

/// Records the sums over blocks of rows into a view (blocks, weights + columns).
pub type Blocks<'a> = dyn Fn(&mut Plan, &View) -> Result<()> + 'a;

/// Parameters of one gradient computation.
pub struct Columns<'a> {
    /// Rows that the gradient is a sum over.
    pub rows: &'a Rows,
    /// Views of the gradient, or unused views.
    pub into: [&'a View; 2],
    /// Number of elements of each view; 0 if there is no second.
    pub elements: [u32; 2],
}

/// Receiver of per-sample gradients, called once per set of parameters in a backward pass.
pub trait SampleGradients {
    /// Receives the gradients of a linear layer: d_yᵀ x and Σ d_y over the rows of a sample.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn linear(&self, plan: &mut Plan, layer: &LinearGradient, shape: &GradientShape) -> Result<()>;

    /// Receives the gradients of other parameters, which `blocks` records.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn other(&self, plan: &mut Plan, columns: &Columns<'_>, blocks: &Blocks<'_>) -> Result<()>;
}
