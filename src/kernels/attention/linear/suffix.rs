//! Linear attention of suffixes changed by connected configurations, from the state of their sample before the change.

use super::forward::attend;
use super::states;
use super::{AttentionShape, check_positions, chunk, features, lanes};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, View, bind};
use crate::kernels::attention::{SuffixShape, check_heads, part};
use crate::kernels::{kernel, record};

pub(super) static SUFFIX: Kernel = kernel!("attention", "linear_attention_suffix");

record! {
    /// Linear attention of changed suffixes of sequences, from the states of their base sample. The suffix batch and
    /// the tables are those of [`crate::kernels::attention::AttentionSuffix`].
    #[derive(Debug, Clone)]
    pub struct LinearSuffix {
        /// (B·T, 3C) of the base samples, f32 or f16
        pub base_qkv: View,
        /// States of the base samples, from [`super::LinearForward`]
        pub states: View,
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

/// Number of parts of the values per lane. A state takes D vectors per part, and rows are loaded once for all parts.
/// GPUs have registers for one part; software adapters keep the state in memory in any case.
pub(super) fn values(gpu: &Gpu, d: u32) -> u32 {
    if gpu.is_software() && (5..=64).contains(&d) { 2 } else { 1 }
}

impl LinearSuffix {
    /// Records the kernel.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for heads wider than 128, more than [`super::most_positions`] positions, or a period
    /// shorter than a sample; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &SuffixShape) -> Result<()> {
        check_heads(&SUFFIX, shape.h, shape.d)?;
        check_positions(&SUFFIX, shape.t, shape.d)?;
        if shape.period != shape.t {
            let (period, t) = (shape.period, shape.t);
            let message = format!(
                "{}: expected whole samples of {t} positions, got parts of {period}; use softmax attention",
                SUFFIX.name
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let values = values(plan.gpu(), shape.d);
        self.record_values(plan, shape, values)
    }

    pub(super) fn record_values(&self, plan: &mut Plan, shape: &SuffixShape, values: u32) -> Result<()> {
        let width = u64::from(shape.h) * u64::from(shape.d);
        let base_elements = u64::from(shape.b) * u64::from(shape.t) * 3 * width;
        let rows = u64::from(shape.items.capacity) * u64::from(shape.per_item);
        let items = u64::from(shape.first_item) + u64::from(shape.items.capacity);
        let states = states::elements(&AttentionShape {
            b: shape.b.into(),
            t: shape.t,
            h: shape.h,
            d: shape.d,
            causal: true,
            ..Default::default()
        });
        plan.launch(&Launch {
            kernel: &SUFFIX,
            spec: &[("HEAD_DIM", shape.d), ("VALUES", values), ("CACHE_BITS", self.qkv.storage().bits())],
            bindings: &bind!(
                self.base_qkv[base_elements],
                base_qkv4 = self.base_qkv[base_elements],
                self.qkv[rows * 3 * width],
                qkv4 = self.qkv[rows * 3 * width],
                self.base[items],
                self.row_table[2 * u64::from(shape.per_item)],
                self.states[states],
                self.out[rows * width]
            ),
            params: &[
                ("items", shape.items.capacity.into()),
                ("per_item", shape.per_item.into()),
                ("first_item", shape.first_item.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("chunk", chunk(shape.d).into()),
                ("parts", shape.d.div_ceil(4).into()),
            ],
            groups: lanes(&shape.items, shape.per_item * shape.h * shape.d.div_ceil(4).div_ceil(values)),
            // The table is on the GPU; the cost assumes that no sequence has base keys between a state and its start.
            cost: Cost {
                flops: 4.0 * (rows * width) as f64 * f64::from(shape.d + 1),
                bytes: (self.qkv.storage().bytes() * (base_elements + rows * 3 * width) + 4 * (rows * width + states))
                    as f64,
            },
            shape: format!("({}, {}, {}, {}, {})", shape.items.capacity, shape.per_item, shape.t, shape.h, shape.d),
        })
    }
}

/// Reference in f64: out (items·per_item, C) of a [`LinearSuffix`]. `base` starts at the first item of the launch.
pub fn suffix_reference(
    base_qkv: &[f64],
    qkv: &[f64],
    base: &[u32],
    row_table: &[[u32; 2]],
    shape: &SuffixShape,
) -> Vec<f64> {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let (base_mapped, mapped) = (features(base_qkv), features(qkv));
    let mut out = Vec::new();
    for row in 0..(shape.items.capacity * shape.per_item) as usize {
        let (item, k) = (row / shape.per_item as usize, row % shape.per_item as usize);
        let [start, position] = row_table[k].map(|v| v as usize);
        for head in 0..h {
            let from_base = |j: usize| (base[item] as usize * t + j, &base_mapped[..], base_qkv);
            let from_item = |j: usize| (row - (position - j), &mapped[..], qkv);
            let keys = (0..=position).map(|j| {
                let (row, mapped, given) = if j < start { from_base(j) } else { from_item(j) };
                (part(mapped, row, 1, head, h, d), part(given, row, 2, head, h, d))
            });
            out.extend(attend(part(&mapped, row, 0, head, h, d), keys).0);
        }
    }
    out
}
