//! ROOM 4, the wave functions: what their parameters are and which kernels a pass consists of.
//!
//! A [`Model`] is a description; on a device it becomes a [`Network`], which owns the buffers of its passes and records
//! them on plans. All models here are autoregressive: Ψ(σ) = √P(σ), P(σ) = Π_t P(patch_t | earlier patches).

mod affine;
mod block;
mod embedding;
mod layout;
mod metropolis;
mod network;
mod outcome_head;
mod position;
mod precision;
mod ptf;
mod ptf_network;
mod rbm;
mod self_attention;
mod transformer;
mod transformer_training;
mod weights;

pub use block::{Activation, Attention, Norm, Start};
pub use layout::{Initial, Layout, ParameterSpec, Parameters, Slot};
pub use metropolis::{Metropolis, Proposal};
pub use network::{Capacity, Model, Needs, Network, Packed};
pub use position::Position;
pub use precision::Precision;
pub use ptf::Ptf;
pub use rbm::Rbm;
pub use weights::{Tensor, Weights};
