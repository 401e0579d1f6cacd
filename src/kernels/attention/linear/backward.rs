//! Gradients of linear attention with respect to queries, keys and values.

use super::states;
use super::{AttentionShape, check, chunk, dot, features, forward_reference, lanes, rows_of_lane, slots};
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::attention::part;
use crate::kernels::{kernel, record};

pub(super) static BACKWARD_QUERY: Kernel = kernel!("attention", "linear_attention_backward_query");
pub(super) static BACKWARD_KEY: Kernel = kernel!("attention", "linear_attention_backward_key");

record! {
    /// Linear attention backward pass; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct LinearBackward {
        /// (B·T, 3C)
        pub qkv: View,
        /// (B·T, C) from the forward pass
        pub out: View,
        /// (B·T, H) from the forward pass
        pub sum: View,
        /// (B·T, C)
        pub d_out: View,
        /// (B·T, H), scratch for δ
        pub delta: View,
        /// Scratch of [`super::states_of_sample`] floats per sample: first the recomputed states of the forward pass,
        /// then those of the backward pass.
        pub states: View,
        /// (B·T, 3C)
        pub d_qkv: View,
    }
}

impl LinearBackward {
    /// Records the kernels.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128, a shape whose queries are not all positions or that is not
    /// causal, or more than [`super::most_positions`] positions; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        shape.check_whole(&BACKWARD_QUERY)?;
        check(&BACKWARD_QUERY, shape)?;
        let slots = slots(shape.t, shape.d);
        if slots > 0 {
            states::record(plan, [&self.qkv, &self.states], shape, [0, slots])?;
        }
        let [queries, keys] = [2, 4].map(|arrays| rows_of_lane(plan.gpu(), arrays, shape.d, shape.t));
        self.record_query(plan, shape, queries)?;
        if slots > 0 {
            let read = [&self.qkv, &self.d_out, &self.sum, &self.delta, &self.states];
            states::record_backward(plan, read, shape)?;
        }
        self.record_key(plan, shape, keys)
    }

    fn params(shape: &AttentionShape) -> [(&'static str, Param); 5] {
        [
            ("samples", shape.b.capacity.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("chunk", chunk(shape.d).into()),
            ("parts", shape.d.div_ceil(4).into()),
        ]
    }

    /// Cost of `products` products of a query and a key, and as many with a state.
    fn cost(shape: &AttentionShape, products: f64) -> Cost {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let chunk = f64::from(chunk(shape.d).min(shape.t));
        let state = if shape.t > self::chunk(shape.d) { f64::from(shape.d + 1) } else { 0.0 };
        Cost {
            flops: products * (rows * width) as f64 * (0.5 * (chunk + 1.0) + 0.5 * state),
            bytes: 4.0 * (rows * (6 * width + 2 * heads) + states::elements(shape)) as f64,
        }
    }

    pub(super) fn record_query(&self, plan: &mut Plan, shape: &AttentionShape, queries: u32) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        plan.launch(&Launch {
            kernel: &BACKWARD_QUERY,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", queries)],
            bindings: &bind!(
                self.qkv[rows * 3 * width],
                qkv4 = self.qkv[rows * 3 * width],
                self.states[states::elements(shape)],
                self.out[rows * width],
                self.sum[rows * heads],
                self.d_out[rows * width],
                self.d_qkv[rows * 3 * width],
                self.delta[rows * heads]
            ),
            params: &Self::params(shape),
            groups: lanes(&shape.b, shape.t.div_ceil(queries) * shape.h),
            cost: Self::cost(shape, 4.0),
            shape: shape.text(),
        })
    }

    pub(super) fn record_key(&self, plan: &mut Plan, shape: &AttentionShape, keys: u32) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        plan.launch(&Launch {
            kernel: &BACKWARD_KEY,
            spec: &[("HEAD_DIM", shape.d), ("KEYS", keys)],
            bindings: &bind!(
                self.qkv[rows * 3 * width],
                qkv4 = self.qkv[rows * 3 * width],
                self.d_out[rows * width],
                d_out4 = self.d_out[rows * width],
                self.sum[rows * heads],
                self.delta[rows * heads],
                self.states[states::elements(shape)],
                self.d_qkv[rows * 3 * width]
            ),
            params: &Self::params(shape),
            groups: lanes(&shape.b, shape.t.div_ceil(keys) * shape.h),
            cost: Self::cost(shape, 8.0),
            shape: shape.text(),
        })
    }
}

/// Reference in f64: d_qkv (B·T, 3C) and delta (B·T, H).
pub fn backward_reference(qkv: &[f64], d_out: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (out, sum) = forward_reference(qkv, shape);
    let slope = |x: f64| if x < -30.0 { 0.0 } else { super::feature(x).min(1.0) };
    let mut d_qkv = vec![0.0; qkv.len()];
    let mut delta = Vec::new();
    for row in 0..shape.b.capacity as usize * t {
        for head in 0..h {
            let at = (row * h + head) * d;
            let g: Vec<f64> = d_out[at..at + d].iter().map(|v| v / sum[row * h + head]).collect();
            let product = dot(&g, &out[at..at + d]);
            delta.push(product);
            let q = part(qkv, row, 0, head, h, d);
            let query = features(q);
            for key in row - row % t..=row {
                let (k, v) = (part(qkv, key, 1, head, h, d), part(qkv, key, 2, head, h, d));
                let features = features(k);
                let (weight, d_weight) = (dot(&query, &features), dot(&g, v) - product);
                for c in 0..d {
                    d_qkv[(3 * row * h + head) * d + c] += d_weight * features[c] * slope(q[c]);
                    d_qkv[((3 * key + 1) * h + head) * d + c] += d_weight * query[c] * slope(k[c]);
                    d_qkv[((3 * key + 2) * h + head) * d + c] += weight * g[c];
                }
            }
        }
    }
    (d_qkv, delta)
}
