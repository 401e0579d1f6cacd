//! The patched recurrent wave function (PRNN) of arXiv:2306.03921: a recurrent cell over patches of spins.
//!
//! ```text
//! h_t = cell(patch_{t−1}, h_{t−1})                                     patch_{−1} = 0, h_{−1} = 0
//! log P(patch_t | earlier) = log softmax(W_b relu(W_a h_t + b_a) + b_b)
//! ```
//!
//! The cell is a GRU or Elman's (formulas: [`crate::kernels::recurrent`]). Names and initial values are those of the
//! authors' PyTorch code: every parameter of the cell begins uniform within 1/√C.

pub use crate::kernels::recurrent::Cell;
use crate::physics::Patch;

/// Settings of the patched recurrent wave function.
#[derive(Debug, Clone, PartialEq)]
pub struct Rnn {
    /// Sites of a patch: consecutive ones, or a block.
    pub patch: Patch,
    /// Width C of the state, `Nh`; a multiple of 4.
    pub width: usize,
    /// The cell, `rnntype`.
    pub cell: Cell,
}

impl Default for Rnn {
    fn default() -> Self {
        Self { patch: Patch::Line(1), width: 256, cell: Cell::Gru }
    }
}
