//! Token embedding and positions: x_t = wte[token_t] + wpe[t].

use super::layout::{DEVIATION, POSITIONS, TOKENS};
use super::{GptConfig, TokenPositions};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::token::embed::{RowPositions, TokenEmbed, TokenEmbedShape};
use crate::kernels::token::gradient::{TokenGradient, TokenGradientShape, token_index};
use crate::model::Parameters;
use crate::model::layers::positional_encoding::sinusoidal_row;

/// Part of the token embedding that one binding covers.
#[derive(Debug, Clone)]
struct Part {
    first: u32,
    tokens: u32,
    value: View,
    gradient: View,
}

/// Token embedding on a device.
pub(super) struct TokenEmbedding {
    width: u32,
    parts: Vec<Part>,
    position: Option<View>,
    d_position: Option<View>,
    /// Whether the gradient of the projection to the vocabulary is already in that of the embedding.
    tied: bool,
}

/// Ranges of at most `most` of `all` tokens.
pub(super) fn token_ranges(all: u32, most: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..all).step_by(most as usize).map(move |first| (first, most.min(all - first)))
}

/// Maximum number of rows of width `width` that a binding covers, a multiple of 64.
pub(super) fn bound_rows(gpu: &Gpu, width: u32) -> u32 {
    let rows = gpu.limits().max_storage_buffer_binding_size / (4 * u64::from(width));
    (rows.min(1 << 30) as u32 / 64 * 64).max(64)
}

impl TokenEmbedding {
    pub(super) fn new(gpu: &Gpu, parameters: &Parameters, config: &GptConfig) -> Result<Self> {
        let width = config.width as u32;
        let (value, gradient) = (parameters.value(TOKENS)?, parameters.gradient_of(TOKENS)?);
        let part = |(first, tokens): (u32, u32)| {
            let range = |view: &View| view.range(TOKENS, u64::from(first * width), u64::from(tokens * width));
            Ok(Part { first, tokens, value: range(&value)?, gradient: range(&gradient)? })
        };
        let is_learned = config.position == TokenPositions::Learned;
        let position = match config.position {
            TokenPositions::Learned => Some(parameters.value(POSITIONS)?),
            TokenPositions::Sinusoidal => Some(gpu.upload("ketformer.position", &sinusoidal(config))?.view()),
            TokenPositions::Rotary => None,
        };
        Ok(Self {
            width,
            parts: token_ranges(config.padded_vocabulary() as u32, bound_rows(gpu, width))
                .map(part)
                .collect::<Result<_>>()?,
            position,
            d_position: is_learned.then(|| parameters.gradient_of(POSITIONS)).transpose()?,
            tied: config.tied,
        })
    }

    /// Records x (rows, C) from `tokens` (rows).
    pub(super) fn record(
        &self,
        plan: &mut Plan,
        tokens: &View,
        x: &View,
        (rows, positions): (&Rows, RowPositions),
    ) -> Result<()> {
        for part in &self.parts {
            let embed = TokenEmbed {
                tokens: tokens.clone(),
                table: part.value.clone(),
                position: self.position.clone(),
                x: x.clone(),
            };
            let shape = TokenEmbedShape {
                rows: rows.clone(),
                width: self.width,
                first_token: part.first,
                tokens: part.tokens,
                positions: self.position.as_ref().map(|_| positions),
            };
            embed.record(plan, &shape)?;
        }
        Ok(())
    }

    /// Gradients that [`TokenEmbedding::backward`] adds to, and that no other launch writes.
    pub(super) fn added(&self) -> impl Iterator<Item = &View> {
        let tokens = self.parts.iter().map(|part| &part.gradient).filter(|_| !self.tied);
        tokens.chain(&self.d_position)
    }

    /// Records the gradients from `d_x` (rows, C), which are added to their present values.
    pub(super) fn backward(&self, plan: &mut Plan, d_x: &View, rows: u32, index: &TokenIndex) -> Result<()> {
        let mut add = |index: &Buffer, d_table: &View, first_token: u32, tokens: u32| {
            let gradient = TokenGradient { d_x: d_x.clone(), index: index.view(), d_table: d_table.clone() };
            gradient.record(plan, &TokenGradientShape { rows, width: self.width, first_token, tokens })
        };
        self.parts.iter().try_for_each(|part| add(&index.tokens, &part.gradient, part.first, part.tokens))?;
        match &self.d_position {
            Some(d_position) => add(&index.positions, d_position, 0, index.block),
            None => Ok(()),
        }
    }
}

/// Rows of each token and of each position, for gradients of tables.
pub(super) struct TokenIndex {
    tokens: Buffer,
    positions: Buffer,
    block: u32,
}

impl TokenIndex {
    /// Buffers for `rows` rows of windows of `block` positions.
    pub(super) fn new(gpu: &Gpu, rows: usize, block: u32) -> Result<Self> {
        let positions: Vec<u32> = (0..rows as u32).map(|row| row % block).collect();
        let index = token_index(&positions, rows);
        Ok(Self {
            tokens: gpu.buffer("ketformer.tokens.index", index.len() as u64)?,
            positions: gpu.upload("ketformer.positions.index", &index)?,
            block,
        })
    }

    /// Index of the tokens of a batch, [`token_index`].
    pub(super) fn tokens(&self) -> &Buffer {
        &self.tokens
    }
}

/// Table (T, C) of sin and cos of p / 10000^(2i/C), with the mean square of the initial token embedding: as in the paper,
/// neither outweighs the other.
pub(super) fn sinusoidal(config: &GptConfig) -> Vec<f32> {
    let rows = (0..config.block).flat_map(|position| sinusoidal_row(position, config.width));
    rows.map(|wave| (DEVIATION * 2f64.sqrt() * wave) as f32).collect()
}
