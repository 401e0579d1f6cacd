//! Attention of suffixes changed by connected configurations, over the prefix that they share with their sample.

use super::{
    CLUSTER, attend, check_heads, class, cluster, compiles_long, groups, head_requirement, part, scale, taken, tiled,
};
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Param, Plan, Rows, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::tiled::is_default_of;
use crate::kernels::variant::{Variant, VariantSelector, Variants};
use crate::kernels::{kernel, record};

pub(super) static SUFFIX: Kernel = kernel!("attention", "attention_suffix");
pub(super) static SUFFIX_SCALAR: Kernel = kernel!("attention", "attention_suffix_scalar");
pub(super) static SUFFIX_TILED: Kernel = kernel!("attention", "attention_suffix_tiled");
pub(super) static SUFFIX_WIDE: Kernel = kernel!("attention", "attention_suffix_wide");

/// Faster strategy for suffixes, whose clusters also process rows of other sequences.
fn choose_suffix(gpu: &Gpu, shape: &SuffixShape) -> Strategy {
    let pays = shape.t >= 2 * CLUSTER && shape.d >= 8 || compiles_long(gpu, shape.d);
    if pays { cluster(gpu, shape.d) } else { Strategy::Scalar }
}

pub(crate) static SUFFIX_SELECTOR: VariantSelector<SuffixShape> = VariantSelector {
    variants: Variants { kernel: "attention_suffix", least_lanes: CLUSTER, all: VARIANTS },
    class: |shape| class(shape.t, shape.d),
    rule: |gpu, shape| {
        if is_default_of(gpu, &[shape.d]) {
            return (Strategy::Tiled, tiled::suffix(shape.d, shape.per_item), 1);
        }
        taken(gpu, choose_suffix(gpu, shape), [3, 2], shape.d, shape.per_item)
    },
    requirement: |_, shape, variant| match variant.name {
        _ if variant.strategy == Strategy::Tiled && shape.t > 1 << 15 => {
            Some(format!("samples of at most 32768 positions, got {}", shape.t))
        }
        "wide" => tiled::aligned(shape.d),
        _ => head_requirement(shape.d, variant),
    },
};

/// Variants by number of queries per lane, in a cluster, scalar or in workgroup memory, and the one for wide heads.
const VARIANTS: &[Variant] = &[
    Variant::subgroup("cluster1", 1, 1),
    Variant::subgroup("cluster2", 2, 1),
    Variant::scalar("scalar1", 1),
    Variant::scalar("scalar2", 2),
    Variant::scalar("scalar4", 4),
    Variant::tiled("tiled1", 1).reduction_order(1),
    Variant::tiled("tiled2", 2).reduction_order(1),
    Variant::tiled("wide", tiled::WIDE).reduction_order(2).launching("attention_suffix_wide"),
];

record! {
    /// Attention of changed suffixes of sequences over the unchanged prefix of their base sample.
    ///
    /// Row r = u·per_item + k of the suffix batch belongs to item u. For each k, `row_table` contains the first changed
    /// position s and the position p ≥ s of the row. The rows of a sequence are consecutive and start with p = s. Keys
    /// and values for j < s come from the base sample, those for s ≤ j ≤ p from the suffix batch. Only keys of the
    /// row's own part of `period` positions count: j ≥ p − p mod period.
    #[derive(Debug, Clone)]
    pub struct AttentionSuffix {
        /// (B·T, 3C) of the base samples, f32 or f16
        pub base_qkv: View,
        /// (items·per_item, 3C), of the same type as `base_qkv`
        pub qkv: View,
        /// Base sample of item `first_item` + u, u32 (first_item + items)
        pub base: View,
        /// (per_item, 2), u32: s, p
        pub row_table: View,
        /// (items·per_item, C)
        pub out: View,
    }
}

/// Shape of an [`AttentionSuffix`].
#[derive(Debug, Clone)]
pub struct SuffixShape {
    /// Items of this launch, each with `per_item` rows of the suffix batch. Dynamic rows must have one row per item.
    pub items: Rows,
    /// Number of rows of the suffix batch per item.
    pub per_item: u32,
    /// Index in `base` of the first item of this launch.
    pub first_item: u32,
    /// Number of base samples B.
    pub b: u32,
    /// Number of positions T of a sample.
    pub t: u32,
    /// Number of positions of a part that is an independent sequence; T if the whole sample is one sequence.
    pub period: u32,
    /// Number of heads H.
    pub h: u32,
    /// Head width D, 1 to 128.
    pub d: u32,
}

