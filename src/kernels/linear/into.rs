//! What becomes of the sums over blocks of rows that every gradient of parameters begins with.

use super::{GradientShape, LinearGradient};
use crate::error::Result;
use crate::gpu::{Plan, Rows, View};

/// Where gradients of parameters go.
#[derive(Clone, Copy)]
pub enum GradientInto<'a> {
    /// Into the gradient over all rows: the blocks are added in their order.
    Sum {
        /// Adds to what is there instead of replacing it.
        keep: bool,
    },
    /// Nowhere yet. A block of rows is one sample ([`crate::gpu::LiveRows::apart`]), so that the blocks are rows of the
    /// Jacobian, and whoever takes them decides.
    Samples(&'a dyn SampleGradients),
}

impl GradientInto<'_> {
    /// In place of what was there.
    pub const ANEW: Self = Self::Sum { keep: false };
}

/// Records the sums of blocks of rows into a view, (blocks, weights + columns).
pub type Blocks<'a> = dyn Fn(&mut Plan, &View) -> Result<()> + 'a;

/// The parameters that a call makes the gradient of.
pub struct Columns<'a> {
    /// What the gradient is a sum over.
    pub rows: &'a Rows,
    /// Where it would go: views on the gradient, or on something else that nobody needs.
    pub into: [&'a View; 2],
    /// Elements of both; 0 where there is no second.
    pub elements: [u32; 2],
}

/// Takes the gradients of single samples, call after call of a backward pass.
pub trait SampleGradients {
    /// Those of a linear layer, which are d_yᵀ x and Σ d_y over the rows of a sample.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn linear(&self, plan: &mut Plan, layer: &LinearGradient, shape: &GradientShape) -> Result<()>;

    /// Those of any other parameters, which `blocks` records.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    fn other(&self, plan: &mut Plan, columns: &Columns<'_>, blocks: &Blocks<'_>) -> Result<()>;
}
