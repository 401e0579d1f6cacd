//! Attention forward pass, out = softmax(q kᵀ / √D) v, for all queries of a sequence or a window of them.

use super::dropout::{self, AttentionMask};
use super::{
    AttentionShape, CLUSTER, attend, choose, dropout_class, groups, head_requirement, part, scale, taken, tiled,
    with_dropout,
};
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::tiled::is_default_of;
use crate::kernels::variant::{Variant, VariantSelector, Variants};
use crate::kernels::{kernel, record};

pub(super) static FORWARD: Kernel = kernel!("attention", "attention_forward");
pub(super) static FORWARD_SCALAR: Kernel = kernel!("attention", "attention_forward_scalar");

pub(super) static FORWARD_TILED: Kernel = kernel!("attention", "attention_forward_tiled");
pub(super) static FORWARD_WIDE: Kernel = kernel!("attention", "attention_forward_wide");
pub(super) static FORWARD_DECODE: Kernel = kernel!("attention", "attention_forward_decode");

pub(crate) static FORWARD_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: Variants { kernel: "attention_forward", least_lanes: CLUSTER, all: VARIANTS },
    class: |shape| {
        let queries = if shape.queries() == 1 { "one query of" } else { "" };
        format!("{queries} {}", dropout_class(shape)).trim().into()
    },
    rule: |gpu, shape| match choose(gpu, shape) {
        _ if is_default_of(gpu, &[shape.d]) => {
            // The variant for one query has no dropout.
            let least = if shape.dropout.is_some() { 2 } else { 1 };
            (Strategy::Tiled, tiled::forward(shape.d, shape.queries().max(least)), 1)
        }
        _ if shape.dropout.is_some() => with_dropout(gpu, 2, shape.d, shape.queries()),
        // The kernel needs few arrays, so software adapters have room for four queries, or two of wide heads.
        Strategy::Subgroup if gpu.is_software() && shape.d <= 64 && shape.queries() >= 4 * CLUSTER => {
            (Strategy::Subgroup, 4, 1)
        }
        Strategy::Subgroup if gpu.is_software() && shape.queries() >= 2 * CLUSTER => (Strategy::Subgroup, 2, 1),
        strategy => taken(gpu, strategy, [3, 2], shape.d, shape.queries()),
    },
    requirement: |_, shape, variant| match variant.name {
        _ if dropout::requirement(shape, variant).is_some() => dropout::requirement(shape, variant),
        "wide" => tiled::aligned(shape.d),
        "decode" if shape.queries() > 1 => Some(format!("one query, got {}", shape.queries())),
        "decode" => tiled::aligned(shape.d),
        _ if variant.strategy == Strategy::Tiled => tiled::requirement(variant.tile, shape.d, tiled::split(shape.d)),
        _ => head_requirement(shape.d, variant),
    },
};

/// Variants by number of queries per lane, in a cluster, scalar or in workgroup memory, and those for wide heads and for
/// one query.
const VARIANTS: &[Variant] = &[
    Variant::subgroup("cluster1", 1, 1),
    Variant::subgroup("cluster2", 2, 1),
    Variant::subgroup("cluster4", 4, 1),
    Variant::scalar("scalar1", 1),
    Variant::scalar("scalar2", 2),
    Variant::scalar("scalar4", 4),
    Variant::tiled("tiled1", 1).reduction_order(1),
    Variant::tiled("tiled2", 2).reduction_order(1),
    Variant::tiled("tiled4", 4).reduction_order(1),
    Variant::tiled("wide", tiled::WIDE).reduction_order(2).launching("attention_forward_wide"),
    Variant::tiled("decode", tiled::DECODE).reduction_order(3).launching("attention_forward_decode"),
];

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
        let mut spec = vec![("HEAD_DIM", shape.d), ("CACHE_BITS", self.qkv.storage().bits())];
        let mut params: Vec<(&str, Param)> = vec![
            ("samples", shape.b.capacity.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("first", shape.first().into()),
            ("queries", shape.queries().into()),
            ("causal", u32::from(shape.causal).into()),
            ("scale", scale(shape.d)),
            ("stride", shape.stride().into()),
            ("offset", shape.offset().into()),
        ];
        let (step, words) = dropout::step(shape, (&self.qkv, 1));
        if dropout::has_dropout(variant) {
            bindings.extend(bind!(step[words]));
            spec.push(dropout::constant(shape));
            params.extend(dropout::params(shape, &FORWARD)?);
        }
        let (kernel, groups) = match variant.strategy {
            Strategy::Subgroup => {
                spec.push(("QUERIES", variant.tile));
                (&FORWARD, groups(&shape.b, shape.queries(), shape.h, variant))
            }
            Strategy::Scalar | Strategy::Panel => {
                spec.push(("QUERIES", variant.tile));
                bindings.extend(bind!(qkv4 = self.qkv[shape.buffer_rows() * 3 * width]));
                (&FORWARD_SCALAR, groups(&shape.b, shape.queries(), shape.h, variant))
            }
            Strategy::Tiled if variant.tile == tiled::WIDE => {
                let columns = tiled::wide_columns(shape.d);
                spec.push(("COLUMNS", columns));
                params.extend(tiled::wide_params(shape.d));
                let tiles = shape.queries().div_ceil(tiled::wide_queries(columns));
                (&FORWARD_WIDE, shape.b.times(shape.h).groups(1, tiles.into()))
            }
            Strategy::Tiled if variant.tile == tiled::DECODE => {
                let group = tiled::decode_lanes(shape.t, shape.d);
                spec.push(("GROUP", group));
                (&FORWARD_DECODE, shape.b.times(shape.h).groups(tiled::DECODE_LANES / group, 1))
            }
            Strategy::Tiled => {
                let split = tiled::split(shape.d);
                let pairs = tiled::pairs(shape.queries().div_ceil(variant.tile).saturating_mul(split), shape.d);
                spec.extend([("QUERIES", variant.tile), ("PAIRS", pairs), ("SPLIT", split)]);
                params.push(("chunk", tiled::chunk(pairs, shape.d).into()));
                let tiles = shape.queries().div_ceil(tiled::LANES / pairs / split * variant.tile);
                (&FORWARD_TILED, shape.b.times(shape.h).groups(pairs, tiles.into()))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bindings,
            params: &params,
            groups,
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
    masked_forward_reference(qkv, shape, None)
}

/// The same with dropout of the probabilities.
pub fn masked_forward_reference(
    qkv: &[f64],
    shape: &AttentionShape,
    mask: Option<&AttentionMask>,
) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (mut out, mut lse) = (Vec::new(), Vec::new());
    for sample in 0..shape.b.capacity as usize {
        for position in shape.first() as usize..(shape.first() + shape.queries()) as usize {
            let keys = if shape.causal { position + 1 } else { t };
            for head in 0..h {
                let row = |j: usize| sample * shape.stride() as usize + shape.offset() as usize + j;
                let at = |j: usize, third| part(qkv, row(j), third, head, h, d);
                let factor = |j| mask.map_or(1.0, |mask| mask.factor([sample, head, position, j], h));
                let value = |j| at(j, 2).iter().map(|v| factor(j) * v).collect::<Vec<f64>>();
                let values: Vec<Vec<f64>> = (0..keys).map(value).collect();
                let keys: Vec<_> = values.iter().enumerate().map(|(j, value)| (at(j, 1), &value[..])).collect();
                let (row, total) = attend(at(position, 0), &keys);
                out.extend(row);
                lse.push(total);
            }
        }
    }
    (out, lse)
}
