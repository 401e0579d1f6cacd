//! Layers shared by wave functions: parameters, recorded kernels and the activations kept for the backward pass.
//!
//! A wave function passes a prefix for the parameter names of a layer, so that it can be part of another wave function.
//! The PTF is an embedding, a transformer and a categorical head. The PRNN is a recurrent cell and the same head. The
//! LPTF is an embedding of large patches, a transformer, and a whole PRNN or PTF as sub-sampler.
//!
//! `block` has the options of a transformer block: softmax or linear attention, which only `self_attention`
//! distinguishes, norms after or before the parts, relu or gelu. `embedding` has learned positions and a learned start.
//!
//! An embedding, a transformer and a head, with the passes of [`super::Autoregressive`] between them, are a wave function
//! of one's own: see `examples/own_wave_function.rs`.

pub(crate) mod affine;
pub(crate) mod attention_layers;
pub(crate) mod block;
pub(crate) mod categorical_head;
pub(crate) mod conditioning;
pub(crate) mod embedding;
pub(crate) mod feed_forward;
pub(crate) mod layer_settings;
pub(crate) mod positional_encoding;
pub(crate) mod residual_dropout;
pub(crate) mod self_attention;
pub(crate) mod sequence_decoder;
pub(crate) mod transformer;
pub(crate) mod transformer_layers;
pub(crate) mod transformer_training;

pub use affine::BackwardContext;
pub use categorical_head::{CategoricalHead, HeadGradientRows, HeadSizes, HeadTraining, OutcomeBuffers};
pub use embedding::{Embedding, EmbeddingSizes};
pub use transformer::{InferenceRows, TrainingRows, Transformer};
pub use transformer_layers::{RowLayout, TransformerSizes};
