//! Gradients of attention with respect to queries, keys and values.
//!
//! Short sequences take a single kernel. On software adapters it is `attention_backward_short` for 8 to 256 positions
//! and heads of width up to 32, which keeps p and the gradient of the scores in registers. On GPUs it is
//! `attention_backward_short_tiled` for up to 144 positions and heads whose width is a multiple of 4, which exchanges
//! them through workgroup memory. Other shapes take one kernel over queries and one over keys, on GPUs in workgroup
//! memory. No GPU has been measured: limits and tiles follow from what compilers of GPUs report.

use super::dropout::{self, AttentionMask};
use super::{
    AttentionShape, CLUSTER, LANES, choose, dropout_class, groups, head_requirement, masked_forward_reference, part,
    scale, taken, tiled, with_dropout,
};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Groups, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::tiled::{is_default, is_default_of};
use crate::kernels::variant::{Selection, Variant, VariantSelector, Variants};
use crate::kernels::{kernel, record};

pub(super) static BACKWARD_QUERY: Kernel = kernel!("attention", "attention_backward_query");
pub(super) static BACKWARD_QUERY_SCALAR: Kernel = kernel!("attention", "attention_backward_query_scalar");
pub(super) static BACKWARD_QUERY_TILED: Kernel = kernel!("attention", "attention_backward_query_tiled");
pub(super) static BACKWARD_KEY: Kernel = kernel!("attention", "attention_backward_key");
pub(super) static BACKWARD_KEY_SCALAR: Kernel = kernel!("attention", "attention_backward_key_scalar");
pub(super) static BACKWARD_KEY_TILED: Kernel = kernel!("attention", "attention_backward_key_tiled");
pub(super) static BACKWARD_SHORT: Kernel = kernel!("attention", "attention_backward_short");
pub(super) static BACKWARD_SHORT_TILED: Kernel = kernel!("attention", "attention_backward_short_tiled");

/// Maximum number of positions of a sequence that one cluster processes in a backward pass. Longer sequences are split
/// among clusters.
const SHORT: u32 = 256;

/// Maximum width of heads whose gradients fit into registers.
const SHORT_WIDTH: u32 = 32;

/// Maximum number of positions of a sequence whose backward pass on GPUs is a single kernel. One cluster processes a
/// head, so that longer sequences would occupy too few of them.
const TILED_SHORT: u32 = 144;

/// Maximum number of positions whose sums fit into the workgroup memory of `attention_backward_short_tiled`.
const TILED_LONGEST: u32 = 160;

/// Whether the backward pass is a single kernel: on GPUs for short sequences, on software adapters for heads whose
/// gradients fit into registers, if clusters pay off. Its reduction order differs from that of the other two kernels,
/// so it is not subject to tuning. Forcing a variant of either decides.
fn is_short(gpu: &Gpu, shape: &AttentionShape) -> bool {
    if BACKWARD_SHORT_SELECTOR.is_forced(gpu) || BACKWARD_QUERY_SELECTOR.is_forced(gpu) {
        return BACKWARD_SHORT_SELECTOR.is_forced(gpu);
    }
    if is_default(gpu) {
        return short_is_tiled(gpu, shape);
    }
    let clusters = shape.dropout.is_none() && choose(gpu, shape) == Strategy::Subgroup;
    (CLUSTER..=SHORT).contains(&shape.t) && shape.d <= SHORT_WIDTH && clusters
}

/// Variants of the kernels over queries and keys: as of the forward pass, and in workgroup memory.
const fn pair_variants(kernel: &'static str) -> Variants {
    const ALL: &[Variant] = &[
        Variant::subgroup("cluster1", 1, 1),
        Variant::subgroup("cluster2", 2, 1),
        Variant::scalar("scalar1", 1),
        Variant::scalar("scalar2", 2),
        Variant::scalar("scalar4", 4),
        Variant::tiled("tiled", 0).reduction_order(1),
    ];
    Variants { kernel, least_lanes: CLUSTER, all: ALL }
}

