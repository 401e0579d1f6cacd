//! Transformer wave functions, trained by hand-written WGSL kernels on any GPU that Vulkan, Metal or DX12 can reach.
//!
//! A lattice of spins is cut into patches; a causal transformer says P(patch | earlier patches); Ψ = √P is sampled
//! exactly, and the energy of a Hamiltonian is descended (arXiv:2306.03921). Three uses:
//!
//! **Train.**
//! ```no_run
//! use ketformer::{Gpu, Lattice, Ptf, Rydberg, TrainConfig, Trainer};
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
//! trainer.weights()?.save("model.safetensors")?;
//! # Ok(()) }
//! ```
//!
//! **Embed** the kernels in a wgpu application, with its own device, buffers and encoder; nothing is allocated or
//! submitted by the replay.
//! ```no_run
//! use ketformer::gpu::{Gpu, Plan};
//! use ketformer::kernels::attention::{AttentionForward, AttentionShape};
//! # use ketformer::wgpu;
//! # type Buffers<'a> = [&'a wgpu::Buffer; 3];
//! # fn embed(device: &wgpu::Device, queue: &wgpu::Queue, [qkv, out, lse]: Buffers<'_>) -> ketformer::Result<()> {
//! let mut plan = Plan::new(&Gpu::from_device(device, queue));
//! let attention = AttentionForward { qkv: qkv.into(), out: out.into(), lse: lse.into() };
//! attention.record(&mut plan, &AttentionShape::causal(64, 16, 8, 4))?;
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
//! # A configuration's journey through one training step
//!
//! | step | reads → makes | where |
//! |---|---|---|
//! | sample | parameters → tokens (B, T), log P, keys and values (B, T, 3C) of every layer | [`model::Network::decode`], [`kernels::head`] |
//! | distinct | tokens → distinct configurations and their counts | [`kernels::unique`] |
//! | moves | tokens, keys and values → log ψ(σ')/ψ(σ) of every connected σ' | [`kernels::rows`], [`model::Network::moves`], [`kernels::energy`] |
//! | energy | ratios → local energies, mean, variance, observables | [`kernels::energy`] |
//! | forward | tokens → logits, with activations kept | [`model::Network::forward`] |
//! | backward | (E − Ē)/B → gradients | [`model::Network::backward`] |
//! | update | gradients → parameters | [`kernels::optimizer`] |
//! | report | a few dozen floats, read back without waiting | [`vmc::StepReport`] |
//!
//! # Dims, everywhere the same
//!
//! `B` samples · `N` sites · `T` patches = N/P · `P` sites per patch · `V` = 2^P outcomes · `C` width · `H` heads ·
//! `D` = C/H · `F` feed-forward width · `K` layers · `M` moves of a configuration · `R` rows computed anew for them.
//! A configuration is `T` tokens below 2^P; bit j of a token is element j of the patch.

#![warn(missing_docs)]

pub mod bench;
pub mod error;
pub mod gpu;
pub mod kernels;
pub mod model;
pub mod physics;
mod picture;
pub mod run;
pub mod vmc;
mod whole_file;

// What unit tests share with those in tests/ names the crate as these do.
#[cfg(test)]
extern crate self as ketformer;

pub use error::{Error, ErrorKind, Result};
pub use gpu::Gpu;
pub use model::{Cell, Lptf, Metropolis, Model, Position, Precision, Proposal, Ptf, Rbm, Rnn, Subsampler, Weights};
pub use physics::{Hamiltonian, Lattice, Patch, Rydberg};
pub use vmc::{Schedule, StepReport, TrainConfig, Trainer};
pub use wgpu;
