//! Test cases of [`crate::kernels::attention::linear::states`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::attention::cases::{random_qkv, window};
use crate::kernels::attention::linear::states::{BACKWARD_STATE, STATE, record, record_backward, state_reference};
use crate::kernels::attention::linear::{AttentionShape, chunk, features, slots, state_floats};
use crate::kernels::attention::part;
use crate::kernels::case::wide;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const STATE_ENTRY: Entry =
    Entry { kernel: &STATE, summary: "Σ φ(k) vᵀ and Σ φ(k) after chunks of positions", cases: state_cases };
pub(crate) const BACKWARD_STATE_ENTRY: Entry = Entry {
    kernel: &BACKWARD_STATE,
    summary: "Σ φ(q) gᵀ and Σ δ φ(q) of the positions after each chunk",
    cases: backward_cases,
};

/// Sequences of several chunks, incomplete last chunks, head widths with every remainder modulo 4, many samples.
const SHAPES: [[u32; 4]; 9] = [
    [1, 5, 1, 1],
    [3, 9, 2, 4],
    [2, 17, 3, 6],
    [2, 41, 5, 3],
    [2, 64, 2, 16],
    [1, 70, 2, 20],
    [1, 200, 1, 66],
    [1, 5000, 1, 4],
    [66_000, 5, 1, 4],
];

fn state_cases(gpu: &Gpu) -> Vec<Case> {
    let storages = [DType::F32, DType::F16].into_iter().filter(|s| *s == DType::F32 || has_half(gpu));
    let of_storage = |storage| {
        let later = [([3, 24, 2, 4], 2, 2), ([2, 70, 3, 6], 7, 1)];
        let whole = SHAPES.map(|shape| (shape, 0, slots(shape[1], shape[3])));
        whole.into_iter().chain(later).map(move |(shape, first, count)| state_case(shape, [first, count], storage))
    };
    storages.flat_map(of_storage).collect()
}

/// Case of the states of a window of chunks, for samples counted on the GPU. The other states must stay unchanged.
fn state_case([b, t, h, d]: [u32; 4], [first, count]: [u32; 2], storage: DType) -> Case {
    let shape = AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let (qkv, stored_qkv) = stored(random_qkv(&mut random, (b * t * 3 * h * d) as usize), storage);
    let qkv = wide(&qkv);
    let mut expected = Vec::new();
    for (sample, slot, head) in places(&shape) {
        let at = |j: usize, third| part(&qkv, sample * t as usize + j, third, head, h as usize, d as usize);
        let keys: Vec<_> = (0..(slot + 1) * chunk(d) as usize).map(|j| (features(at(j, 1)), at(j, 2))).collect();
        expected.extend(state_reference(d as usize, keys.iter().map(|(k, v)| (&k[..], *v, 1.0))));
    }
    // Only the states before the window are inputs.
    let each = (u64::from(h) * state_floats(d)) as usize;
    let given = |slot: usize| (slot as u32) < first;
    let slots = slots(t, d) as usize;
    let before: Vec<f32> = expected
        .iter()
        .enumerate()
        .map(|(at, value)| if given(at / each % slots) { *value as f32 } else { -1.0 })
        .collect();
    for (at, value) in expected.iter_mut().enumerate() {
        if at / each % slots >= (first + count) as usize {
            *value = -1.0;
        }
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let live = window(buffers.view("live")?, b);
        plan.write_indirect_args(&live.live)?;
        let shape = AttentionShape { b: live.into(), ..shape.clone() };
        let [qkv, states] = buffers.views(["qkv", "states"])?;
        record(plan, [&qkv, &states], &shape, [first, count])
    };
    let half = if storage == DType::F16 { " f16 qkv" } else { "" };
    Case {
        name: format!("({b}, {t}, {h}, {d}) chunks {first} + {count}{half}"),
        inputs: vec![("qkv", stored_qkv), ("live", vec![b + 3].into()), ("states", before.into())],
        outputs: vec![("states", Expected::Near { values: expected, tolerance: tolerance(t) })],
        record: Box::new(record),
    }
}

/// Tolerance of running sums, which round at every step.
pub(crate) fn tolerance(t: u32) -> f64 {
    3e-6 * (1.0 + f64::from(t) / 2048.0)
}

/// Sample, slot and head of every state, in memory order.
fn places(shape: &AttentionShape) -> Vec<(usize, usize, usize)> {
    let (slots, heads) = (slots(shape.t, shape.d) as usize, shape.h as usize);
    let all = shape.b.capacity as usize * slots * heads;
    (0..all).map(|i| (i / heads / slots, i / heads % slots, i % heads)).collect()
}

fn backward_cases(_: &Gpu) -> Vec<Case> {
    SHAPES.map(backward_case).into()
}

fn backward_case([b, t, h, d]: [u32; 4]) -> Case {
    let shape = AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() };
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let count = (b * t * h) as usize;
    let qkv = random_qkv(&mut random, 3 * count * d as usize);
    let d_out = random.floats(count * d as usize);
    // Denominators are positive.
    let sum: Vec<f32> = random.floats(count).into_iter().map(|v| 1.5 + v).collect();
    let delta = random.floats(count);
    let (wide_qkv, wide_d_out) = (wide(&qkv), wide(&d_out));
    let mut expected = Vec::new();
    for (sample, slot, head) in places(&shape) {
        let rows = (slot + 1) * chunk(d) as usize..t as usize;
        let terms: Vec<_> = rows
            .map(|i| {
                let row = sample * t as usize + i;
                let scalar = row * h as usize + head;
                let q = features(part(&wide_qkv, row, 0, head, h as usize, d as usize));
                let slope = &wide_d_out[scalar * d as usize..][..d as usize];
                let g: Vec<f64> = slope.iter().map(|v| v / f64::from(sum[scalar])).collect();
                (q, g, f64::from(delta[scalar]))
            })
            .collect();
        expected.extend(state_reference(d as usize, terms.iter().map(|(q, g, c)| (&q[..], &g[..], *c))));
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let live = window(buffers.view("live")?, b);
        plan.write_indirect_args(&live.live)?;
        let [qkv, d_out, sum, delta, states] = buffers.views(["qkv", "d_out", "sum", "delta", "states"])?;
        let shape = AttentionShape { b: live.into(), ..shape.clone() };
        record_backward(plan, [&qkv, &d_out, &sum, &delta, &states], &shape)
    };
    Case {
        name: format!("({b}, {t}, {h}, {d})"),
        inputs: vec![
            ("qkv", qkv.into()),
            ("d_out", d_out.into()),
            ("sum", sum.into()),
            ("delta", delta.into()),
            ("live", vec![b + 3].into()),
        ],
        outputs: vec![("states", Expected::Near { values: expected, tolerance: tolerance(t) })],
        record: Box::new(record),
    }
}
