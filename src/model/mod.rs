//! Wave functions: their parameters and the kernels of each pass.
//!
//! A [`Model`] is a description. On a device it becomes a [`WaveFunction`], which owns the buffers of its passes and
//! records them on plans. It is autoregressive, |Ψ(σ)|² = P(σ) = Π_t P(patch_t | earlier patches) ([`Autoregressive`]),
//! or unnormalized and sampled by Markov chains ([`Unnormalized`]). It is real and positive, Ψ = √P, or complex.
//!
//! **Complex wave functions** have log ψ = ½ log P + i·phase in two parts. An amplitude ratio is a logarithm and a
//! phase (`ratio` (B, M, 2)), a local energy has a column for its imaginary part, and the gradient has a weight of log
//! P, Re(E − Ē)/B, and a weight of the phase, 2 Im(E − Ē)/B. Phases of an autoregressive wave function are the outputs
//! of a second head over the same features (`phase=true`). Real wave functions have one part and no additional
//! launches. A real wave function is refused for a Hamiltonian with a positive off-diagonal amplitude.
//!
//! **Sectors** restrict a wave function to configurations with half of the sites occupied ([`Sector`],
//! [`Model::conserves_magnetization`]).
//!
//! A **blockade** excludes configurations in which two occupied sites are close ([`Blockaded`], [`Model::exclusions`]).
//!
//! **Symmetries** of a network hold for all its parameters ([`Model::symmetries`]). [`shortfall()`] reports where they,
//! or the sector, exclude the ground state of a Hamiltonian.
//!
//! A new family is a folder of two to six files with a [`Model`] (settings, parameters, initial values) and an
//! [`Autoregressive`] or [`Unnormalized`]. The tests in `tests/wave_functions/` run for every family.

mod blockade;
pub mod layers;
mod lptf;
mod parameters;
mod ptf;
mod rbm;
mod rnn;
mod sampling;
mod shortfall;
mod vit;
mod wave_function;

pub use blockade::{Blockaded, check_exclusions};
pub use layers::attention_layers::{AttentionKind, AttentionLayers, FactoredLayers};
pub use layers::block::{Activation, Attention, Norm, Start};
pub use layers::positional_encoding::PositionalEncoding;
pub use layers::sequence_decoder::SequenceDecoder;
pub use lptf::{Lptf, Subsampler};
pub use parameters::layout::{Initial, Layout, ParameterSlot, ParameterSpec, Parameters, SampleRows};
pub use parameters::precision::Precision;
pub use parameters::weights::{LoadedWeights, Tensor, Weights};
pub use ptf::Ptf;
pub use rbm::Rbm;
pub use rnn::{Cell, Rnn};
pub use sampling::metropolis::{Metropolis, Proposal};
pub use sampling::sector::{Sector, check_sector};
pub use shortfall::{Gap, Shortfall, shortfall};
pub use vit::{Vit, VitAttention};
pub use wave_function::{
    Autoregressive, Capacity, ChainWindow, ConnectedMoves, LargeRows, LogPsi, LogPsiGradient, Model, Outcomes, Stretch,
    SuffixBatch, Unnormalized, WaveFunction,
};