/// Selection of a rule for one of these kernels; `arrays` as for [`taken`]. On GPUs scalar variants have one query or
/// key per lane, because more do not fit into registers.
fn pair_rule(gpu: &Gpu, shape: &AttentionShape, arrays: [u32; 2]) -> Selection {
    match choose(gpu, shape) {
        _ if is_default(gpu) && (shape.dropout.is_none() || shape.d.is_multiple_of(4)) => (Strategy::Tiled, 0, 1),
        _ if shape.dropout.is_some() => with_dropout(gpu, arrays[1], shape.d, shape.t),
        Strategy::Scalar if !gpu.is_software() => (Strategy::Scalar, 1, 1),
        strategy => taken(gpu, strategy, arrays, shape.d, shape.t),
    }
}

/// Requirement of a variant of these kernels that the shape does not meet.
fn pair_requirement(_: &Gpu, shape: &AttentionShape, variant: &Variant) -> Option<String> {
    match variant.strategy {
        _ if dropout::requirement(shape, variant).is_some() => dropout::requirement(shape, variant),
        // With dropout, the binding of d_out for other widths is that of the step.
        Strategy::Tiled => shape.dropout.as_ref().and_then(|_| tiled::aligned(shape.d)),
        _ => head_requirement(shape.d, variant),
    }
}

pub(crate) static BACKWARD_QUERY_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: pair_variants("attention_backward_query"),
    class: dropout_class,
    rule: |gpu, shape| pair_rule(gpu, shape, [5, 3]),
    requirement: pair_requirement,
};
pub(crate) static BACKWARD_KEY_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: pair_variants("attention_backward_key"),
    class: dropout_class,
    rule: |gpu, shape| pair_rule(gpu, shape, [6, 4]),
    requirement: pair_requirement,
};
/// Selector of the number of keys per lane, or of the size of a tile, which determines the reduction order.
pub(crate) static BACKWARD_SHORT_SELECTOR: VariantSelector<AttentionShape> = VariantSelector {
    variants: Variants {
        kernel: "attention_backward_short",
        least_lanes: CLUSTER,
        all: &[
            Variant::subgroup("short1", 1, 1),
            Variant::subgroup("short2", 2, 1).reduction_order(1),
            Variant::tiled("tiled16", 16).reduction_order(2),
            Variant::tiled("tiled32", 32).reduction_order(3),
        ],
    },
    class: dropout_class,
    rule: |gpu, shape| {
        if short_is_tiled(gpu, shape) {
            return (Strategy::Tiled, if shape.t <= 16 { 16 } else { 32 }, 1);
        }
        // Two keys per lane halve the loads, but are half idle in the first block of a causal sequence.
        (Strategy::Subgroup, if gpu.is_software() && shape.t > CLUSTER { 2 } else { 1 }, 1)
    },
    requirement: short_requirement,
};

/// Requirement of a variant of the single kernel that the shape does not meet.
fn short_requirement(_: &Gpu, shape: &AttentionShape, variant: &Variant) -> Option<String> {
    if variant.strategy != Strategy::Tiled {
        let wide = || format!("heads of width {SHORT_WIDTH} at most, got {}", shape.d);
        let heads = (shape.d > SHORT_WIDTH).then(wide).or_else(|| head_requirement(shape.d, variant));
        return dropout::requirement(shape, variant).or(heads);
    }
    let longest = if variant.tile == 16 { 16 } else { TILED_LONGEST };
    let long = || format!("{longest} positions at most, got {}", shape.t);
    tiled::aligned(shape.d).or_else(|| (shape.t > longest).then(long))
}

/// Whether a GPU takes a tiled variant of the single kernel.
fn short_is_tiled(gpu: &Gpu, shape: &AttentionShape) -> bool {
    shape.t <= TILED_SHORT && is_default_of(gpu, &[shape.d])
}

/// Tile of a cluster of lanes, as in `shared/score_tile.wgsl`: number of rows, and vectors of a row of a head.
struct ScoreTile {
    size: u32,
    parts: u32,
}

