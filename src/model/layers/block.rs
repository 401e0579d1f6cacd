//! Options of a transformer block.

use crate::kernels::linear;

/// Attention between positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attention {
    /// softmax(q kᵀ / √D) v (arXiv:1706.03762). Work and memory of a position grow with the number of earlier
    /// positions.
    #[default]
    Softmax,
    /// φ(q)ᵀ Σ φ(k) vᵀ / φ(q)·Σ φ(k) with φ(x) = elu(x) + 1 (arXiv:2006.16236). The earlier positions are one state of
    /// D·(D + 1) numbers per head.
    Linear,
}

/// Placement of a block's norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Norm {
    /// x = LN(x + f(x)), as arXiv:1706.03762.
    #[default]
    Post,
    /// x = x + f(LN(x)), and one norm after the last block (arXiv:2002.04745).
    Pre,
}

/// Activation of the hidden layer of a block's feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// max(x, 0)
    #[default]
    Relu,
    /// x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))), the tanh approximation of arXiv:1606.08415.
    Gelu,
}

impl Activation {
    /// The corresponding activation of the kernels.
    pub(crate) fn of_kernels(self) -> linear::Activation {
        match self {
            Self::Relu => linear::Activation::Relu,
            Self::Gelu => linear::Activation::Gelu,
        }
    }

    /// Whether the slope is computed from the input. If so, training passes keep the hidden layer without its
    /// activation.
    pub(crate) fn keeps_input(self) -> bool {
        self == Self::Gelu
    }
}

/// Input at the first position, which has no previous patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// The embedding of an empty patch.
    #[default]
    Zero,
    /// A trained vector of width C, in place of that embedding.
    Learned,
}
