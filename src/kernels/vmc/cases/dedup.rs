//! Test cases of [`crate::kernels::vmc::dedup`].

use crate::gpu::Gpu;
use crate::kernels::vmc::dedup::{COMPACT, Dedup, FIRST, HASH, first_reference, hash_reference};
use crate::kernels::{Case, Entry, Expected, RandomInputs};

pub(crate) const HASH_ENTRY: Entry = Entry { kernel: &HASH, summary: "hash of each configuration", cases: hash_cases };
pub(crate) const FIRST_ENTRY: Entry =
    Entry { kernel: &FIRST, summary: "first sample with the same configuration", cases: first_cases };
pub(crate) const COMPACT_ENTRY: Entry =
    Entry { kernel: &COMPACT, summary: "indices and counts of deduplicated configurations", cases: compact_cases };

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
        let dedup_of = first.iter().map(|f| sample_of.iter().position(|s| s == f).unwrap_or(0) as u32).collect();
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
                ("dedup_of", Expected::Exactly(dedup_of)),
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
