//! Linear attention forward pass, out = Sᵀ φ(q) / (z · φ(q)), for all queries of a sequence or a window of them.

use super::states;
use super::{AttentionShape, check, chunk, dot, features, lanes, rows_of_lane, slots};
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, View, bind};
use crate::kernels::attention::part;
use crate::kernels::{kernel, record};

pub(super) static FORWARD: Kernel = kernel!("attention", "linear_attention_forward");

record! {
    /// Linear attention forward pass; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct LinearForward {
        /// (B·T, 3C), f32 or f16
        pub qkv: View,
        /// [`super::states_of_sample`] floats per sample: the states after all chunks but the last
        pub states: View,
        /// (B·n, C)
        pub out: View,
        /// (B·n, H): denominators, for the backward pass
        pub sum: View,
    }
}

impl LinearForward {
    /// Records the states after the chunks that end in the window of queries, then the queries. Windows that share a
    /// buffer of states must follow each other, starting at position 0.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128, queries outside the positions, a shape that is not causal,
    /// or more than [`super::most_positions`] positions; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        check(&FORWARD, shape)?;
        let chunk = chunk(shape.d);
        let first = shape.first() / chunk;
        let end = ((shape.first() + shape.queries()) / chunk).min(slots(shape.t, shape.d));
        if first < end {
            states::record(plan, [&self.qkv, &self.states], shape, [first, end - first])?;
        }
        let queries = rows_of_lane(plan.gpu(), 2, shape.d, shape.queries());
        self.record_queries(plan, shape, queries)
    }

    pub(super) fn record_queries(&self, plan: &mut Plan, shape: &AttentionShape, queries: u32) -> Result<()> {
        let (rows, query_rows, width) = (shape.rows(), shape.query_rows(), shape.width());
        let heads = u64::from(shape.h);
        let tiles = (shape.first() + shape.queries() - 1) / queries - shape.first() / queries + 1;
        let (d, window) = (f64::from(shape.d), f64::from(chunk(shape.d).min(shape.t)));
        let state = if shape.t > chunk(shape.d) { d + 1.0 } else { 0.0 };
        plan.launch(&Launch {
            kernel: &FORWARD,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", queries), ("CACHE_BITS", self.qkv.storage().bits())],
            bindings: &bind!(
                self.qkv[rows * 3 * width],
                qkv4 = self.qkv[rows * 3 * width],
                self.states[states::elements(shape)],
                self.out[query_rows * width],
                self.sum[query_rows * heads]
            ),
            params: &[
                ("samples", shape.b.capacity.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("chunk", chunk(shape.d).into()),
                ("first", shape.first().into()),
                ("queries", shape.queries().into()),
                ("parts", shape.d.div_ceil(4).into()),
            ],
            groups: lanes(&shape.b, tiles * shape.h),
            cost: Cost {
                flops: (query_rows * width) as f64 * (2.0 * state + 2.0 * (window + 1.0)),
                bytes: (self.qkv.storage().bytes() * 3 * query_rows * width
                    + 4 * (query_rows * (width + heads) + states::elements(shape))) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// Reference in f64: out (B·n, C) and its denominators (B·n, H).
pub fn forward_reference(qkv: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let mapped = features(qkv);
    let (mut out, mut sum) = (Vec::new(), Vec::new());
    for sample in 0..shape.b.capacity as usize {
        for position in shape.first() as usize..(shape.first() + shape.queries()) as usize {
            for head in 0..h {
                let at = |values, j: usize, third| part(values, sample * t + j, third, head, h, d);
                let keys = (0..=position).map(|j| (at(&mapped, j, 1), at(qkv, j, 2)));
                let (row, total) = attend(at(&mapped, position, 0), keys);
                out.extend(row);
                sum.push(total);
            }
        }
    }
    (out, sum)
}

/// Reference in f64 of one φ(q) over φ(k) and v: output and denominator.
pub(super) fn attend<'a>(q: &[f64], keys: impl Iterator<Item = (&'a [f64], &'a [f64])>) -> (Vec<f64>, f64) {
    let (mut out, mut sum) = (vec![0.0; q.len()], 0.0);
    for (k, v) in keys {
        let weight = dot(q, k);
        sum += weight;
        out.iter_mut().zip(v).for_each(|(out, v)| *out += weight * v);
    }
    out.iter_mut().for_each(|out| *out /= sum);
    (out, sum)
}
