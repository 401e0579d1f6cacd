//! Dry runs: the buffers that code would allocate, counted without allocating them.
//!
//! The device of a dry run creates no memory. Its buffers have their labels and lengths, all on one placeholder, and
//! writes to them have no effect. Nothing may be launched on them or read from them.
//!
//! The buffers of a device that only plans ([`crate::gpu::Gpu::planning`]) have a placeholder each, so that launches can
//! be recorded.

use std::sync::{Mutex, PoisonError};

/// Size of the placeholder of a buffer on which launches are recorded.
const PLACEHOLDER_BYTES: u64 = 256;

/// Buffers that a dry run allocated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Allocations {
    /// Bytes of all buffers.
    pub(crate) bytes: u64,
    /// Bytes by which buffers exceed the limit for one buffer, summed over these buffers.
    pub(crate) excess: u64,
    /// Label and bytes of the largest buffer.
    pub(crate) largest: Option<(String, u64)>,
}

/// Allocations of a dry run so far, and the buffer that all of its views refer to.
pub(in crate::gpu) struct Ledger {
    /// `None` if each buffer has its own.
    placeholder: Option<wgpu::Buffer>,
    allocations: Mutex<Allocations>,
}

impl Ledger {
    /// Empty ledger of a dry run.
    pub(in crate::gpu) fn new(placeholder: wgpu::Buffer) -> Self {
        Self { placeholder: Some(placeholder), allocations: Mutex::default() }
    }

    /// Empty ledger of a device that only plans.
    pub(in crate::gpu) fn of_a_plan() -> Self {
        Self { placeholder: None, allocations: Mutex::default() }
    }

    /// Allocations so far.
    pub(in crate::gpu) fn allocations(&self) -> Allocations {
        self.allocations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a buffer of `bytes` bytes, of which one may have `limit`, and returns its placeholder. `create` creates a
    /// buffer of the given size.
    pub(in crate::gpu) fn add(
        &self,
        label: &str,
        [bytes, limit]: [u64; 2],
        create: impl FnOnce(u64) -> wgpu::Buffer,
    ) -> wgpu::Buffer {
        let mut all = self.allocations.lock().unwrap_or_else(PoisonError::into_inner);
        all.bytes = all.bytes.saturating_add(bytes);
        all.excess = all.excess.saturating_add(bytes.saturating_sub(limit));
        if all.largest.as_ref().is_none_or(|(_, largest)| bytes > *largest) {
            all.largest = Some((label.into(), bytes));
        }
        self.placeholder.clone().unwrap_or_else(|| create(PLACEHOLDER_BYTES))
    }
}
