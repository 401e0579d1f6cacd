//! Test cases of [`crate::kernels::nn::norm`].

use crate::gpu::{DynamicRows, Gpu, Plan};
use crate::kernels::case::wide;
use crate::kernels::linear::{Parts, block_rows};
use crate::kernels::nn::norm::{
    BACKWARD, BACKWARD_SCALAR, BACKWARD_SELECTOR, BACKWARD_TILED, FORWARD, FORWARD_SCALAR, FORWARD_SELECTOR,
    FORWARD_TILED, GRADIENT, NormBackward, NormForward, NormGradient, NormShape, backward_reference, forward_reference,
    gradient_reference,
};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "y = (x − mean) · rstd · γ + β", cases: forward_cases };
pub(crate) const FORWARD_SCALAR_ENTRY: Entry = Entry {
    kernel: &FORWARD_SCALAR,
    summary: "the same for any width, without subgroups",
    cases: forward_scalar_cases,
};
pub(crate) const FORWARD_TILED_ENTRY: Entry = Entry {
    kernel: &FORWARD_TILED,
    summary: "the same through workgroup memory, without subgroups",
    cases: forward_tiled_cases,
};
pub(crate) const BACKWARD_ENTRY: Entry =
    Entry { kernel: &BACKWARD, summary: "d_x = rstd (g − mean(g) − x̂ mean(g x̂)) + e", cases: backward_cases };
pub(crate) const BACKWARD_SCALAR_ENTRY: Entry = Entry {
    kernel: &BACKWARD_SCALAR,
    summary: "the same for any width, without subgroups",
    cases: backward_scalar_cases,
};
pub(crate) const BACKWARD_TILED_ENTRY: Entry = Entry {
    kernel: &BACKWARD_TILED,
    summary: "the same through workgroup memory, without subgroups",
    cases: backward_tiled_cases,
};
pub(crate) const GRADIENT_ENTRY: Entry =
    Entry { kernel: &GRADIENT, summary: "d_γ = Σ d_y x̂, d_β = Σ d_y, by blocks of rows", cases: gradient_cases };

/// Inputs of a case, for the kernel and the reference.
struct Inputs {
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    d_y: Vec<f32>,
    extra: Vec<f32>,
}

fn inputs(rows: u32, width: u32) -> Inputs {
    let mut random = RandomInputs::new(u64::from(rows * 31 + width));
    let (elements, columns) = ((rows * width) as usize, width as usize);
    let mut x = random.floats(elements);
    // Means far from zero, where E[x²] − E[x]² would suffer from cancellation.
    for (row, values) in x.chunks_mut(columns).enumerate() {
        values.iter_mut().for_each(|v| *v += (row % 7) as f32 * 10.0);
    }
    let (gamma, beta) = (random.floats(columns), random.floats(columns));
    Inputs { x, gamma, beta, d_y: random.floats(elements), extra: random.floats(elements) }
}

/// Shapes of rows by one lane each. At width 1, x − mean is 0 and rstd is 316, so that y tests only β.
const SCALAR_SHAPES: [(u32, u32); 6] = [(1, 1), (1, 7), (64, 33), (65, 5), (131, 128), (70_000, 3)];
/// Shapes of clusters.
const CLUSTER_SHAPES: [(u32, u32); 8] =
    [(1, 4), (3, 8), (16, 16), (17, 20), (63, 32), (65, 132), (129, 1024), (70_000, 8)];

/// Cases of one variant selector: small shapes in every variant, large shapes in one variant each, in rotation.
fn cases_of(
    gpu: &Gpu,
    selector: &VariantSelector<NormShape>,
    strategy: Strategy,
    case: fn(Variant, (u32, u32)) -> Case,
) -> Vec<Case> {
    let shapes: &[(u32, u32)] = match strategy {
        Strategy::Subgroup | Strategy::Tiled => &CLUSTER_SHAPES,
        Strategy::Scalar | Strategy::Panel => &SCALAR_SHAPES,
    };
    let cases = |(i, (rows, width)): (usize, &(u32, u32))| {
        let variants = selector.of_case(gpu, strategy, &NormShape::new(*rows, *width), *rows < 100, i);
        variants.into_iter().map(|variant| case(variant, (*rows, *width))).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

fn forward_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &FORWARD_SELECTOR, Strategy::Subgroup, forward_case)
}

fn forward_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &FORWARD_SELECTOR, Strategy::Scalar, forward_case)
}

fn forward_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &FORWARD_SELECTOR, Strategy::Tiled, forward_case)
}

