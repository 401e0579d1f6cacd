//! Test cases of [`crate::kernels::nn::large_patch`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::nn::large_patch::{
    ADD, ConditioningAdd, ConditioningSum, LargePatchSamples, LargePatchShape, LargeTables, LargeWindow, NONE, ROWS,
    RowsLarge, SUM, add_reference, large_row_reference, sum_reference,
};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ROWS_ENTRY: Entry =
    Entry { kernel: &ROWS, summary: "row metadata of large patches, from sub-patch tokens", cases: rows_cases };
pub(crate) const ADD_ENTRY: Entry =
    Entry { kernel: &ADD, summary: "x += the row of the large patch", cases: add_cases };
pub(crate) const SUM_ENTRY: Entry =
    Entry { kernel: &SUM, summary: "d_conditioning = Σ d_x over the sub-patches", cases: sum_cases };

/// Suffix rows (start, position) from each start to position T.
pub(crate) fn sequences(patches: u32, starts: &[u32]) -> Vec<[u32; 2]> {
    starts.iter().flat_map(|start| (*start..patches).map(move |position| [*start, position])).collect()
}

/// Shape, number of samples, and starts of the suffixes. Without starts, table entries refer to samples only.
type LargePatchCase = (LargePatchShape, u32, &'static [u32]);

const fn shape(patches: u32, sub_patches: u32, sub_sites: u32) -> LargePatchShape {
    LargePatchShape { patches, sub_patches, sub_sites }
}

const CASES: [LargePatchCase; 7] = [
    (shape(1, 1, 1), 1, &[0]),
    (shape(8, 4, 1), 5, &[1, 1, 2, 3, 4, 5, 7]),
    (shape(9, 3, 2), 7, &[0]),
    (shape(10, 5, 9), 3, &[1, 4, 5, 9]),
    (shape(32, 16, 4), 65, &[1, 3, 17]),
    (shape(12, 4, 3), 9, &[]),
    (shape(6, 2, 1), 25_000, &[1, 2]),
];

fn rows_cases(_: &Gpu) -> Vec<Case> {
    CASES.into_iter().map(rows_case).collect()
}

fn rows_case((shape, samples, starts): LargePatchCase) -> Case {
    let mut random = RandomInputs::new(u64::from(samples + shape.patches));
    let (t, first_item) = (shape.patches, samples / 3);
    let items = samples - first_item;
    let tokens = random.integers((samples * t) as usize, 1 << shape.sub_sites);
    let sample_of = random.integers(samples as usize, samples);
    let mut places: Vec<u32> = (0..shape.sites()).collect();
    places.rotate_left(shape.sites() as usize / 2);
    let packed_table = sequences(t, starts);
    let table = match starts {
        [] => LargeTables::of_samples(shape.large_patches()),
        _ => LargeTables::new(&packed_table, shape.sub_patches).rows,
    };
    // If entries refer to samples only, a single one is used, as in decoding.
    let (first_entry, per_item) = if starts.is_empty() { (1, 1) } else { (0, table.len() as u32) };
    let mut packed = Vec::new();
    let mut rows = Vec::new();
    for item in 0..items {
        let sample = sample_of[(first_item + item) as usize];
        let base = &tokens[(sample * t) as usize..][..t as usize];
        let mut changed = Vec::new();
        for start in starts {
            let mut own = base.to_vec();
            // Tokens from `start − 1` onwards differ from the sample.
            (start.saturating_sub(1)..t).for_each(|j| own[j as usize] = random.integers(1, 1 << shape.sub_sites)[0]);
            packed.extend((*start..t).flat_map(|p| [if p == 0 { 7 } else { own[p as usize - 1] }, p, 0, 0]));
            changed.push(own);
        }
        for entry in &table[first_entry as usize..(first_entry + per_item) as usize] {
            let before = packed_table.iter().take(entry[2] as usize + 1).filter(|[start, p]| start == p).count();
            let own = if starts.is_empty() { base } else { &changed[before - 1] };
            rows.extend(large_row_reference(own, entry[0], &places, &shape));
        }
    }
    let (packed_per_item, needs_samples) = (packed_table.len() as u32, starts.iter().all(|start| *start > 0));
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [sample_of, values, table, places, rows] =
            buffers.views(["sample_of", "tokens", "table", "places", "rows"])?;
        let samples = LargePatchSamples { sample_of, values, count: samples };
        let large = RowsLarge {
            samples: needs_samples.then_some(samples),
            packed: (packed_per_item > 0).then(|| buffers.view("packed")).transpose()?,
            table,
            places,
            rows,
        };
        let window = LargeWindow { items: items.into(), first_item, per_item, first_entry, packed_per_item };
        large.record(plan, &window, &shape)
    };
    let packed = if packed.is_empty() { vec![0; 4] } else { packed };
    Case {
        name: format!("{shape:?}, {items} items of {per_item} rows"),
        inputs: vec![
            ("tokens", tokens.into()),
            ("sample_of", sample_of.into()),
            ("packed", packed.into()),
            ("table", table.concat().into()),
            ("places", places.into()),
        ],
        outputs: vec![("rows", Expected::Exactly(rows))],
        record: Box::new(record),
    }
}

