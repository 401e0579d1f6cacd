//! Test cases of [`crate::kernels::attention::linear::backward`].

use crate::error::Result;
use crate::gpu::{Gpu, Plan};
use crate::kernels::attention::cases::{narrow, random_qkv, window};
use crate::kernels::attention::linear::backward::{BACKWARD_KEY, BACKWARD_QUERY, LinearBackward, backward_reference};
use crate::kernels::attention::linear::cases::TILES;
use crate::kernels::attention::linear::cases::states::tolerance;
use crate::kernels::attention::linear::states;
use crate::kernels::attention::linear::{AttentionShape, forward_reference, slots};
use crate::kernels::case::wide;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};
use std::ops::Range;

pub(crate) const BACKWARD_QUERY_ENTRY: Entry =
    Entry { kernel: &BACKWARD_QUERY, summary: "d_q = φ'(q) (S g − δ z), linear attention", cases: query_cases };
pub(crate) const BACKWARD_KEY_ENTRY: Entry = Entry {
    kernel: &BACKWARD_KEY,
    summary: "d_k = φ'(k) (R v − w), d_v = Rᵀ φ(k), linear attention",
    cases: key_cases,
};

const SHAPES: [[u32; 4]; 11] = [
    [1, 1, 1, 1],
    [3, 5, 2, 4],
    [2, 17, 3, 8],
    [1, 37, 2, 20],
    [2, 13, 5, 3],
    [5, 16, 2, 16],
    [2, 33, 2, 16],
    [2, 19, 3, 6],
    [1, 150, 1, 66],
    [1, 4096, 1, 4],
    [66_000, 1, 1, 4],
];

fn query_cases(_: &Gpu) -> Vec<Case> {
    cases(LinearBackward::record_query, 0..1)
}

fn key_cases(_: &Gpu) -> Vec<Case> {
    cases(LinearBackward::record_key, 1..3)
}

type RecordBackward = fn(&LinearBackward, &mut Plan, &AttentionShape, u32) -> Result<()>;

/// Cases with few samples run with every number of rows per lane, cases with many with one number each, cycling through
/// them.
fn cases(record: RecordBackward, thirds: Range<usize>) -> Vec<Case> {
    let of_shape = |(i, shape): (usize, [u32; 4])| {
        let [b, t, _, d] = shape;
        let all = b < 1000 && t < 1000 && d <= 16;
        let tiles: Vec<u32> = if all { TILES.into() } else { vec![if d > 16 { 1 } else { TILES[i % 3] }] };
        let thirds = thirds.clone();
        tiles.into_iter().map(move |tile| case(shape, tile, record, thirds.clone()))
    };
    SHAPES.into_iter().enumerate().flat_map(of_shape).collect()
}

/// Case of a kernel on a window of samples counted on the GPU. The kernel writes `thirds` of the rows of d_qkv and must
/// leave the others unchanged. The kernel that writes the first third also writes delta.
fn case([b, t, h, d]: [u32; 4], tile: u32, record: RecordBackward, thirds: Range<usize>) -> Case {
    let shape = AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let qkv = random_qkv(&mut random, (b * t * 3 * h * d) as usize);
    let d_out = random.floats((b * t * h * d) as usize);
    let (out, sum) = forward_reference(&wide(&qkv), &shape);
    let (mut d_qkv, delta) = backward_reference(&wide(&qkv), &wide(&d_out), &shape);
    let before = random.floats(d_qkv.len());
    let width = (h * d) as usize;
    for (at, value) in d_qkv.iter_mut().enumerate() {
        if !thirds.contains(&(at % (3 * width) / width)) {
            *value = f64::from(before[at]);
        }
    }
    let near = |values| Expected::Near { values, tolerance: 4.0 * tolerance(t) };
    let mut inputs = vec![
        ("qkv", qkv.into()),
        ("out", narrow(&out).into()),
        ("sum", narrow(&sum).into()),
        ("d_out", d_out.into()),
        ("d_qkv", before.into()),
        ("live", vec![b + 3].into()),
    ];
    let mut outputs = vec![("d_qkv", near(d_qkv))];
    let queries = thirds.start == 0;
    if queries {
        outputs.push(("delta", near(delta)));
    } else {
        inputs.push(("delta", narrow(&delta).into()));
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let states = plan.gpu().buffer("states", states::elements(&shape))?.view();
        let attention = LinearBackward::from_case(&buffers.with("states", &states))?;
        let live = window(buffers.view("live")?, b);
        plan.write_indirect_args(&live.live)?;
        let shape = AttentionShape { b: live.into(), ..shape.clone() };
        let LinearBackward { qkv, d_out, sum, delta, .. } = &attention;
        if slots(t, d) > 0 {
            if queries {
                states::record(plan, [qkv, &states], &shape, [0, slots(t, d)])?;
            } else {
                states::record_backward(plan, [qkv, d_out, sum, delta, &states], &shape)?;
            }
        }
        record(&attention, plan, &shape, tile)
    };
    Case { name: format!("({b}, {t}, {h}, {d}), {tile} to a lane"), inputs, outputs, record: Box::new(record) }
}
