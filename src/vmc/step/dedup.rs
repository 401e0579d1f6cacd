//! Deduplicated samples of a batch by group or span.

use crate::error::Result;
use crate::gpu::{Buffer, DynamicRows, Gpu, View};
use crate::kernels::vmc::rows::Window;

/// Stride of counters in u32, which aligns each of them for a binding.
pub(crate) const COUNTER_STRIDE: u64 = 64;

/// Indices and counts of the deduplicated samples of each part of a batch.
///
/// Parts are groups or spans. The samples of a group are drawn together, and the memory limits their number. The
/// gradient is computed over spans, which do not depend on the memory.
pub(crate) struct DedupSpans {
    /// (B) u32: index of each sample's deduplicated sample within the part
    pub dedup_of: Buffer,
    /// (B) u32: first sample of each deduplicated sample within the part
    pub sample_of: Buffer,
    /// (B) u32: number of draws of each deduplicated sample
    pub count: Buffer,
    /// Samples per part.
    pub part: u32,
    samples: u32,
    patches: u32,
    first_counter: u32,
}

impl DedupSpans {
    /// Creates buffers for `samples` samples of `patches` patches in parts of `part`, with counters from
    /// `first_counter` on.
    pub(crate) fn new(
        gpu: &Gpu,
        name: &str,
        samples: u32,
        patches: u32,
        part: u32,
        first_counter: u32,
    ) -> Result<Self> {
        let padded = u64::from(samples.div_ceil(part)) * u64::from(part);
        let buffer = |of: &str| gpu.buffer(&format!("ketformer.{name}.{of}"), padded);
        let (dedup_of, sample_of, count) = (buffer("dedup_of")?, buffer("sample_of")?, buffer("count")?);
        Ok(Self { dedup_of, sample_of, count, part, samples, patches, first_counter })
    }

    /// Number of parts of the batch.
    pub(crate) fn parts(&self) -> u32 {
        self.samples.div_ceil(self.part)
    }

    /// Number of samples of part `p`.
    pub(crate) fn samples_of(&self, p: u32) -> u32 {
        (self.samples - p * self.part).min(self.part)
    }

    /// Returns the range of part `p` in a buffer with `width` elements per sample.
    pub(crate) fn of_part(&self, buffer: &Buffer, p: u32, width: u32) -> Result<View> {
        let width = u64::from(width);
        let first = u64::from(p) * u64::from(self.part) * width;
        let elements = (u64::from(self.part) * width).min(buffer.bytes() / 4 - first);
        buffer.range(buffer.label(), first, elements)
    }

    /// Returns the counter of part `p` in `live`.
    pub(crate) fn counter(&self, live: &Buffer, p: u32) -> Result<View> {
        live.range(live.label(), COUNTER_STRIDE * u64::from(self.first_counter + p), 1)
    }

    /// Returns the counters of all parts in `live`.
    pub(crate) fn counters(&self, live: &Buffer) -> Result<View> {
        let [first, parts] = [self.first_counter, self.parts()].map(u64::from);
        live.range(live.label(), COUNTER_STRIDE * first, COUNTER_STRIDE * parts)
    }

    /// Returns the window of the deduplicated samples `first .. first + most` of part `p`.
    pub(crate) fn window(&self, live: &Buffer, p: u32, first: u32, most: u32) -> Result<Window> {
        Ok(Window {
            items: DynamicRows::new(self.counter(live, p)?, first, most, 1).into(),
            first,
            capacity: most,
            samples: self.samples_of(p),
            patches: self.patches,
        })
    }
}
