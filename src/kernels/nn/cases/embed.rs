//! Test cases of [`crate::kernels::nn::embed`].

use crate::gpu::{DynamicRows, Gpu, Plan};
use crate::kernels::nn::embed::{
    EmbedForward, EmbedGradient, EmbedShape, FORWARD, GRADIENT, TABLE, TableGradient, forward_reference,
    gradient_reference, words,
};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, linear};

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "x = tanh(W patch + b) + position", cases: forward_cases };
pub(crate) const GRADIENT_ENTRY: Entry =
    Entry { kernel: &GRADIENT, summary: "d_W, d_b of the embedding, by blocks of rows", cases: gradient_cases };
pub(crate) const TABLE_ENTRY: Entry =
    Entry { kernel: &TABLE, summary: "gradient of a position table, by blocks of rows", cases: table_cases };

/// Random metadata of `count` rows over `patches` positions and 2^P tokens.
pub(crate) fn random_rows(random: &mut RandomInputs, count: usize, patches: u32, sites_per_patch: u32) -> Vec<u32> {
    let tokens = random.integers(count, 1 << sites_per_patch);
    let positions = random.integers(count, patches);
    let targets = random.integers(count, 1 << sites_per_patch);
    (0..count).flat_map(|r| [tokens[r], positions[r], targets[r], 0]).collect()
}

/// Random row metadata for patches of any size, and its stride. Patches of at most 12 sites are stored as tokens.
fn random_descriptions(random: &mut RandomInputs, count: u32, patches: u32, sites_per_patch: u32) -> (Vec<u32>, u32) {
    let words = words(sites_per_patch);
    if sites_per_patch <= 12 {
        return (random_rows(random, count as usize, patches, sites_per_patch), 4);
    }
    let bits: Vec<u32> = (0..words)
        .map(|word| if sites_per_patch >= 32 * (word + 1) { u32::MAX } else { (1 << (sites_per_patch % 32)) - 1 })
        .collect();
    let positions = random.integers(count as usize, patches);
    let row = |p: u32| bits.iter().map(|mask| random.integers(1, u32::MAX)[0] & mask).chain([p]).collect::<Vec<_>>();
    (positions.into_iter().flat_map(row).collect(), words + 1)
}

/// Rows, C, P, T.
const SHAPES: [(u32, u32, u32, u32); 10] = [
    (1, 4, 1, 1),
    (8, 32, 4, 4),
    (7, 20, 3, 5),
    (1025, 36, 4, 9),
    (130, 128, 12, 16),
    (70_000, 4, 2, 3),
    (9, 12, 16, 4),
    (33, 8, 37, 3),
    (600, 4, 64, 2),
    (600, 4, 256, 1),
];

/// Cases of every shape without and with a start vector.
fn both(case: fn((u32, u32, u32, u32), bool) -> Case) -> Vec<Case> {
    SHAPES.into_iter().flat_map(|shape| [false, true].map(|has_start| case(shape, has_start))).collect()
}

fn forward_cases(_: &Gpu) -> Vec<Case> {
    both(forward_case)
}

fn forward_case((rows, width, p, patches): (u32, u32, u32, u32), has_start: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + width));
    // Positions of two sequences.
    let (row_meta, stride) = random_descriptions(&mut random, rows, 2 * patches, p);
    let (weight, bias) = (random.floats((width * p) as usize), random.floats(width as usize));
    let position = random.floats((patches * width) as usize);
    let start = random.floats(width as usize);
    let sizes = [p as usize, stride as usize];
    let x = forward_reference(&row_meta, &weight, &bias, &position, has_start.then_some(&start[..]), sizes);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let mut embed = EmbedForward::from_case(buffers)?;
        embed.start = embed.start.filter(|_| has_start);
        embed.record(plan, &EmbedShape { rows: rows.into(), width, sites_per_patch: p, patches, stride })
    };
    Case {
        name: format!("({rows}, {width}, {p}) start {has_start}"),
        inputs: vec![
            ("start", start.into()),
            ("rows", row_meta.into()),
            ("weight", weight.into()),
            ("bias", bias.into()),
            ("position", position.into()),
        ],
        outputs: vec![("x", Expected::Near { values: x, tolerance: 1e-6 * (1.0 + f64::from(p) / 64.0) })],
        record: Box::new(record),
    }
}

