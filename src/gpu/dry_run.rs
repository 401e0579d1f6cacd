//! Dry runs: the buffers that code would allocate, counted without allocating them.
//!
//! The device of a dry run creates no memory. Its buffers have their labels and lengths, all on one placeholder, and
//! writes to them have no effect. Nothing may be launched on them or read from them.

use std::sync::{Arc, Mutex, PoisonError};

use super::Gpu;
use crate::error::Result;

/// Buffers that a dry run allocated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Bytes of all buffers.
    pub bytes: u64,
    /// Bytes by which buffers exceed the limit for one buffer, summed over these buffers.
    pub excess: u64,
    /// Label and bytes of the largest buffer.
    pub largest: Option<(String, u64)>,
}

/// Allocations of a dry run so far, and the buffer that all of its views refer to.
pub(super) struct Ledger {
    placeholder: wgpu::Buffer,
    allocations: Mutex<Allocations>,
}

impl Ledger {
    /// Counts a buffer of `bytes` bytes, of which one may have `limit`, and returns the placeholder.
    pub(super) fn add(&self, label: &str, bytes: u64, limit: u64) -> wgpu::Buffer {
        let mut all = self.allocations.lock().unwrap_or_else(PoisonError::into_inner);
        all.bytes = all.bytes.saturating_add(bytes);
        all.excess = all.excess.saturating_add(bytes.saturating_sub(limit));
        if all.largest.as_ref().is_none_or(|(_, largest)| bytes > *largest) {
            all.largest = Some((label.into(), bytes));
        }
        self.placeholder.clone()
    }
}

impl Gpu {
    /// Calls `allocate` with a device that counts buffers instead of creating them, and returns the count. Limits on
    /// the size of a buffer are not errors on this device; see [`Allocations::excess`].
    ///
    /// # Errors
    /// Any error of `allocate`; as [`Gpu::buffer`] for the placeholder.
    pub fn dry_run<T>(&self, allocate: impl FnOnce(&Self) -> Result<T>) -> Result<Allocations> {
        let placeholder = self.buffer("ketformer.dry_run", 4)?;
        let ledger = Ledger { placeholder: placeholder.wgpu().clone(), allocations: Mutex::default() };
        let ledger = Arc::new(ledger);
        allocate(&Self { ledger: Some(ledger.clone()), ..self.clone() })?;
        let allocations = ledger.allocations.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(allocations.clone())
    }
}
