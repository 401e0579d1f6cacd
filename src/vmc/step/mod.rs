//! Passes of a step: sampling, deduplication, connected configurations, local energies, gradients, and their memory.
//!
//! The samples of a step are divided at four levels:
//!
//! - A *group* is drawn together. The memory budget limits its size.
//! - A *span* is the set of samples that is deduplicated for the gradient: all samples of a step, or 32,768 of them. It
//!   does not depend on the memory. If groups are smaller than spans, spans are deduplicated separately.
//! - A *chunk* is the part of a span that goes through one gradient pass. The memory budget limits its size.
//! - A *block* is the rows that one partial sum of a parameter gradient adds: whole samples, at most 512 rows.
//!
//! # Same bits for any memory budget
//!
//! Energies and statistics do not depend on the division of a step, because no row depends on another and statistics
//! include every repeat. Gradients are sums over rows. They do not depend on it either, for three reasons. Spans do not
//! depend on the memory. A chunk is a whole number of blocks, so blocks do not depend on chunks; the price is that a
//! chunk has at least 512 rows, unless there are fewer. `linear_gradient_sum` continues from the value in the gradient
//! block by block, instead of adding the sum of a chunk to it. The exception: if a sample has more than 512 patches and
//! their number has no divisor from 64 to 512, gradients differ by rounding.
//!
//! Energies also have the same bits with and without deduplication. Gradients then differ by rounding, because count ·
//! g is not g + g + …: norms of the first gradient by up to 1.2e-7 relative, and log-probabilities after three steps by
//! up to 4e-6, where the steps changed them by 0.1 to 5.
//!
//! # Allocations
//!
//! A training step with Adam creates no buffer on the device, including those of wgpu; `Queue::write_buffer` would
//! create one per step. On the host, this crate allocates nothing: `tests/allocation.rs` traces every allocation to its
//! function. wgpu allocates to encode and submit, mostly a list of barriers per dispatch, and frees all of it. The count
//! is the same in every step, and no more bytes are live after 60 steps than after 10.

pub(super) mod budget;
pub(crate) mod buffers;
pub(super) mod dedup;
pub(super) mod enumeration;
pub(super) mod exclusions;
pub(super) mod fixed_configurations;
pub(super) mod fixed_tokens;
pub(super) mod free_energy;
pub(super) mod gradient;
pub(super) mod gradient_pass;
pub(super) mod kind;
pub(super) mod local_energy;
pub(super) mod samplers;
pub(super) mod sector;
pub(super) mod tables;
