//! Deduplication of samples: equal configurations become one configuration with a count.
//!
//! Near convergence, most of a batch on small or ordered systems consists of repeated configurations. Deduplication
//! before the connected configurations and the gradient reduces the work severalfold and changes no estimate: every sum
//! over samples counts a configuration as often as it was drawn.
//!
//! Only the GPU has the number of deduplicated configurations. [`crate::gpu::Plan::write_indirect_args`] turns it into
//! the grids of later launches, so the plan does not change.

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static HASH: Kernel = kernel!("vmc", "dedup_hash");
pub(super) static FIRST: Kernel = kernel!("vmc", "dedup_first");
pub(super) static COMPACT: Kernel = kernel!("vmc", "dedup_compact");

record! {
    /// Deduplication of B configurations of T tokens.
    #[derive(Debug, Clone)]
    pub struct Dedup {
        /// (B, T) u32
        pub tokens: View,
        /// Scratch, (B) of two u32.
        pub hash: View,
        /// Scratch, (B) u32: first equal sample.
        pub first: View,
        /// (B) u32: index of the deduplicated configuration of each sample.
        pub dedup_of: View,
        /// (B) u32: first sample of each deduplicated configuration.
        pub sample_of: View,
        /// (B) u32: number of times each deduplicated configuration was drawn.
        pub count: View,
        /// (1) u32: number of deduplicated configurations.
        pub live: View,
    }
}

impl Dedup {
    /// Records the three kernels. If `share` is false, every sample counts as a different configuration.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, samples: u32, patches: u32, share: bool) -> Result<()> {
        self.record_hash(plan, samples, patches)?;
        self.record_first(plan, samples, patches, share)?;
        self.record_compact(plan, samples)
    }

    pub(super) fn record_hash(&self, plan: &mut Plan, samples: u32, patches: u32) -> Result<()> {
        let (b, t) = (u64::from(samples), u64::from(patches));
        plan.launch(&Launch {
            kernel: &HASH,
            spec: &[],
            bindings: &bind!(self.tokens[b * t], self.hash[2 * b]),
            params: &[("samples", samples.into()), ("patches", patches.into())],
            groups: Rows::from(samples).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * (b * (t + 2)) as f64 },
            shape: format!("({b}, {t})"),
        })
    }

    pub(super) fn record_first(&self, plan: &mut Plan, samples: u32, patches: u32, share: bool) -> Result<()> {
        let (b, t) = (u64::from(samples), u64::from(patches));
        plan.launch(&Launch {
            kernel: &FIRST,
            spec: &[],
            bindings: &bind!(self.tokens[b * t], self.hash[2 * b], self.first[b]),
            params: &[("samples", samples.into()), ("patches", patches.into()), ("share", u32::from(share).into())],
            groups: Rows::from(samples).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * (b * (t + 3)) as f64 },
            shape: format!("({b}, {t})"),
        })
    }

    pub(super) fn record_compact(&self, plan: &mut Plan, samples: u32) -> Result<()> {
        let b = u64::from(samples);
        plan.launch(&Launch {
            kernel: &COMPACT,
            spec: &[],
            bindings: &bind!(self.first[b], self.dedup_of[b], self.sample_of[b], self.count[b], self.live[1]),
            params: &[("samples", samples.into())],
            groups: Rows::from(samples).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 16.0 * b as f64 },
            shape: format!("({b})"),
        })
    }
}

/// Hash of a configuration, identical to that of the shader.
pub(crate) fn hash_reference(tokens: &[u32]) -> [u32; 2] {
    let mix = |seed: u32, prime: u32| {
        tokens.iter().fold(seed, |h, token| {
            let h = (h ^ token).wrapping_mul(prime);
            h ^ (h >> 15)
        })
    };
    [mix(0x811c_9dc5, 0x0100_0193), mix(0x2545_f491, 0x9e37_79b1)]
}

/// Index of the first equal configuration of each configuration.
pub(crate) fn first_reference(tokens: &[u32], patches: usize) -> Vec<u32> {
    let mut seen = std::collections::HashMap::new();
    tokens.chunks(patches).enumerate().map(|(b, tokens)| *seen.entry(tokens).or_insert(b as u32)).collect()
}
