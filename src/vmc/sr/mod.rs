//! Stochastic reconfiguration (natural gradient): Gram matrix of log-derivatives, solve, momentum, sampling powers.
//!
//! ```text
//! δθ = τ Xᵀ (X Xᵀ + λ)⁻¹ f        X: centered gradients of log ψ of the samples of a step
//! ```
//!
//! `optimizer=sr` works for every family and never stores X.
//!
//! - **Per-sample gradients** come from the kernels of the ordinary gradient with one sample per block: the partial
//!   sums are then the columns of a layer for each sample. The destination of gradients, a sum or single samples, is an
//!   argument of the backward pass (`kernels::linear::GradientInto`), so no family has code for it.
//! - **The matrix** X Xᵀ is added up layer by layer (`gram`): from panels of columns, G += P Pᵀ, or for a linear layer
//!   with T²(O + I + 1) < O(I + 1) from pairs of rows, Σ (δ·δ)(x·x + 1), without any of its columns. The memory decides
//!   only the number of passes over the layers, each with a forward and a backward pass, but not the terms or their
//!   order: the bits do not depend on it. Panels are summed in blocks of 256 columns, then over the blocks; launches
//!   are added as compensated pairs.
//! - **Deduplication**: only distinct samples have rows. Their weights √(count/B) are the cotangents of the backward
//!   pass.
//! - **Sampling power**: with `sampling_power=p` below 2, Markov chains sample |ψ|^p, and samples have weights
//!   |ψ|^(2−p) (`reweighting`). With many parameters, the solution fits the residual E_loc − E on the samples and says
//!   nothing about other configurations, while a frustrated ψ has much of its error where |ψ|² is small. At an energy
//!   10⁻² above the ground state of the 4x4 J1-J2 model, 1024 samples of |ψ| gave as steep a descent as 8192 of |ψ|²
//!   (in f64, with exact samples). For networks, chains and kernels, the power is one more number.
//! - **The linear system** is solved on the host in f64, by Cholesky factorization with one step of refinement. If G +
//!   λ is not positive definite, eigenvalues below 10⁻⁶ of the largest are cut off, and the report states it. Xᵀ v is
//!   one more weighted backward pass. A step with a number that is not finite is rejected. Per-sample gradients are
//!   f32, with errors of about 10⁻⁷ of their norm, which the solution multiplies by up to the largest eigenvalue over
//!   λ.
//! - **Momentum** (SPRING, arXiv:2401.10190) needs X φ for the previous direction φ: the panels times φ, or for pairs
//!   of rows the products with φ.
//!
//! The plan of a step ends with the local energies. The passes over the layers, the solution and the update are
//! submitted after it. Steps with Adam are not affected.

pub(super) mod frames;
pub(super) mod gram;
pub(super) mod reconfiguration;
pub(super) mod report;
pub(super) mod reweighting;
mod sampling_power;
pub(super) mod stages;
mod step_control;
mod system;
