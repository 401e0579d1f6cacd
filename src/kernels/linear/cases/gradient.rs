//! Test cases of [`crate::kernels::linear::gradient`].

use crate::gpu::{DynamicRows, Gpu, Plan};
use crate::kernels::linear::blocks::{BLOCK_ROWS, Parts};
use crate::kernels::linear::gradient::{
    GRADIENT, GRADIENT_PANEL, GRADIENT_SCALAR, GRADIENT_SELECTOR, GRADIENT_SUM, GRADIENT_SUM_PARTS, GRADIENT_TILED,
    GradientShape, GradientSum, LinearGradient, gradient_reference,
};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const GRADIENT_ENTRY: Entry =
    Entry { kernel: &GRADIENT, summary: "d_W = d_yᵀ x, d_b = Σ d_y, by blocks of rows", cases: gradient_cases };
pub(crate) const GRADIENT_SCALAR_ENTRY: Entry = Entry {
    kernel: &GRADIENT_SCALAR,
    summary: "the same for any shape, without subgroups",
    cases: gradient_scalar_cases,
};
pub(crate) const GRADIENT_TILED_ENTRY: Entry = Entry {
    kernel: &GRADIENT_TILED,
    summary: "the same by tiles in workgroup memory, for GPUs",
    cases: gradient_tiled_cases,
};
pub(crate) const GRADIENT_PANEL_ENTRY: Entry =
    Entry { kernel: &GRADIENT_PANEL, summary: "the same by tiles of vec4s, for the CPU", cases: gradient_panel_cases };
pub(crate) const GRADIENT_SUM_ENTRY: Entry =
    Entry { kernel: &GRADIENT_SUM, summary: "adds the blocks of a weight gradient", cases: gradient_sum_cases };
pub(crate) const GRADIENT_SUM_PARTS_ENTRY: Entry = Entry {
    kernel: &GRADIENT_SUM_PARTS,
    summary: "the same for blocks divided into parts, for GPUs",
    cases: gradient_sum_parts_cases,
};

fn gradient_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        (1, 4, 1),
        (16, 32, 16),
        (513, 36, 17),
        (1025, 8, 5),
        (700, 132, 33),
        (515, 132, 36),
        (9, 7, 4),
        (70_000, 4, 1),
    ];
    gradient_cases_of(gpu, Strategy::Subgroup, &shapes)
}

fn gradient_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    gradient_cases_of(
        gpu,
        Strategy::Scalar,
        &[(1, 1, 1), (3, 5, 7), (513, 36, 17), (9, 7, 4), (513, 6, 9), (70_000, 3, 2)],
    )
}

fn gradient_cases_of(gpu: &Gpu, strategy: Strategy, shapes: &[(u32, u32, u32)]) -> Vec<Case> {
    let cases = |(i, shape): (usize, &(u32, u32, u32))| {
        let (rows, inputs, outputs) = *shape;
        let variant = GradientShape { rows: rows.into(), inputs, outputs };
        let variants = GRADIENT_SELECTOR.of_case(gpu, strategy, &variant, rows < 1000, i);
        let block = |variant: &Variant| if variant.strategy == Strategy::Tiled && i % 2 == 1 { 51 } else { BLOCK_ROWS };
        variants.into_iter().map(|variant| gradient_case(variant, *shape, block(&variant))).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

fn gradient_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    // With and without partial tiles, steps and blocks at the edges.
    let shapes = [
        (1, 4, 4),
        (16, 32, 128),
        (7, 68, 4),
        (513, 36, 16),
        (515, 132, 36),
        (1025, 132, 68),
        (700, 64, 64),
        (529, 4, 132),
        (70_000, 4, 4),
    ];
    gradient_cases_of(gpu, Strategy::Tiled, &shapes)
}

fn gradient_panel_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [(1, 4, 4), (16, 32, 128), (513, 36, 16), (515, 132, 36), (1025, 132, 68), (70_000, 4, 4)];
    gradient_cases_of(gpu, Strategy::Panel, &shapes)
}

