//! Sizes and options of a GPT.

use serde::{Deserialize, Serialize};

/// Positions of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TokenPositions {
    /// A trained table (T, C).
    #[default]
    Learned,
    /// sin and cos of p / 10000^(2i/C) on channels 2i and 2i + 1 (arXiv:1706.03762, section 3.5).
    Sinusoidal,
    /// Rotation of queries and keys by angles p / 10000^(2i/D), channel i with channel i + D/2 (arXiv:2104.09864).
    Rotary,
}

/// Sizes and options of a GPT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GptConfig {
    /// Number of tokens of the vocabulary, V.
    pub vocabulary: usize,
    /// Largest number of positions, T.
    pub block: usize,
    /// Width C; a multiple of 4.
    pub width: usize,
    /// Heads H; a divisor of the width.
    pub heads: usize,
    /// Layers K.
    pub layers: usize,
    /// Feed-forward width F; a multiple of 4.
    pub feed_forward: usize,
    /// Positions of tokens.
    pub position: TokenPositions,
    /// Whether linear layers and norms have biases. The projection to the vocabulary never has one.
    pub bias: bool,
    /// Whether the projection to the vocabulary is the token embedding.
    pub tied: bool,
}

impl Default for GptConfig {
    /// 4 layers of 4 heads and width 128 over 64 positions and 256 tokens.
    fn default() -> Self {
        Self {
            vocabulary: 256,
            block: 64,
            width: 128,
            heads: 4,
            layers: 4,
            feed_forward: 512,
            position: TokenPositions::default(),
            bias: true,
            tied: true,
        }
    }
}
