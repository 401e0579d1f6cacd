//! Transformer wave functions trained with hand-written WGSL kernels on any GPU that supports Vulkan, Metal or DX12.
//!
//! A lattice of spins is cut into patches. A causal transformer models P(patch | earlier patches), Ψ = √P is sampled
//! exactly, and the energy of a Hamiltonian is minimized (arXiv:2306.03921). There are three ways to use the crate:
//!
//! **Train.**
//! ```no_run
//! use ketformer::{Gpu, Lattice, Ptf, Rydberg, SampleConfig, State, TrainConfig, Trainer};
//! # fn main() -> ketformer::Result<()> {
//! let gpu = Gpu::new()?;
//! let lattice = Lattice::square(4, 4);
//! let rydberg = Rydberg { v: 7.0, delta: 1.0, omega: 1.0 };
//! let model = Ptf { width: 32, heads: 8, ..Ptf::default() };
//! let mut trainer = Trainer::new(&gpu, &lattice, &rydberg, &model, TrainConfig::default())?;
//! for report in trainer.steps(1000) {
//!     let report = report?;
//!     println!("{} {} ± {}", report.step, report.energy, report.energy_error);
//! }
//! let weights = trainer.weights()?;
//! weights.save("model.safetensors")?;
//! let state = State::new(&gpu, &lattice, &model, &weights);
//! println!("{:?}", state.expect(&rydberg, SampleConfig::default())?);
//! # Ok(()) }
//! ```
//!
//! **Embed** the kernels in a wgpu application with its own device, buffers and encoder. A replay allocates and submits
//! nothing.
//! ```no_run
//! use ketformer::gpu::{Gpu, Plan};
//! use ketformer::kernels::attention::{AttentionForward, AttentionShape};
//! # use ketformer::wgpu;
//! # type Buffers<'a> = [&'a wgpu::Buffer; 3];
//! # fn embed(device: &wgpu::Device, queue: &wgpu::Queue, [qkv, out, lse]: Buffers<'_>) -> ketformer::Result<()> {
//! let mut plan = Plan::new(&Gpu::from_device(device, queue));
//! let attention = AttentionForward { qkv: qkv.into(), out: out.into(), lse: lse.into() };
//! let shape = AttentionShape { b: 64.into(), t: 16, h: 8, d: 4, causal: true, ..Default::default() };
//! attention.record(&mut plan, &shape)?;
//! let mut encoder = device.create_command_encoder(&Default::default());
//! plan.replay(&mut encoder.begin_compute_pass(&Default::default()));
//! # Ok(()) }
//! ```
//!
//! **Benchmark** any plan.
//! ```no_run
//! # fn main() -> ketformer::Result<()> {
//! # let plan = ketformer::gpu::Plan::new(&ketformer::Gpu::new()?);
//! for row in &plan.profile(ketformer::gpu::Profile { warmup: 10, runs: 100 })? {
//!     println!("{row}");
//! }
//! # Ok(()) }
//! ```
//!
//! # Stages of a training step
//!
//! | stage | reads → writes | item |
//! |---|---|---|
//! | sample | parameters → tokens (B, T), log P; keys and values (B, T, 3C) per layer | [`decode`], [`categorical`] |
//! | deduplicate | tokens → deduplicated configurations and their counts | [`dedup`] |
//! | connected | tokens, keys, values → log ψ(σ')/ψ(σ) of every connected σ' | [`rows`], [`connected`], [`energy`] |
//! | energy | ratios → local energies, mean, variance, observables | [`energy`] |
//! | forward | tokens → logits, with activations kept | [`forward`] |
//! | backward | (E − Ē)/B → gradients | [`backward`] |
//! | update | gradients → parameters | [`adam`] |
//! | report | a few dozen floats, read back asynchronously | [`StepReport`] |
//!
//! [`decode`]: model::Autoregressive::decode
//! [`categorical`]: kernels::nn::categorical
//! [`dedup`]: kernels::vmc::dedup
//! [`rows`]: kernels::vmc::rows
//! [`connected`]: model::Autoregressive::connected
//! [`energy`]: kernels::vmc::energy
//! [`forward`]: model::Autoregressive::forward
//! [`backward`]: model::Autoregressive::backward
//! [`adam`]: kernels::nn::adam
//!
//! # Dimensions
//!
//! These letters have one meaning throughout the crate: `B` samples · `N` sites · `T` patches = N/P · `P` sites per
//! patch · `V` = 2^P outcomes · `C` width · `H` heads · `D` = C/H · `F` feed-forward width · `K` layers · `M` connected
//! configurations per sample · `R` rows recomputed for them. A configuration is `T` tokens below 2^P; bit j of a token
//! is element j of the patch.
//!
//! A batch of `B` samples is divided into *groups* (drawn together), *spans* (deduplicated for the gradient), *chunks*
//! (one gradient pass) and *blocks* (rows of one partial sum of a gradient).

#![warn(missing_docs, unnameable_types, unreachable_pub)]
#![cfg_attr(not(feature = "runs"), allow(dead_code, unused_imports, reason = "helpers of modules that are left out"))]

pub mod arena;
#[cfg(not(target_arch = "wasm32"))]
mod atomic_write;
#[cfg(feature = "runs")]
pub mod bench;
pub mod error;
#[cfg(feature = "train")]
pub mod gpt;
pub mod gpu;
#[cfg(feature = "train")]
mod host_memory;
mod host_threads;
pub mod kernels;
#[cfg(feature = "train")]
pub mod model;
#[cfg(feature = "runs")]
mod page;
#[cfg(feature = "train")]
pub mod physics;
#[cfg(feature = "runs")]
mod plot_style;
#[cfg(feature = "runs")]
pub mod run;
#[cfg(feature = "runs")]
mod significant;
#[cfg(feature = "train")]
pub mod text;
#[cfg(feature = "train")]
pub mod vmc;

// Lets code shared between unit tests and tests/ refer to the crate by the same name.
#[cfg(test)]
extern crate self as ketformer;

pub use error::{Error, ErrorKind, Result};
pub use gpu::Gpu;
#[cfg(feature = "train")]
pub use model::{
    Attention, Cell, Lptf, Metropolis, Model, PositionalEncoding, Precision, Proposal, Ptf, Rbm, Rnn, Sector,
    Subsampler, Vit, VitAttention, Weights,
};
#[cfg(feature = "train")]
pub use physics::{Hamiltonian, Heisenberg, Lattice, Patch, Rydberg, Tfim, Xxz};
#[cfg(feature = "train")]
pub use vmc::{
    Annealing, Checkpoint, Optimizer, SampleConfig, Schedule, State, StepReport, StochasticReconfiguration,
    TrainConfig, Trainer,
};
pub use wgpu;
