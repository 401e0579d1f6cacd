//! Distinct configurations among samples, part by part.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, LiveRows, View};
use crate::kernels::rows::Window;

/// Words between two counters, so that each begins where a binding may.
pub(super) const COUNTER_STRIDE: u64 = 64;

/// Numbers of the distinct configurations of each part of a batch: groups, that are drawn and moved together and are as
/// large as memory allows, or spans, that the gradient is taken over and that do not depend on memory.
pub(super) struct Distinct {
    /// (B) u32, number of each sample's configuration, within parts
    pub unique_of: Buffer,
    /// (B) u32, first sample of each configuration, within parts
    pub sample_of: Buffer,
    /// (B) u32, how often each configuration was drawn
    pub count: Buffer,
    /// Samples of a part.
    pub part: u32,
    samples: u32,
    patches: u32,
    first_counter: u32,
}

impl Distinct {
    /// For `samples` samples of `patches` patches in parts of `part`, whose counters begin at `first_counter`.
    pub fn new(gpu: &Gpu, name: &str, samples: u32, patches: u32, part: u32, first_counter: u32) -> Result<Self> {
        let padded = u64::from(samples.div_ceil(part)) * u64::from(part);
        let buffer = |of: &str| gpu.buffer(&format!("ketformer.{name}.{of}"), padded);
        let (unique_of, sample_of, count) = (buffer("unique_of")?, buffer("sample_of")?, buffer("count")?);
        Ok(Self { unique_of, sample_of, count, part, samples, patches, first_counter })
    }

    /// Parts of the batch.
    pub fn parts(&self) -> u32 {
        self.samples.div_ceil(self.part)
    }

    /// Samples of part `p`.
    pub fn samples_of(&self, p: u32) -> u32 {
        (self.samples - p * self.part).min(self.part)
    }

    /// What of a buffer over samples, `width` elements each, belongs to part `p`.
    pub fn of_part(&self, buffer: &Buffer, p: u32, width: u32) -> Result<View> {
        let width = u64::from(width);
        let first = u64::from(p) * u64::from(self.part) * width;
        let elements = (u64::from(self.part) * width).min(buffer.bytes() / 4 - first);
        buffer.range(buffer.label(), first, elements)
    }

    /// The counter of part `p` among `live`.
    pub fn counter(&self, live: &Buffer, p: u32) -> Result<View> {
        live.range(live.label(), COUNTER_STRIDE * u64::from(self.first_counter + p), 1)
    }

    /// The counters of all parts among `live`.
    pub fn counters(&self, live: &Buffer) -> Result<View> {
        let [first, parts] = [self.first_counter, self.parts()].map(u64::from);
        live.range(live.label(), COUNTER_STRIDE * first, COUNTER_STRIDE * parts)
    }

    /// The distinct samples `first .. first + most` of part `p`.
    pub fn window(&self, live: &Buffer, p: u32, first: u32, most: u32) -> Result<Window> {
        Ok(Window {
            items: LiveRows::new(self.counter(live, p)?, first, most, 1).into(),
            first,
            most,
            samples: self.samples_of(p),
            patches: self.patches,
        })
    }
}
