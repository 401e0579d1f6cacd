//! Test cases of [`crate::kernels::nn::rotary`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::case::wide;
use crate::kernels::nn::rotary::{ROTARY, Rotary, RotaryShape, rotary_reference, rotary_table};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry =
    Entry { kernel: &ROTARY, summary: "rotates queries and keys by angles of their positions", cases };

/// Rows, H, D, period, first, stride, offset.
const SHAPES: [(u32, u32, u32, u32, u32, u32, u32); 8] = [
    (1, 1, 2, 1, 0, 1, 0),
    (14, 3, 6, 7, 0, 1, 0),
    (17, 1, 10, 5, 3, 1, 2),
    (5, 4, 16, 1, 11, 13, 11),
    (128, 4, 32, 64, 0, 1, 0),
    (65, 2, 64, 64, 960, 1, 0),
    (3, 12, 128, 1, 1023, 4, 3),
    (70_000, 1, 2, 7, 0, 1, 0),
];

fn cases(_: &Gpu) -> Vec<Case> {
    SHAPES.into_iter().flat_map(|shape| [false, true].map(|reverse| case(shape, reverse))).collect()
}

fn case(
    (rows, heads, head_width, period, first, stride, offset): (u32, u32, u32, u32, u32, u32, u32),
    reverse: bool,
) -> Case {
    let shape = RotaryShape { rows: rows.into(), heads, head_width, period, first, stride, offset, reverse };
    let mut random = RandomInputs::new(u64::from(rows + heads + head_width));
    // The rows of a buffer after the last one that is rotated stay as they are.
    let qkv = random.floats((((rows - 1) * stride + offset + 2) * 3 * heads * head_width) as usize);
    let table = rotary_table((first + period) as usize, head_width as usize);
    let mut rotated = wide(&qkv);
    rotary_reference(&mut rotated, &table, &shape);
    let name =
        format!("({rows}, {heads}, {head_width}) period {period} first {first} stride {stride} reverse {reverse}");
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| Rotary::from_case(buffers)?.record(plan, &shape);
    Case {
        name,
        inputs: vec![("qkv", qkv.into()), ("table", table.into())],
        outputs: vec![("qkv", Expected::Near { values: rotated, tolerance: 2e-7 })],
        record: Box::new(record),
    }
}