/// Case of a gradient whose last rows are beyond the dynamic count and must not be added.
fn gradient_case(variant: Variant, (rows, inputs, outputs): (u32, u32, u32), block_rows: u32) -> Case {
    let live = rows - rows / 3;
    let mut random = RandomInputs::new(u64::from(rows * 31 + inputs * 7 + outputs));
    let x = random.floats((rows * inputs) as usize);
    let d_y = random.floats((rows * outputs) as usize);
    let mut part = Vec::new();
    for block in 0..rows.div_ceil(block_rows) {
        let first = (block * block_rows).min(live) as usize;
        let count = ((block + 1) * block_rows).min(live) as usize - first;
        let (x, d_y) = (&x[first * inputs as usize..], &d_y[first * outputs as usize..]);
        let (d_weight, d_bias) = gradient_reference(x, d_y, count, inputs as usize, outputs as usize);
        part.extend(d_weight);
        part.extend(d_bias);
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let gradient = LinearGradient::from_case(&buffers.standing_in("part")?)?;
        let window = DynamicRows::new(buffers.view("live")?, 5, rows, 1);
        plan.write_indirect_args(&window.live)?;
        let shape = GradientShape { rows: window.into(), inputs, outputs };
        gradient.record_parts(plan, &shape, Parts::of_rows(&shape.rows, block_rows, 1), &variant)
    };
    Case {
        name: format!("({rows}, {inputs}, {outputs}), {live} live rows in blocks of {block_rows}"),
        inputs: vec![("x", x.into()), ("d_y", d_y.into()), ("live", vec![live + 5].into())],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
    .of_variant(&variant)
}

fn gradient_sum_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 4, 4, false), (1025, 3, 5, true), (5000, 8, 1, false)];
    shapes.into_iter().map(|shape| gradient_sum_case(shape, BLOCK_ROWS, 1)).collect()
}

fn gradient_sum_parts_cases(_: &Gpu) -> Vec<Case> {
    [(1, 4, 4, false), (1025, 3, 5, true), (10_000, 8, 4, false)]
        .into_iter()
        .zip([(64, 8), (51, 10), (50, 3)])
        .map(|(shape, (rows, per_block))| gradient_sum_case(shape, rows, per_block))
        .collect()
}

fn gradient_sum_case((rows, inputs, outputs, keep): (u32, u32, u32, bool), part_rows: u32, per_block: u32) -> Case {
    let parts = Parts::of_rows(&rows.into(), part_rows, per_block);
    let mut random = RandomInputs::new(u64::from(rows));
    let part = random.floats((parts.count * outputs * (inputs + 1)) as usize);
    let before = random.floats((outputs * (inputs + 1)) as usize);
    let mut sums: Vec<f64> = before.iter().map(|v| if keep { f64::from(*v) } else { 0.0 }).collect();
    for block in part.chunks(sums.len()) {
        sums.iter_mut().zip(block).for_each(|(sum, v)| *sum += f64::from(*v));
    }
    let weights = (outputs * inputs) as usize;
    let near = |values: &[f64]| Expected::Near { values: values.to_vec(), tolerance: 1e-6 };
    let expected = vec![("d_weight", near(&sums[..weights])), ("d_bias", near(&sums[weights..]))];
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let sum = GradientSum::from_case(buffers)?;
        sum.record_sum(plan, &rows.into(), parts, [inputs * outputs, outputs], keep)
    };
    Case {
        name: format!("({rows}, {inputs}, {outputs}), {per_block} parts per block, keep {keep}"),
        inputs: vec![
            ("part", part.into()),
            ("d_weight", before[..weights].to_vec().into()),
            ("d_bias", before[weights..].to_vec().into()),
        ],
        outputs: expected,
        record: Box::new(record),
    }
}
