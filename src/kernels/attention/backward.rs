//! Gradients of attention with respect to queries, keys and values.
//!
//! Sequences of 8 to 256 positions with heads of width up to 32 take a single kernel, `attention_backward_short`, which
//! keeps p and the gradient of the scores in registers. Longer sequences and wider heads take one kernel over queries
//! and one over keys.

use super::{
    AttentionShape, CLUSTER, LANES, choose, class, forward_reference, groups, head_requirement, part, scale, taken,
    variants,
};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants};
use crate::kernels::{kernel, record};

pub(super) static BACKWARD_QUERY: Kernel = kernel!("attention", "attention_backward_query");
pub(super) static BACKWARD_QUERY_SCALAR: Kernel = kernel!("attention", "attention_backward_query_scalar");
pub(super) static BACKWARD_KEY: Kernel = kernel!("attention", "attention_backward_key");
pub(super) static BACKWARD_KEY_SCALAR: Kernel = kernel!("attention", "attention_backward_key_scalar");
pub(super) static BACKWARD_SHORT: Kernel = kernel!("attention", "attention_backward_short");

/// Maximum number of positions of a sequence that one cluster processes in a backward pass. Longer sequences are split
/// among clusters.
const SHORT: u32 = 256;

/// Maximum width of heads whose gradients fit into registers.
const SHORT_WIDTH: u32 = 32;

/// Whether the backward pass is a single kernel: for heads whose gradients fit into registers, if clusters pay off. Its
/// reduction order differs from that of the other two kernels, so it is not subject to tuning. Forcing a variant of
/// either decides.
fn is_short(gpu: &Gpu, shape: &AttentionShape) -> bool {
    if BACKWARD_SHORT_SELECTOR.is_forced(gpu) || BACKWARD_QUERY_SELECTOR.is_forced(gpu) {
        return BACKWARD_SHORT_SELECTOR.is_forced(gpu);
    }
    (CLUSTER..=SHORT).contains(&shape.t) && shape.d <= SHORT_WIDTH && choose(gpu, shape) == Strategy::Subgroup
}

pub(crate) static BACKWARD_QUERY_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: variants("attention_backward_query"),
    class: |shape| class(shape.t, shape.d),
    rule: |gpu, shape| taken(gpu, choose(gpu, shape), [5, 3], shape.d, shape.t),
    requirement: |_, shape, variant| head_requirement(shape.d, variant),
};
pub(crate) static BACKWARD_KEY_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: variants("attention_backward_key"),
    class: |shape| class(shape.t, shape.d),
    rule: |gpu, shape| taken(gpu, choose(gpu, shape), [6, 4], shape.d, shape.t),
    requirement: |_, shape, variant| head_requirement(shape.d, variant),
};
/// Selector of the number of keys per lane, which determines the reduction order of a query's gradient.
pub(crate) static BACKWARD_SHORT_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: Variants {
        kernel: "attention_backward_short",
        least_lanes: CLUSTER,
        all: &[Variant::subgroup("short1", 1, 1), Variant::subgroup("short2", 2, 1).reduction_order(1)],
    },
    class: |shape| class(shape.t, shape.d),
    // Two keys per lane halve the loads, but are half idle in the first block of a causal sequence.
    rule: |gpu, shape| (Strategy::Subgroup, if gpu.is_software() && shape.t > CLUSTER { 2 } else { 1 }, 1),
    requirement: |_, shape, variant| {
        let wide = shape.d > SHORT_WIDTH;
        if wide {
            Some(format!("heads of width {SHORT_WIDTH} at most, got {}", shape.d))
        } else {
            head_requirement(shape.d, variant)
        }
    },
};

record! {
    /// Attention backward pass, see the module documentation: `attention_backward_short`, or for long sequences and
    /// wide heads `attention_backward_query` followed by `attention_backward_key`.
    #[derive(Debug, Clone)]
    pub struct AttentionBackward {
        /// (B·T, 3C)
        pub qkv: View,
        /// (B·T, C) from the forward pass
        pub out: View,
        /// (B·T, H) from the forward pass
        pub lse: View,
        /// (B·T, C)
        pub d_out: View,
        /// (B·T, H), scratch for δ
        pub delta: View,
        /// (B·T, 3C)
        pub d_qkv: View,
    }
}

