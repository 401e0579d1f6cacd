//! Given configurations on a device, as passes with gradient take them: each its own distinct sample.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu};
use crate::kernels::rows::Window;
use crate::physics::Patching;

/// Tokens of configurations.
pub(super) struct GivenTokens {
    /// (B, T) u32
    pub tokens: Buffer,
    /// (B) u32: 0, 1, …
    pub sample_of: Buffer,
    samples: u32,
    patches: u32,
}

impl GivenTokens {
    /// Uploads `configurations`, each of N occupations in site order (checked before).
    pub fn new(gpu: &Gpu, patching: &Patching, configurations: &[Vec<u8>]) -> Result<Self> {
        let samples = configurations.len() as u32;
        let tokens: Vec<u32> = configurations.iter().flat_map(|c| patching.tokens(c)).collect();
        Ok(Self {
            tokens: gpu.upload("ketformer.given.tokens", &tokens)?,
            sample_of: gpu.upload("ketformer.given.sample_of", &(0..samples).collect::<Vec<u32>>())?,
            samples,
            patches: patching.patches() as u32,
        })
    }

    /// All of them.
    pub fn window(&self) -> Window {
        let Self { samples, patches, .. } = *self;
        Window { items: samples.into(), first: 0, most: samples, samples, patches }
    }
}