impl ScoreTile {
    /// Vectors of a row in a tile.
    fn tile_parts(&self) -> u32 {
        match (self.size, self.parts) {
            (_, ..=8) => self.parts,
            (16, _) => 4,
            _ => 8,
        }
    }

    /// Clusters of a workgroup.
    fn clusters(&self) -> u32 {
        match (self.size, self.tile_parts()) {
            (16, 8) => 3,
            (16, _) => 4,
            _ => 1,
        }
    }

    /// Loop bounds that depend on the tile.
    fn params(&self) -> [(&'static str, Param); 3] {
        let (side, columns) = (self.size / 4, self.tile_parts().next_power_of_two());
        let slots = (self.size * columns / (side * side)).max(1);
        let splits = (side / columns).max(1);
        [("parts", self.parts.into()), ("loads", slots.div_ceil(4).into()), ("steps", (side / splits).into())]
    }
}

/// Tile of the tiled kernels over queries and keys, as in `shared/score_stream.wgsl`: vectors of a row.
struct StreamTile {
    parts: u32,
}

impl StreamTile {
    /// Workgroups of a head.
    fn groups(&self, count: u32) -> u32 {
        count.div_ceil(32) * self.parts.div_ceil(16)
    }

    /// Loop bounds that depend on the tile.
    fn params(&self) -> [(&'static str, Param); 2] {
        let columns = self.parts.next_power_of_two().min(16);
        let splits = 16 / columns;
        let group_rows = (256 / columns).min(64);
        [("parts", self.parts.into()), ("steps", (group_rows / splits / 4).into())]
    }
}

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

    fn params(shape: &AttentionShape) -> Vec<(&'static str, Param)> {
        vec![
            ("samples", shape.b.capacity.into()),
            ("tokens", shape.t.into()),
            ("heads", shape.h.into()),
            ("causal", u32::from(shape.causal).into()),
            ("scale", scale(shape.d)),
        ]
    }

    /// Parameters of the kernels over queries and keys.
    fn pair_params(shape: &AttentionShape, variant: &Variant) -> Result<Vec<(&'static str, Param)>> {
        let mut params = Self::params(shape);
        if variant.strategy == Strategy::Tiled {
            params.extend(StreamTile { parts: shape.d.div_ceil(4) }.params());
        }
        if dropout::has_dropout(variant) {
            params.extend(dropout::params(shape, &BACKWARD_QUERY)?);
        }
        Ok(params)
    }

    /// Grid of the kernels over queries and keys.
    fn pair_groups(shape: &AttentionShape, variant: &Variant) -> Groups {
        if variant.strategy == Strategy::Tiled {
            let groups = StreamTile { parts: shape.d.div_ceil(4) }.groups(shape.t);
            return shape.b.times(groups * shape.h).groups(1, 1);
        }
        groups(&shape.b, shape.t, shape.h, variant)
    }

