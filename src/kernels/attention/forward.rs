//! Attention forward pass, out = softmax(q kᵀ / √D) v, for all queries of a sequence or a window of them.

use super::{AttentionShape, CLUSTER, VARIANTS, attend, choose, class, groups, head_requirement, part, scale, taken};
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants};
use crate::kernels::{kernel, record};

pub(super) static FORWARD: Kernel = kernel!("attention", "attention_forward");
pub(super) static FORWARD_SCALAR: Kernel = kernel!("attention", "attention_forward_scalar");

pub(crate) static FORWARD_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: Variants { kernel: "attention_forward", least_lanes: CLUSTER, all: FORMS_FORWARD },
    class: |shape| {
        let queries = if shape.queries == 1 { "one query of" } else { "" };
        format!("{queries} {}", class(shape.t, shape.d)).trim().into()
    },
    rule: |gpu, shape| match choose(gpu, shape) {
        // The kernel needs few arrays, so software adapters have room for four queries.
        Strategy::Subgroup if gpu.is_software() && shape.d <= 64 && shape.queries >= 4 * CLUSTER => {
            (Strategy::Subgroup, 4, 1)
        }
        strategy => taken(gpu, strategy, [3, 2], shape.d, shape.queries),
    },
    requirement: |_, shape, variant| head_requirement(shape.d, variant),
};

/// Variants of the other kernels, plus four queries per lane of a cluster.
const FORMS_FORWARD: &[Variant] =
    &[VARIANTS[0], VARIANTS[1], Variant::subgroup("cluster4", 4, 1), VARIANTS[2], VARIANTS[3], VARIANTS[4]];

record! {
    /// Attention forward pass; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct AttentionForward {
        /// (B·T, 3C), or more rows with a stride, f32 or f16
        pub qkv: View,
        /// (B·n, C)
        pub out: View,
        /// (B·n, H): natural logarithm of the sum of exponentials, for the backward pass
        pub lse: View,
    }
}

impl AttentionForward {
    /// Records the kernel in the variant selected for its shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128 or queries outside the positions; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        shape.check(&FORWARD)?;
        let variant = FORWARD_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    pub(super) fn record_variant(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, query_rows, width) = (shape.rows(), shape.query_rows(), shape.width());
        let heads = u64::from(shape.h);
        let mut bindings = Vec::from(bind!(
            self.qkv[shape.buffer_rows() * 3 * width],
            self.out[query_rows * width],
            self.lse[query_rows * heads]
        ));
        let kernel = match variant.strategy {
            Strategy::Subgroup => &FORWARD,
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                bindings.extend(bind!(qkv4 = self.qkv[shape.buffer_rows() * 3 * width]));
                &FORWARD_SCALAR
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &[("HEAD_DIM", shape.d), ("QUERIES", variant.tile), ("CACHE_BITS", self.qkv.storage().bits())],
            bindings: &bindings,
            params: &[
                ("samples", shape.b.capacity.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("first", shape.first.into()),
                ("queries", shape.queries.into()),
                ("causal", u32::from(shape.causal).into()),
                ("scale", scale(shape.d)),
                ("stride", shape.stride.into()),
                ("offset", shape.offset.into()),
            ],
            groups: groups(&shape.b, shape.queries, shape.h, variant),
            cost: Cost {
                flops: 4.0 * shape.pairs() * f64::from(shape.d),
                bytes: (self.qkv.storage().bytes() * (2 * rows + query_rows) * width + 4 * query_rows * (width + heads))
                    as f64,
            },
            shape: shape.text(),
        })
    }
}

/// Reference in f64: out (B·n, C) and lse (B·n, H).
pub fn forward_reference(qkv: &[f64], shape: &AttentionShape) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (mut out, mut lse) = (Vec::new(), Vec::new());
    for sample in 0..shape.b.capacity as usize {
        for position in shape.first as usize..(shape.first + shape.queries) as usize {
            let keys = if shape.causal { position + 1 } else { t };
            for head in 0..h {
                let row = |j: usize| sample * shape.stride as usize + shape.offset as usize + j;
                let at = |j: usize, third| part(qkv, row(j), third, head, h, d);
                let keys: Vec<_> = (0..keys).map(|j| (at(j, 1), at(j, 2))).collect();
                let (row, total) = attend(at(position, 0), &keys);
                out.extend(row);
                lse.push(total);
            }
        }
    }
    (out, lse)
}
