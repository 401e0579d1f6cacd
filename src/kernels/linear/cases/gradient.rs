//! Test cases of [`crate::kernels::linear::gradient`].

use crate::gpu::{DynamicRows, Gpu, Plan};
use crate::kernels::linear::blocks::{BLOCK_ROWS, Parts};
use crate::kernels::linear::gradient::{
    GRADIENT, GRADIENT_PANEL, GRADIENT_SCALAR, GRADIENT_SELECTOR, GRADIENT_TILED, GradientShape, LinearGradient,
    gradient_reference,
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
        let parts = Parts::of_rows(&shape.rows, block_rows, 1);
        gradient.record_parts(plan, &shape, parts, &buffers.view("part")?, &variant)
    };
    Case {
        name: format!("({rows}, {inputs}, {outputs}), {live} live rows in blocks of {block_rows}"),
        inputs: vec![("x", x.into()), ("d_y", d_y.into()), ("live", vec![live + 5].into())],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
    .of_variant(&variant)
}
