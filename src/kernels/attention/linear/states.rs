//! Linear attention states after chunks of positions, for the forward and the backward pass.

use super::{AttentionShape, check, chunk, lanes, state_floats, states_of_sample};
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, View, bind};
use crate::kernels::kernel;

pub(super) static STATE: Kernel = kernel!("attention", "linear_attention_state");
pub(super) static BACKWARD_STATE: Kernel = kernel!("attention", "linear_attention_backward_state");

/// Number of lanes that share a state. A lane owns at most four rows and four parts of it.
fn lanes_of_state(d: u32) -> u32 {
    let parts = d.div_ceil(4);
    parts * parts.div_ceil(4)
}

fn cost(shape: &AttentionShape, positions: u32, floats_read: u64) -> Cost {
    let rows = u64::from(shape.b.capacity) * u64::from(positions);
    let states = u64::from(positions / chunk(shape.d)) * u64::from(shape.b.capacity) * u64::from(shape.h);
    Cost {
        flops: 2.0 * (rows * shape.width()) as f64 * f64::from(shape.d + 1),
        bytes: 4.0 * (rows * floats_read + states * state_floats(shape.d)) as f64,
    }
}

/// Records the states after chunks `first` to `first + count − 1`. The state before them must have been computed.
pub(super) fn record(
    plan: &mut Plan,
    [qkv, states]: [&View; 2],
    shape: &AttentionShape,
    [first, count]: [u32; 2],
) -> Result<()> {
    check(&STATE, shape)?;
    let bound = shape.rows() * 3 * shape.width();
    plan.launch(&Launch {
        kernel: &STATE,
        spec: &[("HEAD_DIM", shape.d), ("CACHE_BITS", qkv.storage().bits())],
        bindings: &bind!(qkv[bound], qkv4 = qkv[bound], states[elements(shape)]),
        params: &[
            ("samples", shape.b.capacity.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("chunk", chunk(shape.d).into()),
            ("first", first.into()),
            ("count", count.into()),
        ],
        groups: lanes(&shape.b, shape.h * lanes_of_state(shape.d)),
        cost: cost(shape, count * chunk(shape.d), 2 * shape.width()),
        shape: shape.text(),
    })
}

/// Number of floats of the states of all samples.
pub(super) fn elements(shape: &AttentionShape) -> u64 {
    u64::from(shape.b.capacity) * states_of_sample(shape)
}

/// Records the states of the backward pass from `qkv`, `d_out`, `sum` and `delta`.
pub(super) fn record_backward(
    plan: &mut Plan,
    [qkv, d_out, sum, delta, states]: [&View; 5],
    shape: &AttentionShape,
) -> Result<()> {
    let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
    plan.launch(&Launch {
        kernel: &BACKWARD_STATE,
        spec: &[("HEAD_DIM", shape.d)],
        bindings: &bind!(
            qkv[rows * 3 * width],
            qkv4 = qkv[rows * 3 * width],
            d_out[rows * width],
            d_out4 = d_out[rows * width],
            sum[rows * heads],
            delta[rows * heads],
            states[elements(shape)]
        ),
        params: &[
            ("samples", shape.b.capacity.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("chunk", chunk(shape.d).into()),
        ],
        groups: lanes(&shape.b, shape.h * lanes_of_state(shape.d)),
        cost: cost(shape, shape.t, 2 * shape.width() + 2 * heads),
        shape: shape.text(),
    })
}

/// Reference in f64 of a state in its memory layout: the sums of a bᵀ and c a over the positions of a head.
pub(super) fn state_reference<'a>(d: usize, positions: impl Iterator<Item = (&'a [f64], &'a [f64], f64)>) -> Vec<f64> {
    let padded = d.next_multiple_of(4);
    let mut state = vec![0.0; padded * (padded + 1)];
    for (a, b, c) in positions {
        for i in 0..d {
            (0..d).for_each(|j| state[i * padded + j] += a[i] * b[j]);
            state[padded * padded + i] += c * a[i];
        }
    }
    state
}
