//! Sizes of a patched transformer on a lattice.

use crate::model::layers::categorical_head::HeadSizes;
use crate::model::layers::embedding::{Embedding, EmbeddingSizes};
use crate::model::layers::transformer::Transformer;
use crate::model::layers::transformer_layers::TransformerSizes;

/// Sizes of a PTF on a lattice, as `u32` for shaders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub embedding: EmbeddingSizes,
    pub transformer: TransformerSizes,
    /// V
    pub outcomes: u32,
    /// Whether outcomes have phases.
    pub complex: bool,
}

impl Sizes {
    /// T
    pub(crate) fn patches(&self) -> u32 {
        self.transformer.positions
    }

    /// C
    pub(crate) fn width(&self) -> u32 {
        self.transformer.width
    }

    /// Elements of a gradient block of the widest weight with its bias.
    pub(crate) fn part_width(&self) -> u64 {
        Transformer::part_width(&self.transformer)
            .max(self.head().part_width())
            .max(Embedding::part_width(&self.embedding))
    }

    pub(crate) fn head(&self) -> HeadSizes {
        HeadSizes { width: self.width(), outcomes: self.outcomes, complex: self.complex }
    }
}
