//! Deduplication of samples: equal configurations become one configuration with a count.
//!
//! Near convergence, most of a batch on small or ordered systems consists of repeated configurations. Deduplication
//! before the connected configurations and the gradient reduces the work severalfold and changes no estimate: every sum
//! over samples counts a configuration as often as it was drawn.
//!
//! Only the GPU has the number of deduplicated configurations. [`crate::gpu::Plan::write_indirect_args`] turns it into
//! the grids of later launches, so the plan does not change.

use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{Case, Entry, Expected, RandomInputs, kernel, record};

static HASH: Kernel = kernel!("vmc", "dedup_hash");
static FIRST: Kernel = kernel!("vmc", "dedup_first");
static COMPACT: Kernel = kernel!("vmc", "dedup_compact");

pub(crate) const HASH_ENTRY: Entry = Entry { kernel: &HASH, summary: "hash of each configuration", cases: hash_cases };
pub(crate) const FIRST_ENTRY: Entry =
    Entry { kernel: &FIRST, summary: "first sample with the same configuration", cases: first_cases };
pub(crate) const COMPACT_ENTRY: Entry =
    Entry { kernel: &COMPACT, summary: "indices and counts of deduplicated configurations", cases: compact_cases };

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
        pub unique_of: View,
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

    fn record_hash(&self, plan: &mut Plan, samples: u32, patches: u32) -> Result<()> {
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

    fn record_first(&self, plan: &mut Plan, samples: u32, patches: u32, share: bool) -> Result<()> {
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

    fn record_compact(&self, plan: &mut Plan, samples: u32) -> Result<()> {
        let b = u64::from(samples);
        plan.launch(&Launch {
            kernel: &COMPACT,
            spec: &[],
            bindings: &bind!(self.first[b], self.unique_of[b], self.sample_of[b], self.count[b], self.live[1]),
            params: &[("samples", samples.into())],
            groups: Rows::from(samples).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 16.0 * b as f64 },
            shape: format!("({b})"),
        })
    }
}

/// Hash of a configuration, identical to that of the shader.
pub fn hash_reference(tokens: &[u32]) -> [u32; 2] {
    let mix = |seed: u32, prime: u32| {
        tokens.iter().fold(seed, |h, token| {
            let h = (h ^ token).wrapping_mul(prime);
            h ^ (h >> 15)
        })
    };
    [mix(0x811c_9dc5, 0x0100_0193), mix(0x2545_f491, 0x9e37_79b1)]
}

/// Index of the first equal configuration of each configuration.
pub fn first_reference(tokens: &[u32], patches: usize) -> Vec<u32> {
    let mut seen = std::collections::HashMap::new();
    tokens.chunks(patches).enumerate().map(|(b, tokens)| *seen.entry(tokens).or_insert(b as u32)).collect()
}

/// Tokens with few different values, so that many configurations repeat.
fn repeating(samples: u32, patches: u32) -> Vec<u32> {
    RandomInputs::new(u64::from(samples)).integers((samples * patches) as usize, 3)
}

const SHAPES: [(u32, u32); 5] = [(1, 1), (64, 2), (65, 4), (513, 5), (3000, 16)];

fn hash_cases(_: &Gpu) -> Vec<Case> {
    let case = |(samples, patches): (u32, u32)| {
        let tokens = repeating(samples, patches);
        let hash = tokens.chunks(patches as usize).flat_map(hash_reference).collect();
        Case {
            name: format!("({samples}, {patches})"),
            inputs: vec![("tokens", tokens.into())],
            outputs: vec![("hash", Expected::Exactly(hash))],
            record: Box::new(move |plan, buffers| {
                Dedup::from_case(&buffers.standing_in("hash")?)?.record_hash(plan, samples, patches)
            }),
        }
    };
    SHAPES.into_iter().chain([(70_000, 1)]).map(case).collect()
}

fn first_cases(_: &Gpu) -> Vec<Case> {
    let case = |((samples, patches), collide): ((u32, u32), bool)| {
        let tokens = repeating(samples, patches);
        // With a constant hash every comparison falls through to the tokens.
        let hash = tokens.chunks(patches as usize).flat_map(|t| if collide { [7, 7] } else { hash_reference(t) });
        let hash: Vec<u32> = hash.collect();
        let first = first_reference(&tokens, patches as usize);
        Case {
            name: format!("({samples}, {patches}) collisions {collide}"),
            inputs: vec![("tokens", tokens.into()), ("hash", hash.into())],
            outputs: vec![("first", Expected::Exactly(first))],
            record: Box::new(move |plan, buffers| {
                Dedup::from_case(&buffers.standing_in("first")?)?.record_first(plan, samples, patches, true)
            }),
        }
    };
    let unshared = Case {
        name: "(5, 2) not shared".into(),
        inputs: vec![("tokens", vec![1; 10].into()), ("hash", vec![7; 10].into())],
        outputs: vec![("first", Expected::Exactly((0..5).collect()))],
        record: Box::new(|plan, buffers| {
            Dedup::from_case(&buffers.standing_in("first")?)?.record_first(plan, 5, 2, false)
        }),
    };
    SHAPES.into_iter().flat_map(|s| [(s, false), (s, true)]).map(case).chain([unshared]).collect()
}

fn compact_cases(_: &Gpu) -> Vec<Case> {
    /// Initial value of the elements beyond the last configuration, which must not be written.
    const BEFORE: u32 = 9;
    let case = |(samples, patches): (u32, u32)| {
        let first = first_reference(&repeating(samples, patches), patches as usize);
        let sample_of: Vec<u32> = (0..samples).filter(|b| first[*b as usize] == *b).collect();
        let unique_of = first.iter().map(|f| sample_of.iter().position(|s| s == f).unwrap_or(0) as u32).collect();
        let count: Vec<u32> = sample_of.iter().map(|s| first.iter().filter(|f| *f == s).count() as u32).collect();
        let live = vec![sample_of.len() as u32];
        let padded = |values: Vec<u32>| {
            let mut values = values;
            values.resize(samples as usize, BEFORE);
            Expected::Exactly(values)
        };
        let before = vec![BEFORE; samples as usize];
        Case {
            name: format!("({samples}, {patches})"),
            inputs: vec![("first", first.into()), ("sample_of", before.clone().into()), ("count", before.into())],
            outputs: vec![
                ("unique_of", Expected::Exactly(unique_of)),
                ("sample_of", padded(sample_of)),
                ("count", padded(count)),
                ("live", Expected::Exactly(live)),
            ],
            record: Box::new(move |plan, buffers| {
                Dedup::from_case(&buffers.standing_in("first")?)?.record_compact(plan, samples)
            }),
        }
    };
    SHAPES.into_iter().map(case).collect()
}
