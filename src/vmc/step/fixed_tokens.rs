//! Fixed configurations on the device as input of gradient passes, without deduplication.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu};
use crate::kernels::vmc::rows::Window;
use crate::physics::Patching;

/// Tokens of fixed configurations on the device.
pub(crate) struct FixedTokens {
    /// (B, T) u32
    pub tokens: Buffer,
    /// (B) u32: 0, 1, …
    pub sample_of: Buffer,
    samples: u32,
    patches: u32,
}

impl FixedTokens {
    /// Uploads `configurations`, each of N occupations in site order. The caller checks them.
    pub(crate) fn new(gpu: &Gpu, patching: &Patching, configurations: &[Vec<u8>]) -> Result<Self> {
        let samples = configurations.len() as u32;
        let tokens: Vec<u32> = configurations.iter().flat_map(|c| patching.tokens(c)).collect();
        Ok(Self {
            tokens: gpu.upload("ketformer.given.tokens", &tokens)?,
            sample_of: gpu.upload("ketformer.given.sample_of", &(0..samples).collect::<Vec<u32>>())?,
            samples,
            patches: patching.patches() as u32,
        })
    }

    /// Returns the window of all configurations.
    pub(crate) fn window(&self) -> Window {
        let Self { samples, patches, .. } = *self;
        Window { items: samples.into(), first: 0, capacity: samples, samples, patches }
    }
}