fn add_cases(_: &Gpu) -> Vec<Case> {
    CASES.into_iter().filter(|(_, _, starts)| !starts.is_empty()).zip([4, 8, 12, 4, 20, 4]).map(add_case).collect()
}

fn add_case(((shape, samples, starts), width): (LargePatchCase, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(samples + width));
    let (first_item, c) = (samples / 3, width as usize);
    let items = samples - first_item;
    let row_table = sequences(shape.patches, starts);
    let tables = LargeTables::new(&row_table, shape.sub_patches);
    let (per_item, packed_per_item) = (tables.rows.len() as u32, row_table.len() as u32);
    let x = random.floats((items * packed_per_item) as usize * c);
    let own = random.floats((items * per_item) as usize * c);
    let base = random.floats((samples * shape.large_patches()) as usize * c);
    let sample_of = random.integers(samples as usize, samples);
    // All rows that can be added, concatenated, and the index of the one for each suffix row.
    let all: Vec<f64> = own.iter().chain(&base).map(|v| f64::from(*v)).collect();
    let mut conditioning_of = Vec::new();
    for item in 0..items {
        for ([_, position], large) in row_table.iter().zip(&tables.conditioning_of) {
            let sample = sample_of[(first_item + item) as usize];
            let at_base = items * per_item + sample * shape.large_patches() + position / shape.sub_patches;
            conditioning_of.push(if *large == NONE { at_base } else { item * per_item + large });
        }
    }
    let expected = add_reference(&x.iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), &all, &conditioning_of, c);
    let needs_samples = tables.conditioning_of.contains(&NONE);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [sample_of, values, row_table] = buffers.views(["sample_of", "base", "row_table"])?;
        let samples = LargePatchSamples { sample_of, values, count: samples };
        let [own, table, x] = buffers.views(["own", "table", "x"])?;
        let add = ConditioningAdd { own, samples: needs_samples.then_some((samples, row_table)), table, x };
        let window = LargeWindow { items: items.into(), first_item, per_item, first_entry: 0, packed_per_item };
        add.record(plan, &window, &shape, width)
    };
    let own = if own.is_empty() { vec![0.0; c] } else { own };
    Case {
        name: format!("{shape:?}, {items} items of {packed_per_item} rows of {width}"),
        inputs: vec![
            ("own", own.into()),
            ("base", base.into()),
            ("sample_of", sample_of.into()),
            ("table", tables.conditioning_of.into()),
            ("row_table", row_table.concat().into()),
            ("x", x.into()),
        ],
        outputs: vec![("x", Expected::Near { values: expected, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}

fn sum_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1, 4), (7, 4, 8), (65, 3, 12), (70_000, 2, 4)].into_iter().map(sum_case).collect()
}

fn sum_case((rows, sub_patches, width): (u32, u32, u32)) -> Case {
    let d_x = RandomInputs::new(u64::from(rows)).floats((rows * sub_patches * width) as usize);
    let wide: Vec<f64> = d_x.iter().map(|v| f64::from(*v)).collect();
    let sums = sum_reference(&wide, sub_patches as usize, width as usize);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let sum = ConditioningSum::from_case(buffers)?;
        sum.record(plan, &rows.into(), sub_patches, width)
    };
    Case {
        name: format!("({rows}, {sub_patches}, {width})"),
        inputs: vec![("d_x", d_x.into())],
        outputs: vec![("d_conditioning", Expected::Near { values: sums, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}
