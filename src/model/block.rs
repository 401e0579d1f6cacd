//! The options of a transformer block.

use crate::kernels::linear;

/// How positions look at each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attention {
    /// softmax(q kᵀ / √D) v (arXiv:1706.03762): work and memory of a position grow with those before it.
    #[default]
    Softmax,
    /// φ(q)ᵀ Σ φ(k) vᵀ / φ(q)·Σ φ(k) with φ(x) = elu(x) + 1 (arXiv:2006.16236): the positions before are one state of
    /// D·(D + 1) numbers a head.
    Linear,
}

/// Where a block normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Norm {
    /// x = LN(x + f(x)), as arXiv:1706.03762.
    #[default]
    Post,
    /// x = x + f(LN(x)), and one norm after the last block (arXiv:2002.04745).
    Pre,
}

/// What the hidden layer of a block's feed-forward part goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// max(x, 0)
    #[default]
    Relu,
    /// x/2 (1 + tanh(√(2/π)(x + 0.044715 x³))), the tanh form of arXiv:1606.08415.
    Gelu,
}

impl Activation {
    /// The same for kernels.
    pub(super) fn of_kernels(self) -> linear::Activation {
        match self {
            Self::Relu => linear::Activation::Relu,
            Self::Gelu => linear::Activation::Gelu,
        }
    }

    /// Whether its slope needs its input: then passes with gradient keep the hidden layer without it.
    pub(super) fn keeps_input(self) -> bool {
        self == Self::Gelu
    }
}

/// What stands before the first patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// The embedding of an empty patch.
    #[default]
    Zero,
    /// A vector of width C that is trained, in place of that embedding.
    Learned,
}