fn gradient_cases(_: &Gpu) -> Vec<Case> {
    let of = |tanh, has_start| SHAPES.into_iter().map(move |shape| gradient_case(shape, tanh, has_start));
    of(true, false).chain(of(true, true)).chain(of(false, false)).collect()
}

/// Gradient case. Without tanh, rows of d_x have three elements of padding.
fn gradient_case((rows, width, p, patches): (u32, u32, u32, u32), tanh: bool, has_start: bool) -> Case {
    let d_stride = if tanh { width } else { width + 3 };
    let live = rows - rows / 3;
    let mut random = RandomInputs::new(u64::from(rows + width));
    // Positions of two sequences.
    let (row_meta, stride) = random_descriptions(&mut random, rows, 2 * patches, p);
    let (weight, bias) = (random.floats((width * p) as usize), random.floats(width as usize));
    let d_x = random.floats((rows * d_stride) as usize);
    let dense: Vec<f32> = d_x.chunks(d_stride as usize).flat_map(|row| &row[..width as usize]).copied().collect();
    let mut part = Vec::new();
    let block_rows = linear::block_rows(1);
    for block in 0..rows.div_ceil(block_rows) {
        let first = (block * block_rows).min(live) as usize;
        let end = ((block + 1) * block_rows).min(live) as usize;
        let words = stride as usize;
        let (rows, d_x) = (&row_meta[words * first..words * end], &dense[first * width as usize..]);
        let tanh_of = tanh.then_some([&weight[..], &bias[..]]);
        let sizes = [p as usize, words, patches as usize];
        let (d_weight, d_bias) = gradient_reference(rows, tanh_of, has_start, d_x, width as usize, sizes);
        part.extend(d_weight);
        part.extend(d_bias);
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [rows_view, d_x, part] = buffers.views(["rows", "d_x", "part"])?;
        let window = DynamicRows::new(buffers.view("live")?, 2, rows, 1);
        plan.write_indirect_args(&window.live)?;
        let gradient = EmbedGradient {
            rows: rows_view,
            tanh_of: tanh.then(|| buffers.views(["weight", "bias"])).transpose()?,
            has_start,
            d_x,
            d_stride,
            d_weight: part.clone(),
            d_bias: part.clone(),
        };
        let shape = EmbedShape { rows: window.into(), width, sites_per_patch: p, patches, stride };
        gradient.record_blocks(plan, &shape, linear::Parts::whole(&shape.rows), &part)
    };
    Case {
        name: format!("({rows}, {width}, {p}) tanh {tanh}, start {has_start}, {live} live rows"),
        inputs: vec![
            ("rows", row_meta.into()),
            ("weight", weight.into()),
            ("bias", bias.into()),
            ("d_x", d_x.into()),
            ("live", vec![live + 2].into()),
        ],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}

fn table_cases(_: &Gpu) -> Vec<Case> {
    let shapes =
        [(1, 4, 1, 1), (64, 8, 16, 16), (35, 20, 5, 1), (1040, 36, 13, 13), (2000, 4, 1000, 1000), (70_000, 4, 2, 1)];
    shapes.into_iter().map(table_case).collect()
}

/// Table gradient of complete samples. A third of the samples is beyond the dynamic count, and some blocks begin within
/// a sample.
fn table_case((rows, width, patches, table): (u32, u32, u32, u32)) -> Case {
    let items = rows / patches;
    let live = items - items / 3;
    let d_x = RandomInputs::new(u64::from(rows + width)).floats((rows * width) as usize);
    let block_rows = linear::block_rows(patches);
    let blocks = rows.div_ceil(block_rows);
    let mut part = vec![0.0; (blocks * table * width) as usize];
    for row in (0..live * patches).filter(|row| row % patches < table) {
        for c in 0..width {
            let at = (row / block_rows * table + row % patches) * width + c;
            part[at as usize] += f64::from(d_x[(row * width + c) as usize]);
        }
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let window = DynamicRows::new(buffers.view("live")?, 2, items, patches);
        plan.write_indirect_args(&window.live)?;
        let gradient = TableGradient::from_case(&buffers.standing_in("part")?)?;
        let shape = EmbedShape { rows: window.into(), width, sites_per_patch: 1, patches, stride: 4 };
        gradient.record_blocks(plan, &shape, table, linear::Parts::whole(&shape.rows), &buffers.view("part")?)
    };
    Case {
        name: format!("({rows}, {width}) of {patches} positions to {table}, {live} live samples"),
        inputs: vec![("d_x", d_x.into()), ("live", vec![live + 2].into())],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}