    /// Constants of the kernels over queries and keys, which count those of a lane as `tile`.
    fn pair_spec(shape: &AttentionShape, variant: &Variant, tile: &'static str) -> Vec<(&'static str, u32)> {
        let mut spec = vec![("HEAD_DIM", shape.d)];
        if variant.strategy != Strategy::Tiled {
            spec.push((tile, variant.tile));
        }
        spec.extend(dropout::has_dropout(variant).then(|| dropout::constant(shape)));
        spec
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
        let mut params = Self::params(shape);
        let mut bindings = self.operands(shape);
        let (step, words) = dropout::step(shape, (&self.qkv, 1));
        let (kernel, spec, clusters) = if variant.strategy == Strategy::Tiled {
            let tile = ScoreTile { size: variant.tile, parts: shape.d / 4 };
            params.extend(tile.params());
            params.extend(dropout::params(shape, &BACKWARD_SHORT)?);
            bindings.extend(bind!(step[words]));
            let spec = vec![("HEAD_DIM", shape.d), ("TILE", tile.size), dropout::constant(shape)];
            (&BACKWARD_SHORT_TILED, spec, tile.clusters())
        } else {
            let whole = shape.t <= CLUSTER * variant.tile;
            let spec = vec![("HEAD_DIM", shape.d), ("KEYS", variant.tile), ("WHOLE", whole.into())];
            (&BACKWARD_SHORT, spec, LANES / CLUSTER)
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bindings,
            params: &params,
            groups: shape.b.times(shape.h).groups(clusters, 1),
            cost: Cost {
                flops: 10.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (8 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    pub(super) fn record_query(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let (step, words) = dropout::step(shape, (&self.d_out, rows * width));
        let mut bindings = self.operands(shape);
        let kernel = match variant.strategy {
            Strategy::Subgroup => &BACKWARD_QUERY,
            Strategy::Tiled => {
                bindings.retain(|bind| bind.name != "d_out");
                bindings.extend(bind!(words = step[words], d_out4 = self.d_out[rows * width]));
                &BACKWARD_QUERY_TILED
            }
            Strategy::Scalar | Strategy::Panel => {
                bindings.extend(bind!(step[words]));
                &BACKWARD_QUERY_SCALAR
            }
        };
        if variant.strategy != Strategy::Subgroup {
            bindings.extend(bind!(qkv4 = self.qkv[rows * 3 * width]));
        }
        plan.launch(&Launch {
            kernel,
            spec: &Self::pair_spec(shape, variant, "QUERIES"),
            bindings: &bindings,
            params: &Self::pair_params(shape, variant)?,
            groups: Self::pair_groups(shape, variant),
            cost: Cost {
                flops: 6.0 * shape.pairs() * f64::from(shape.d),
                bytes: 4.0 * (rows * (6 * width + 2 * heads)) as f64,
            },
            shape: shape.text(),
        })
    }

    pub(super) fn record_key(&self, plan: &mut Plan, shape: &AttentionShape, variant: &Variant) -> Result<()> {
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let (step, words) = dropout::step(shape, (&self.d_out, rows * width));
        let mut bindings = self.operands(shape);
        bindings.retain(|bind| bind.name != "out");
        let kernel = match variant.strategy {
            Strategy::Subgroup => &BACKWARD_KEY,
            Strategy::Tiled => {
                bindings.retain(|bind| bind.name != "d_out");
                bindings.extend(bind!(words = step[words]));
                &BACKWARD_KEY_TILED
            }
            Strategy::Scalar | Strategy::Panel => {
                bindings.extend(bind!(step[words]));
                &BACKWARD_KEY_SCALAR
            }
        };
        if variant.strategy != Strategy::Subgroup {
            bindings.extend(bind!(qkv4 = self.qkv[rows * 3 * width], d_out4 = self.d_out[rows * width]));
        }
        plan.launch(&Launch {
            kernel,
            spec: &Self::pair_spec(shape, variant, "KEYS"),
            bindings: &bindings,
            params: &Self::pair_params(shape, variant)?,
            groups: Self::pair_groups(shape, variant),
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
    masked_backward_reference(qkv, d_out, shape, None)
}

/// The same with dropout of the probabilities.
pub fn masked_backward_reference(
    qkv: &[f64],
    d_out: &[f64],
    shape: &AttentionShape,
    mask: Option<&AttentionMask>,
) -> (Vec<f64>, Vec<f64>) {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (out, lse) = masked_forward_reference(qkv, shape, mask);
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
                let factor = mask.map_or(1.0, |mask| mask.factor([row / t, head, position, key - first], h));
                let d_score = scale * p * (factor * dot(&slope, v) - product);
                for c in 0..d {
                    d_qkv[(3 * row * h + head) * d + c] += d_score * k[c];
                    d_qkv[((3 * key + 1) * h + head) * d + c] += d_score * q[c];
                    d_qkv[((3 * key + 2) * h + head) * d + c] += factor * p * slope[c];
                }
            }
        }
    }
    (d_qkv, delta)
}