impl AttentionBackward {
    /// Records the single kernel for short sequences, otherwise the other two, in the variants selected for the shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128 or a shape whose queries are not all positions; as
    /// [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        if is_short(plan.gpu(), shape) {
            shape.check_whole(&BACKWARD_SHORT)?;
            let variant = BACKWARD_SHORT_SELECTOR.take(plan.gpu(), shape)?;
            return self.record_short(plan, shape, variant);
        }
        shape.check_whole(&BACKWARD_QUERY)?;
        let variant = BACKWARD_QUERY_SELECTOR.take(plan.gpu(), shape)?;
        self.record_query(plan, shape, variant)?;
        let variant = BACKWARD_KEY_SELECTOR.take(plan.gpu(), shape)?;
        self.record_key(plan, shape, variant)
    }

    fn params(shape: &AttentionShape) -> [(&'static str, Param); 5] {
        [
            ("samples", shape.b.capacity.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("causal", u32::from(shape.causal).into()),
            ("scale", scale(shape.d)),
        ]
    }

    /// Bindings of the kernels. The kernel over keys uses all but `out`.
    fn operands(&self, shape: &AttentionShape) -> Vec<Bind<'_>> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        Vec::from(bind!(
            self.qkv[rows * 3 * width],
            self.out[rows * width],
            self.lse[rows * heads],
            self.d_out[rows * width],
            self.d_qkv[rows * 3 * width],
            self.delta[rows * heads]
        ))
    }

    pub(super) fn record_short(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        plan.launch(&Launch {
            kernel: &BACKWARD_SHORT,
            spec: &[
                ("HEAD_DIM", shape.d),
                ("KEYS", variant.tile),
                ("WHOLE", (shape.t <= CLUSTER * variant.tile).into()),
            ],
            bindings: &self.operands(shape),
            params: &Self::params(shape),
            groups: shape.b.times(shape.h).groups(LANES / CLUSTER, 1),
            cost: Cost {
                flops: 10.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (8 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    pub(super) fn record_query(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = self.operands(shape);
        let kernel = match variant.strategy {
            Strategy::Subgroup => &BACKWARD_QUERY,
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                bindings.extend(bind!(qkv4 = self.qkv[rows * 3 * width]));
                &BACKWARD_QUERY_SCALAR
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", variant.tile)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups: groups(&shape.b, shape.t, shape.h, variant),
            cost: Cost {
                flops: 6.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    pub(super) fn record_key(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let mut bindings = self.operands(shape);
        bindings.retain(|bind| bind.name != "out");
        let kernel = match variant.strategy {
            Strategy::Subgroup => &BACKWARD_KEY,
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                bindings.extend(bind!(qkv4 = self.qkv[rows * 3 * width], d_out4 = self.d_out[rows * width]));
                &BACKWARD_KEY_SCALAR
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("KEYS", variant.tile)],
            bindings: &bindings,
            params: &Self::params(shape),
            groups: groups(&shape.b, shape.t, shape.h, variant),
            cost: Cost {
                flops: 8.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// Reference in f64: d_qkv (B·T, 3C) and delta (B·T, H).
pub fn backward_reference(qkv: &[f64], d_out: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (out, lse) = forward_reference(qkv, shape);
    let scale = 1.0 / (d as f64).sqrt();
    let mut d_qkv = vec![0.0; qkv.len()];
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let head_of = |values: &'_ [f64], row: usize, head: usize| values[(row * h + head) * d..][..d].to_vec();
    let mut delta = Vec::new();
    for row in 0..shape.b.capacity as usize * t {
        let (first, position) = (row - row % t, row % t);
        let end = first + if shape.causal { position + 1 } else { t };
        for head in 0..h {
            let (q, slope) = (part(qkv, row, 0, head, h, d), head_of(d_out, row, head));
            let product = dot(&slope, &head_of(&out, row, head));
            delta.push(product);
            for key in first..end {
                let (k, v) = (part(qkv, key, 1, head, h, d), part(qkv, key, 2, head, h, d));
                let p = (scale * dot(q, k) - lse[row * h + head]).exp();
                let d_score = scale * p * (dot(&slope, v) - product);
                for c in 0..d {
                    d_qkv[(3 * row * h + head) * d + c] += d_score * k[c];
                    d_qkv[((3 * key + 1) * h + head) * d + c] += d_score * q[c];
                    d_qkv[((3 * key + 2) * h + head) * d + c] += p * slope[c];
                }
            }
        }
    }
    (d_qkv, delta)
}
