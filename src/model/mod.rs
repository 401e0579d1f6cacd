//! ROOM 4, the wave functions: what their parameters are and which kernels a pass consists of.
//!
//! A [`Model`] is a description; on a device it becomes a [`WaveFunction`], which owns the buffers of its passes and records
//! them on plans. It is autoregressive, |Ψ(σ)|² = P(σ) = Π_t P(patch_t | earlier patches) (a [`Network`]), or known up to a
//! factor and sampled by Markov chains ([`Unnormalised`]). It is real and positive, Ψ = √P, or has phases.

mod affine;
mod attention_layers;
mod block;
mod condition;
mod embedding;
mod feed_forward;
mod layout;
mod lptf;
mod lptf_network;
mod metropolis;
mod network;
mod outcome_head;
mod position;
mod precision;
mod ptf;
mod ptf_network;
mod rbm;
mod rbm_network;
mod rnn;
mod rnn_network;
mod rnn_order;
mod rnn_training;
mod sector;
mod self_attention;
mod subsampler;
mod transformer;
mod transformer_training;
mod vit;
mod weights;

pub use attention_layers::{AttentionKind, AttentionLayers, RelativeLayers};
pub use block::{Activation, Attention, Norm, Start};
pub use layout::{Initial, Layout, ParameterSpec, Parameters, Slot};
pub use lptf::{Lptf, Subsampler};
pub use metropolis::{Metropolis, Proposal};
pub use network::{
    Capacity, ChainWindow, ConnectedMoves, LargeRows, LogPsi, LogPsiGradient, Model, Needs, Network, Outcomes, Packed,
    Stretch, Unnormalised, WaveFunction,
};
pub use position::Position;
pub use precision::Precision;
pub use ptf::Ptf;
pub use rbm::Rbm;
pub use rnn::{Cell, Rnn};
pub use sector::{Sector, check_sector};
pub use vit::{Vit, VitAttention};
pub use weights::{Tensor, Weights};