fn forward_case(variant: Variant, (rows, width): (u32, u32)) -> Case {
    let Inputs { x, gamma, beta, .. } = inputs(rows, width);
    let (y, stats) = forward_reference(&wide(&x), &wide(&gamma), &wide(&beta));
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let norm = NormForward::from_case(buffers)?;
        norm.record_variant(plan, &NormShape::new(rows, width), &variant)
    };
    Case {
        name: format!("({rows}, {width})"),
        inputs: vec![("x", x.into()), ("gamma", gamma.into()), ("beta", beta.into())],
        // x is rounded to 60 · 6e-8 and divided by a standard deviation of about 0.6, which can be much smaller for few
        // columns.
        outputs: vec![
            ("y", Expected::Near { values: y, tolerance: if width < 16 { 1e-3 } else { 3e-5 } }),
            ("stats", Expected::Near { values: stats, tolerance: if width < 16 { 1e-3 } else { 2e-6 } }),
        ],
        record: Box::new(record),
    }
    .of_variant(&variant)
}

fn backward_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &BACKWARD_SELECTOR, Strategy::Subgroup, backward_case)
}

fn backward_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &BACKWARD_SELECTOR, Strategy::Scalar, backward_case)
}

fn backward_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &BACKWARD_SELECTOR, Strategy::Tiled, backward_case)
}

/// Statistics of the forward pass, rounded to f32.
fn rounded_stats(inputs: &Inputs) -> Vec<f32> {
    let (_, stats) = forward_reference(&wide(&inputs.x), &wide(&inputs.gamma), &wide(&inputs.beta));
    stats.iter().map(|v| *v as f32).collect()
}

fn backward_case(variant: Variant, (rows, width): (u32, u32)) -> Case {
    let inputs = inputs(rows, width);
    let stats = rounded_stats(&inputs);
    let mut d_x = backward_reference(&wide(&inputs.x), &wide(&stats), &wide(&inputs.gamma), &wide(&inputs.d_y));
    let with_extra = !rows.is_multiple_of(2);
    if with_extra {
        d_x.iter_mut().zip(&inputs.extra).for_each(|(d_x, extra)| *d_x += f64::from(*extra));
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let mut norm = NormBackward::from_case(buffers)?;
        norm.extra = norm.extra.filter(|_| with_extra);
        norm.record_variant(plan, &NormShape::new(rows, width), &variant)
    };
    Case {
        name: format!("({rows}, {width}) extra {with_extra}"),
        inputs: vec![
            ("x", inputs.x.into()),
            ("stats", stats.into()),
            ("gamma", inputs.gamma.into()),
            ("d_y", inputs.d_y.into()),
            ("extra", inputs.extra.into()),
        ],
        outputs: vec![("d_x", Expected::Near { values: d_x, tolerance: 3e-6 })],
        record: Box::new(record),
    }
    .of_variant(&variant)
}

fn gradient_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1), (3, 4), (512, 7), (513, 33), (1100, 64), (70_000, 2)].into_iter().map(gradient_case).collect()
}

/// Gradient whose last rows are beyond the dynamic count and must not be added.
fn gradient_case((rows, width): (u32, u32)) -> Case {
    let live = rows - rows / 3;
    let inputs = inputs(rows, width);
    let stats = rounded_stats(&inputs);
    let (x, wide_stats, d_y) = (wide(&inputs.x), wide(&stats), wide(&inputs.d_y));
    let mut part = Vec::new();
    let of_block = block_rows(1);
    for block in 0..rows.div_ceil(of_block) {
        let rows = (block * of_block).min(live) as usize..((block + 1) * of_block).min(live) as usize;
        let columns = rows.start * width as usize..rows.end * width as usize;
        let stats = &wide_stats[2 * rows.start..2 * rows.end];
        let (d_gamma, d_beta) = gradient_reference(&x[columns.clone()], stats, &d_y[columns], width as usize);
        part.extend(d_gamma);
        part.extend(d_beta);
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let window = DynamicRows::new(buffers.view("live")?, 5, rows, 1);
        plan.write_indirect_args(&window.live)?;
        let gradient = NormGradient::from_case(&buffers.standing_in("part")?)?;
        let shape = NormShape::new(window, width);
        gradient.record_blocks(plan, &shape, Parts::whole(&shape.rows), &buffers.view("part")?)
    };
    Case {
        name: format!("({rows}, {width}), {live} live rows"),
        inputs: vec![
            ("x", inputs.x.into()),
            ("stats", stats.into()),
            ("d_y", inputs.d_y.into()),
            ("live", vec![live + 5].into()),
        ],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}
