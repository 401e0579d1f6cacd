//! GPU kernels: one folder per family with its formulas, record types, costs, f64 references and test cases.
//!
//! A kernel has the same name everywhere: WGSL file, record type, reference, test row, benchmark row, profiler label
//! and error prefix. [`ALL`] lists all kernels. Tests, `ketformer doctor`, `ketformer kernels` and the benchmarks
//! iterate over it.
//!
//! A shader starts with its formula and the lines `grid`, `reads` and `makes`. Its Rust file has the record type, the
//! cost (FLOPs and bytes) and the f64 reference; the file of the same name in the folder `cases` has its [`Entry`] and
//! test cases. Kernels compute local energies from tables of terms; no Hamiltonian or lattice occurs here by name.
//!
//! The fields of a record are the bindings of the WGSL source and have their names: a launch binds
//! `bind!(self.x[elements])`, and `from_case` finds the buffers of a test case. [`crate::gpu::Plan::launch`] compares
//! the names with those of the source.
//!
//! Files depend on each other without circles: families use records, sources and variants, cases use families, and the
//! registry ([`ALL`], [`VARIANTS`]) uses all of them.
//!
//! # Tests
//!
//! - `tests/kernels.rs` compares every kernel with its reference. Outputs are filled with NaN first, and NaN is an
//!   infinite error. A second test checks that every comparison rejects a wrong result. Small shapes run in every
//!   variant of a kernel, large shapes in one variant each, in rotation.
//! - `tests/references.rs` compares every backward reference with finite differences of its forward reference.
//! - `tests/shaders.rs` translates every source, for all values of its constants, for every backend that can run it:
//!   SPIR-V, MSL and HLSL. It fails for a shader that [`ALL`] does not list.
//!
//! # Variants
//!
//! [`variant`] describes the selection. Kernels with subgroup operations have a `_scalar` variant for adapters without
//! subgroups of a fixed size and for widths that are not multiples of 4. The exception is `feed_forward`, which two
//! matrix products replace. Products, weight gradients and attention also have `_tiled` variants with tiles in workgroup
//! memory, for GPUs; those of attention for wide heads and for one query have the names `_wide` and `_decode`. Products, weight gradients and the feed-forward part have `_panel` variants for Mesa's driver on the CPU.
//! Products of f16 weights have kernels for cooperative matrices ([`linear::cooperative`]).
//!
//! # Determinism
//!
//! Results have the same bits from run to run on one adapter. Each output has one writer, sums have a fixed order
//! (blocks of at most 512 rows, then the blocks in order; on GPUs, blocks of small gradients are sums of parts), there
//! are no float atomics, and random numbers are counter-based.

pub mod attention;
mod case;
mod comparison;
pub mod device;
pub mod gram;
pub mod linear;
pub mod nn;
mod panel;
mod random;
pub mod rbm;
mod record;
mod registry;
mod source;
mod strategy;
mod tiled;
pub mod token;
pub mod variant;
pub mod vmc;

pub use case::{Case, Entry, Values};
pub use comparison::{Comparison, Expected, POISON};
pub use random::RandomInputs;
pub use record::CaseBuffers;
pub(crate) use record::record;
pub use registry::{ALL, VARIANTS, find, tuning_doubt};
pub use source::SHARED;
pub(crate) use source::kernel;
pub use strategy::Strategy;
