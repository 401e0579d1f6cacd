//! Test cases of [`crate::kernels::linear::product`].

use crate::error::Result;
use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::linear::Activation;
use crate::kernels::linear::product::{
    Direction, Extra, LinearProduct, LinearShape, PRODUCT, PRODUCT_PANEL, PRODUCT_SCALAR, PRODUCT_SELECTOR,
    PRODUCT_TILED, product_reference,
};
use crate::kernels::nn::cases::cast_f16::{has_half, near_half, stored};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const PRODUCT_ENTRY: Entry =
    Entry { kernel: &PRODUCT, summary: "y = act(x Wᵀ + b) + e, or d_x = d_y W ∘ act'", cases: product_cases };
pub(crate) const PRODUCT_SCALAR_ENTRY: Entry = Entry {
    kernel: &PRODUCT_SCALAR,
    summary: "the same for any shape, without subgroups",
    cases: product_scalar_cases,
};
pub(crate) const PRODUCT_TILED_ENTRY: Entry = Entry {
    kernel: &PRODUCT_TILED,
    summary: "the same by tiles in workgroup memory, for GPUs",
    cases: product_tiled_cases,
};

pub(crate) const PRODUCT_PANEL_ENTRY: Entry = Entry {
    kernel: &PRODUCT_PANEL,
    summary: "the same with blocks of the weight in constant-indexed values, for the CPU",
    cases: product_panel_cases,
};

fn product_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [(1, 4, 4), (16, 32, 32), (15, 8, 36), (17, 36, 132), (131, 64, 16), (33, 2048, 32), (70_000, 4, 4)];
    product_cases_of(gpu, Strategy::Subgroup, &shapes)
}

fn product_scalar_cases(gpu: &Gpu) -> Vec<Case> {
    let shapes =
        [(1, 4, 4), (7, 3, 2), (15, 8, 36), (17, 36, 132), (1, 1, 1), (9, 13, 5), (131, 64, 17), (70_000, 3, 2)];
    product_cases_of(gpu, Strategy::Scalar, &shapes)
}

fn product_tiled_cases(gpu: &Gpu) -> Vec<Case> {
    // Sums in 1, 4 and 16 slices; with and without partial tiles, steps and slices at the edges.
    let shapes = [
        (1, 4, 4),
        (16, 32, 32),
        (63, 28, 36),
        (17, 36, 132),
        (65, 100, 516),
        (33, 140, 68),
        (31, 128, 4),
        (33, 132, 36),
        (129, 16, 260),
        (129, 36, 28),
        (2049, 24, 68),
        (37, 2048, 20),
        (70_000, 4, 4),
    ];
    product_cases_of(gpu, Strategy::Tiled, &shapes)
}

fn product_panel_cases(gpu: &Gpu) -> Vec<Case> {
    // One or several blocks, with and without partial tiles at the edges.
    let shapes = [(1, 4, 4), (16, 32, 32), (17, 36, 132), (131, 132, 68), (33, 2048, 32), (70_000, 4, 4)];
    product_cases_of(gpu, Strategy::Panel, &shapes)
}

/// Small shapes run in every variant of the strategy, large shapes and further activations in one variant each, cycling
/// through them.
fn product_cases_of(gpu: &Gpu, strategy: Strategy, shapes: &[(u32, u32, u32)]) -> Vec<Case> {
    let mut cases = Vec::new();
    let activations = [Activation::None, Activation::Relu, Activation::Tanh, Activation::Gelu];
    for (i, (rows, inner, columns)) in shapes.iter().copied().enumerate() {
        for direction in [Direction::Forward, Direction::Backward] {
            for extra in 0..3 {
                // Every combination for small shapes, one each for large shapes.
                if rows > 10_000 && extra != 1 {
                    continue;
                }
                let activation = activations[(i + extra) % 4];
                let shape = LinearShape { direction, ..LinearShape::forward(rows, inner, columns) };
                let shape = shape.activated(activation);
                let all = rows < 100 && extra == i % 3;
                let variants = PRODUCT_SELECTOR.of_case(gpu, strategy, &shape, all, i + extra);
                let of_variant = |variant| product_case(variant, &shape, extra, i % 3 != 1, [DType::F32; 2]);
                cases.extend(variants.into_iter().map(of_variant));
            }
        }
    }
    let halves = [[DType::F16, DType::F32], [DType::F16; 2], [DType::F32, DType::F16]];
    for (i, (rows, inner, columns)) in shapes.iter().copied().enumerate().filter(|_| has_half(gpu)) {
        for direction in [Direction::Forward, Direction::Backward] {
            let storages = halves.iter().filter(|[weight, _]| rows < 1000 || *weight == DType::F16);
            for (turn, storage) in storages.enumerate() {
                let y_storage = storage[1];
                let shape = LinearShape { direction, y_storage, ..LinearShape::forward(rows, inner, columns) };
                let variants = PRODUCT_SELECTOR.of_case(gpu, strategy, &shape, false, i + turn);
                cases.extend(
                    variants.into_iter().map(|variant| product_case(variant, &shape, i % 2, i % 3 != 1, *storage)),
                );
            }
        }
    }
    cases
}

