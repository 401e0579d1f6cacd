//! Sizes and options of a GPT.

use serde::{Deserialize, Serialize};

use super::layout::GptLayout;
use crate::error::{Error, ErrorKind, Result};
use crate::model::layers::layer_settings::{LayerSettings, MAX_SIZE};
use crate::model::layers::transformer_layers::TransformerSizes;
use crate::model::{Activation, Attention, Norm, Weights};

/// Positions of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TokenPositions {
    /// A trained table (T, C).
    #[default]
    Learned,
    /// sin and cos of p / 10000^(2i/C) on channels 2i and 2i + 1 (arXiv:1706.03762, section 3.5), as large as the initial
    /// token embedding.
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

/// Maximum number of tokens of a chunk of the vocabulary, without padding.
const VOCABULARY_CHUNK: usize = 16384;
/// Maximum size of the vocabulary.
const MAX_VOCABULARY: usize = 1 << 20;

impl GptConfig {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], with the field to change.
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Error::new(ErrorKind::Settings, format!("gpt: {message}"));
        let Self { width, heads, layers, feed_forward, .. } = *self;
        for (name, value, most) in [("vocabulary", self.vocabulary, MAX_VOCABULARY), ("block", self.block, MAX_SIZE)] {
            if value == 0 || value > most {
                let message = format!("GptConfig::{name}={value} is out of range; give a number from 1 to {most}");
                return Err(error(message));
            }
        }
        LayerSettings { owner: "GptConfig", width, heads, layers, feed_forward }.check().map_err(error)?;
        let head = width / heads;
        if self.position == TokenPositions::Rotary && !head.is_multiple_of(2) {
            let message = format!("rotary positions need heads of even width, got {head}; use other GptConfig::heads");
            return Err(error(message));
        }
        Ok(())
    }

    /// Number of equal chunks of the vocabulary whose logits are computed at a time.
    pub(crate) fn vocabulary_chunks(&self) -> usize {
        self.vocabulary.div_ceil(VOCABULARY_CHUNK)
    }

    /// Rows of the token embedding on a device: a multiple of 4, and of 16 for each of several chunks.
    pub(crate) fn padded_vocabulary(&self) -> usize {
        match self.vocabulary_chunks() {
            1 => self.vocabulary.next_multiple_of(4),
            chunks => self.vocabulary.next_multiple_of(16 * chunks),
        }
    }

    /// Number of trained parameters.
    pub fn parameters(&self) -> u64 {
        GptLayout::new(self).public.parameters()
    }

    /// Initial weights for `seed`, which are the same on every machine: normal with a standard deviation of 0.02, and
    /// 0.02/√(2K) for the projections into the residual stream; norms 1, biases 0.
    pub fn initial(&self, seed: u64) -> Weights {
        GptLayout::new(self).public.initial(seed)
    }

    /// Checks that `weights` have the parameters of this GPT.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if a tensor is missing, has another shape, is unknown or is not finite.
    pub fn check_weights(&self, weights: &Weights) -> Result<()> {
        GptLayout::new(self).public.check(weights)
    }

    /// Checks that `tokens` are in the vocabulary.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] with the first one that is not.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        match tokens.iter().position(|token| *token as usize >= self.vocabulary) {
            Some(at) => {
                let (token, vocabulary) = (tokens[at], self.vocabulary);
                let message =
                    format!("gpt: token {token} at index {at} is outside the vocabulary of {vocabulary} tokens");
                Err(Error::new(ErrorKind::Shape, message))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn transformer_sizes(&self) -> TransformerSizes {
        TransformerSizes {
            positions: self.block as u32,
            period: self.block as u32,
            width: self.width as u32,
            heads: self.heads as u32,
            feed_forward: self.feed_forward as u32,
            layers: self.layers as u32,
            attention: Attention::Softmax,
            causal: true,
            norm: Norm::Pre,
            activation: Activation::Gelu,
        }
    }
}
