//! Decoding of the patched transformer: all patches in one launch, or one by one.

use super::sizes::Sizes;
use crate::gpu::{Gpu, View};
use crate::kernels::nn::categorical::CategoricalShape;
use crate::kernels::nn::transformer_decode::{AffineAt, DecodeSizes, LayerAt, TransformerAt};
use crate::model::layers::affine::Affine;
use crate::model::layers::categorical_head::HeadViews;
use crate::model::layers::embedding::EmbeddingViews;
use crate::model::layers::transformer_layers::{LayerViews, TransformerViews};
use crate::model::{Attention, Norm, Start};

/// How a network decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoding {
    /// All patches in one launch where it is supported.
    Whole,
    /// Patch by patch, with a hook after the embedding.
    Stepwise,
}

impl Decoding {
    /// Sizes of the decoder of whole sequences; `None` if patches are decoded one by one.
    pub(super) fn of_sequences(self, gpu: &Gpu, sizes: &Sizes) -> Option<DecodeSizes> {
        let transformer = &sizes.transformer;
        let decoder = DecodeSizes {
            head: CategoricalShape { outcomes: sizes.outcomes, patches: sizes.patches(), excitations: None },
            width: sizes.width(),
            heads: transformer.heads,
            hidden: transformer.feed_forward,
            layers: transformer.layers,
            activation: transformer.activation.of_kernels(),
            pre_norm: match transformer.norm {
                Norm::Pre => true,
                Norm::Post => false,
            },
            has_start: match sizes.embedding.start {
                Start::Learned => true,
                Start::Zero => false,
            },
            is_complex: sizes.complex,
        };
        match transformer.attention {
            Attention::Softmax if self == Self::Whole && decoder.is_taken(gpu) => Some(decoder),
            Attention::Softmax | Attention::Linear => None,
        }
    }
}

/// Element of the flat parameters at which a parameter begins.
fn first(view: &View) -> u32 {
    (view.offset() / 4) as u32
}

fn affine(affine: &Affine) -> AffineAt {
    [first(&affine.weight), first(&affine.bias)]
}

fn layer(layer: &LayerViews) -> LayerAt {
    LayerAt {
        qkv: affine(&layer.qkv),
        out: affine(&layer.out),
        norm1: affine(&layer.norm1),
        linear1: affine(&layer.linear1),
        linear2: affine(&layer.linear2),
        norm2: affine(&layer.norm2),
    }
}

/// Places of the f32 parameters.
pub(super) fn parameters_at(
    embedding: &EmbeddingViews,
    transformer: &TransformerViews,
    head: &HeadViews,
) -> TransformerAt {
    TransformerAt {
        embedding: affine(&embedding.token),
        start: embedding.start.as_ref().map(first),
        position: embedding.position.as_ref().map(first),
        layers: transformer.layers.iter().map(layer).collect(),
        last_norm: transformer.norm.as_ref().map(affine),
        heads: head.layers().map(|[hidden, out]| [affine(hidden), affine(out)]).collect(),
    }
}