/// Expected outputs of a case, from its sums and third operand. `extra` is 0 for none, 1 for an addend, 2 for a saved
/// activation.
pub(crate) fn with_epilogue(sums: Vec<f64>, third: &[f32], extra: usize, activation: Activation) -> Vec<f64> {
    let finished = |(sum, third): (f64, &f32)| match extra {
        0 => activation.value(sum),
        1 => activation.value(sum) + f64::from(*third),
        _ => sum * activation.slope(f64::from(*third)),
    };
    sums.into_iter().zip(third).map(finished).collect()
}

impl LinearProduct {
    /// Creates the product of a case's buffers.
    pub(super) fn of_case(buffers: &CaseBuffers, with_bias: bool, extra: usize) -> Result<Self> {
        let [x, weight, y] = buffers.views(["x", "weight", "y"])?;
        Ok(Self {
            x,
            weight,
            bias: with_bias.then(|| buffers.view("bias")).transpose()?,
            extra: match extra {
                0 => Extra::None,
                1 => Extra::Add(buffers.view("extra")?),
                _ => Extra::Slope(buffers.view("extra")?),
            },
            y,
        })
    }
}

fn product_case(
    variant: Variant,
    shape: &LinearShape,
    extra: usize,
    with_bias: bool,
    [weight_storage, y_storage]: [DType; 2],
) -> Case {
    let (rows, k, n) = (shape.rows.capacity as usize, shape.inner as usize, shape.columns as usize);
    let mut random = RandomInputs::new((rows * 31 + k * 7 + n) as u64);
    let (mut x, weight) = (random.floats(rows * k), random.floats(n * k));
    if [weight_storage, y_storage] == [DType::F32, DType::F16] {
        // Most outputs exceed the range of f16.
        x.iter_mut().for_each(|x| *x *= 3e5);
    }
    let (weight, stored_weight) = stored(weight, weight_storage);
    let (bias, third) = (random.floats(n), random.floats(rows * n));
    let sums = product_reference(&x, &weight, with_bias.then_some(&bias), shape);
    let expected = with_epilogue(sums, &third, extra, shape.activation);
    let spec = (shape.direction, shape.activation);
    let mut name = format!("({rows}, {k}, {n}) {spec:?} bias {with_bias} extra {extra}");
    for (what, storage) in [("weight", weight_storage), ("y", y_storage)] {
        name += &if storage == DType::F16 { format!(" f16 {what}") } else { String::new() };
    }
    // Rounding errors of a sequential sum of K terms grow like √K.
    let tolerance = 1e-6 * (1.0 + (k as f64).sqrt() / 4.0);
    let expected = match y_storage {
        DType::F32 => Expected::Near { values: expected, tolerance },
        DType::F16 => near_half(expected, tolerance),
    };
    let shape = shape.clone();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        LinearProduct::of_case(buffers, with_bias, extra)?.record_variant(plan, &shape, &variant)
    };
    Case {
        name,
        inputs: vec![("x", x.into()), ("weight", stored_weight), ("bias", bias.into()), ("extra", third.into())],
        outputs: vec![("y", expected)],
        record: Box::new(record),
    }
    .of_variant(&variant)
}
