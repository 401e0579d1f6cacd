//! Test cases of [`crate::kernels::vmc::rows`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::vmc::rows::{MOVES, RowsConnected, RowsSamples, SAMPLES, Window, rows_reference};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const SAMPLES_ENTRY: Entry =
    Entry { kernel: &SAMPLES, summary: "row metadata of the teacher-forced pass", cases: samples_cases };
pub(crate) const MOVES_ENTRY: Entry =
    Entry { kernel: &MOVES, summary: "row metadata of connected configurations", cases: moves_cases };

fn samples_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 0, 1), (9, 4, 2, 5), (100, 7, 0, 100), (35_000, 2, 10, 34_990)];
    shapes.into_iter().flat_map(|shape| [false, true].map(|counts| samples_case(shape, counts))).collect()
}

fn samples_case((samples, patches, first, most): (u32, u32, u32, u32), counts: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(samples));
    let tokens = random.integers((samples * patches) as usize, 16);
    let sample_of = random.integers(samples as usize, samples);
    let t = patches as usize;
    let of = |u: u32| sample_of[(first + u) as usize] as usize;
    let rows = (0..most).flat_map(|u| rows_reference(&tokens[of(u) * t..(of(u) + 1) * t], 0, counts)).collect();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [tokens, sample_of, rows] = buffers.views(["tokens", "sample_of", "rows"])?;
        let rows = RowsSamples { tokens, sample_of, rows, counts };
        rows.record(plan, &Window { items: most.into(), first, capacity: most, samples, patches })
    };
    Case {
        name: format!("({samples}, {patches}) from {first}, counts {counts}"),
        outputs: vec![("rows", Expected::Exactly(rows))],
        inputs: vec![("tokens", tokens.into()), ("sample_of", sample_of.into())],
        record: Box::new(record),
    }
}

fn moves_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 2, 0, 1), (9, 4, 2, 5), (64, 7, 0, 64), (3000, 4, 1, 2990)];
    shapes.into_iter().flat_map(|shape| [false, true].map(|counts| moves_case(shape, counts))).collect()
}

fn moves_case((samples, patches, first, most): (u32, u32, u32, u32), counts: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(samples));
    let tokens = random.integers((samples * patches) as usize, 16);
    let sample_of = random.integers(samples as usize, samples);
    let t = patches as usize;
    // Single flips in every patch, and double flips with the last patch.
    let moves: Vec<[u32; 4]> =
        (0..patches).flat_map(|i| [[i, 1 << (i % 4), u32::MAX, 0], [i, 2, patches - 1, 4]]).collect();
    let changed = |tokens: &[u32], m: &[u32; 4]| {
        let mut tokens = tokens.to_vec();
        tokens[m[0] as usize] ^= m[1];
        if m[2] < patches {
            tokens[m[2] as usize] ^= m[3];
        }
        tokens
    };
    let mut table = Vec::new();
    for (m, change) in moves.iter().enumerate() {
        (change[0] + 1..patches).for_each(|p| table.extend([change[0] + 1, p, m as u32, 0]));
    }
    let rows_per_item = table.len() as u32 / 4;
    let mut rows = Vec::new();
    for u in 0..most {
        let b = sample_of[(first + u) as usize] as usize;
        let own = &tokens[b * t..(b + 1) * t];
        moves.iter().for_each(|m| rows.extend(rows_reference(&changed(own, m), m[0] as usize + 1, counts)));
    }
    let count = moves.len() as u32;
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [tokens, sample_of, rows] = buffers.views(["tokens", "sample_of", "rows"])?;
        let [table, moves] = buffers.views(["table", "moves"])?;
        let rows = RowsConnected { tokens, sample_of, table, moves, rows, counts };
        rows.record(plan, &Window { items: most.into(), first, capacity: most, samples, patches }, rows_per_item, count)
    };
    Case {
        name: format!("({samples}, {patches}) from {first}, counts {counts}"),
        outputs: vec![("rows", Expected::Exactly(rows))],
        inputs: vec![
            ("tokens", tokens.into()),
            ("sample_of", sample_of.into()),
            ("table", table.into()),
            ("moves", moves.concat().into()),
        ],
        record: Box::new(record),
    }
}
