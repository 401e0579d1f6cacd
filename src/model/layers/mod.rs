//! Layers shared by wave functions: parameters, recorded kernels and the activations kept for the backward pass.
//!
//! A wave function passes a prefix for the parameter names of a layer, so that it can be part of another wave function.
//! The PTF is an embedding, a transformer and a categorical head. The PRNN is a recurrent cell and the same head. The
//! LPTF is an embedding of large patches, a transformer, and a whole PRNN or PTF as sub-sampler.
//!
//! `block` has the options of a transformer block: softmax or linear attention, which only `self_attention`
//! distinguishes, norms after or before the parts, relu or gelu. `embedding` has learned positions and a learned start.

pub(super) mod affine;
pub(super) mod attention_layers;
pub(super) mod block;
pub(super) mod categorical_head;
pub(super) mod conditioning;
pub(super) mod embedding;
pub(super) mod feed_forward;
pub(super) mod positional_encoding;
pub(super) mod self_attention;
pub(super) mod sequence_decoder;
pub(super) mod transformer;
pub(super) mod transformer_layers;
pub(super) mod transformer_training;
