//! Test cases of [`crate::kernels::linear::cooperative`].

use crate::error::Result;
use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::linear::cases::product::with_epilogue;
use crate::kernels::linear::cooperative::{COOPERATIVE, COOPERATIVE_8, fragment};
use crate::kernels::linear::{Activation, Direction, LinearProduct, LinearShape, product_reference};
use crate::kernels::nn::cases::cast_f16::stored;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const COOPERATIVE_ENTRY: Entry = Entry {
    kernel: &COOPERATIVE,
    summary: "y = act(x Wᵀ + b) + e from 16-bit weights, by cooperative matrices of 16 × 16",
    cases: |gpu| cases(gpu, 16),
};
pub(crate) const COOPERATIVE_8_ENTRY: Entry =
    Entry { kernel: &COOPERATIVE_8, summary: "the same by cooperative matrices of 8 × 8", cases: |gpu| cases(gpu, 8) };

fn cases(gpu: &Gpu, size: u32) -> Vec<Case> {
    if fragment(gpu, [4, 4]).is_none_or(|fragment| fragment.size != size) {
        return Vec::new();
    }
    cases_of(&[(1, 4, 4), (64, 32, 64), (65, 36, 68), (131, 2048, 32), (70_000, 4, 4)], LinearProduct::record)
}

pub(crate) type Record = fn(&LinearProduct, &mut Plan, &LinearShape) -> Result<()>;

pub(crate) fn cases_of(shapes: &[(u32, u32, u32)], record: Record) -> Vec<Case> {
    let activations = [Activation::None, Activation::Relu, Activation::Tanh, Activation::Gelu];
    let mut cases = Vec::new();
    for (i, (rows, inner, columns)) in shapes.iter().copied().enumerate() {
        for direction in [Direction::Forward, Direction::Backward] {
            for extra in 0..3 {
                let shape = LinearShape { direction, ..LinearShape::forward(rows, inner, columns) };
                cases.push(case(&shape.activated(activations[(i + extra) % 4]), extra, i % 3 != 1, record));
            }
        }
    }
    cases
}

fn case(shape: &LinearShape, extra: usize, with_bias: bool, record: Record) -> Case {
    let (rows, k, n) = (shape.rows.capacity as usize, shape.inner as usize, shape.columns as usize);
    let mut random = RandomInputs::new((rows * 31 + k * 7 + n) as u64);
    let (x, (exact_weight, weight)) = (random.floats(rows * k), stored(random.floats(n * k), DType::F16));
    let (bias, third) = (random.floats(n), random.floats(rows * n));
    let sums = product_reference(&stored(x.clone(), DType::F16).0, &exact_weight, with_bias.then_some(&bias), shape);
    let expected = with_epilogue(sums, &third, extra, shape.activation);
    let name = format!("({rows}, {k}, {n}) {:?} bias {with_bias} extra {extra}", (shape.direction, shape.activation));
    let shape = shape.clone();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        record(&LinearProduct::of_case(buffers, with_bias, extra)?, plan, &shape)
    };
    Case {
        name,
        inputs: vec![("x", x.into()), ("weight", weight), ("bias", bias.into()), ("extra", third.into())],
        // The inputs of the reference are cast to f16 too. Matrix units may truncate the last bits of sums instead of
        // rounding.
        outputs: vec![("y", Expected::Near { values: expected, tolerance: 4e-6 * (1.0 + (k as f64).sqrt() / 4.0) })],
        record: Box::new(record),
    }
}
