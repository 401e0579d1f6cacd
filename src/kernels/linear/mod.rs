//! Matrix products of a batch of rows with a weight, forward and backward.
//!
//! ```text
//! forward            y[r, n]   = act( Σ_k x[r, k] W[n, k] + b[n] ) + extra[r, n]
//! input gradient     d_x[r, k] = Σ_n d_y[r, n] W[n, k] · act'(saved[r, k])   or   + extra[r, k]
//! weight gradient    d_W[n, k] = Σ_r d_y[r, n] x[r, k]        d_b[n] = Σ_r d_y[r, n]
//! ```
//!
//! Weights are stored as (outputs, inputs), as in PyTorch's `nn.Linear`.
//!
//! Passes without gradient use the same layout. A transposed copy of the second feed-forward weight would make
//! `feed_forward` at (6144, 32, 2048) 8 % faster (63.9 to 59.0 ms of processor time on lavapipe), and copies of both
//! weights 2 %. Products of width 32 do not change beyond the noise. 3 % of a step does not justify a copy of the
//! parameters and a second layout.

mod activate;
mod blocks;
pub(crate) mod cases;
pub mod cooperative;
mod gradient;
mod product;
mod sums;

pub use activate::Activate;
pub(crate) use blocks::{
    GradientWidths, Parts, block_items, block_rows, block_rows_of, scratch_of_items, scratch_of_rows, scratch_within,
};
pub(super) use gradient::GRADIENT_SELECTOR;
pub use gradient::{GradientShape, LinearGradient, gradient_reference};
pub(super) use product::PRODUCT_SELECTOR;
pub use product::{Direction, Extra, LinearProduct, LinearShape, product_reference};
pub use sums::{Blocks, Columns, GradientInto, GradientSums, SampleGradients};

/// Activation function of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// f(x) = x
    None = 0,
    /// f(x) = max(x, 0)
    Relu = 1,
    /// f(x) = tanh x
    Tanh = 2,
    /// f(x) = x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))), the tanh approximation of arXiv:1606.08415
    Gelu = 3,
}

impl Activation {
    /// Returns f(x).
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::None => x,
            Self::Relu => x.max(0.0),
            Self::Tanh => x.tanh(),
            Self::Gelu => 0.5 * x * (1.0 + gelu_inner(x).tanh()),
        }
    }

    /// Returns f'(x) from the value saved by the forward pass: f(x) for relu and tanh, x for gelu.
    pub(crate) fn slope(self, saved: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Relu => f64::from(saved > 0.0),
            Self::Tanh => 1.0 - saved * saved,
            Self::Gelu => {
                let t = gelu_inner(saved).tanh();
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * saved * saved);
                0.5 * (1.0 + t) + 0.5 * saved * (1.0 - t * t) * inner
            }
        }
    }
}

fn gelu_inner(x: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)
}