impl AttentionSuffix {
    /// Records the kernel in the variant selected for its shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &SuffixShape) -> Result<()> {
        check_heads(&SUFFIX, shape.h, shape.d)?;
        let variant = SUFFIX_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    pub(super) fn record_variant(&self, plan: &mut Plan, shape: &SuffixShape, variant: &Variant) -> Result<()> {
        let width = u64::from(shape.h) * u64::from(shape.d);
        let base_elements = u64::from(shape.b) * u64::from(shape.t) * 3 * width;
        let rows = u64::from(shape.items.capacity) * u64::from(shape.per_item);
        let items = u64::from(shape.first_item) + u64::from(shape.items.capacity);
        let mut bindings = Vec::from(bind!(
            self.base_qkv[base_elements],
            self.qkv[rows * 3 * width],
            self.base[items],
            self.row_table[2 * u64::from(shape.per_item)],
            self.out[rows * width]
        ));
        let mut spec = vec![("HEAD_DIM", shape.d), ("CACHE_BITS", self.qkv.storage().bits())];
        let mut params: Vec<(&str, Param)> = vec![
            ("items", shape.items.capacity.into()),
            ("per_item", shape.per_item.into()),
            ("first_item", shape.first_item.into()),
            ("tokens", shape.t.into()),
            ("period", shape.period.into()),
            ("heads", shape.h.into()),
            ("scale", scale(shape.d)),
        ];
        let (kernel, groups) = match variant.strategy {
            Strategy::Subgroup => {
                spec.push(("QUERIES", variant.tile));
                (&SUFFIX, groups(&shape.items, shape.per_item, shape.h, variant))
            }
            Strategy::Scalar | Strategy::Panel => {
                spec.push(("QUERIES", variant.tile));
                bindings.extend(bind!(base_qkv4 = self.base_qkv[base_elements], qkv4 = self.qkv[rows * 3 * width]));
                (&SUFFIX_SCALAR, groups(&shape.items, shape.per_item, shape.h, variant))
            }
            Strategy::Tiled if variant.tile == tiled::WIDE => {
                let columns = tiled::wide_columns(shape.d);
                spec.push(("COLUMNS", columns));
                params.extend(tiled::wide_params(shape.d));
                let tiles = shape.per_item.div_ceil(tiled::wide_queries(columns));
                (&SUFFIX_WIDE, shape.items.groups(1, u64::from(shape.h) * u64::from(tiles)))
            }
            Strategy::Tiled => {
                let pairs = tiled::suffix_pairs(shape.per_item.div_ceil(variant.tile), shape.h, shape.d);
                spec.extend([("QUERIES", variant.tile), ("PAIRS", pairs)]);
                let tiles = shape.per_item.div_ceil(tiled::LANES / pairs * variant.tile);
                let of_item = u64::from(shape.h.div_ceil(pairs)) * u64::from(tiles);
                (&SUFFIX_TILED, shape.items.groups(1, of_item))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bindings,
            params: &params,
            groups,
            // The table is on the GPU; the cost assumes that every row is in the middle of its sequence.
            cost: Cost {
                flops: 2.0 * (rows * width) as f64 * f64::from(shape.period),
                bytes: (self.qkv.storage().bytes() * (base_elements + rows * 3 * width) + 4 * rows * width) as f64,
            },
            shape: format!("({}, {}, {}, {}, {})", shape.items.capacity, shape.per_item, shape.t, shape.h, shape.d),
        })
    }
}
/// Reference in f64: out (items·per_item, C) of an [`AttentionSuffix`]. `base` starts at the first item of the launch.
pub fn suffix_reference(
    base_qkv: &[f64],
    qkv: &[f64],
    base: &[u32],
    row_table: &[[u32; 2]],
    shape: &SuffixShape,
) -> Vec<f64> {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let mut out = Vec::new();
    for row in 0..(shape.items.capacity * shape.per_item) as usize {
        let (item, k) = (row / shape.per_item as usize, row % shape.per_item as usize);
        let [start, position] = row_table[k].map(|v| v as usize);
        for head in 0..h {
            let at = |j: usize, third| {
                if j < start {
                    part(base_qkv, base[item] as usize * t + j, third, head, h, d)
                } else {
                    part(qkv, row - (position - j), third, head, h, d)
                }
            };
            let first = position - position % shape.period as usize;
            let keys: Vec<_> = (first..=position).map(|j| (at(j, 1), at(j, 2))).collect();
            out.extend(attend(at(position, 0), &keys).0);
        }
    }
    out
}
