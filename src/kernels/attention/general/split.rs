//! Forward pass of general attention for few queries and many keys: sums over splits of the keys, and their merge.
//!
//! ```text
//! part_is = Σ_{j in split s} exp(s_ij − m_is) v_j      sum_is = Σ_{j in split s} exp(s_ij − m_is)      m_is = max_{j in split s} s_ij
//! out_i   = Σ_s exp(m_is − m_i) part_is / Σ_s exp(m_is − m_i) sum_is                                 m_i  = max_s m_is
//! ```
//!
//! Flash-decoding (Dao, Haziza, Massa and Sizov, 2023, <https://pytorch.org/blog/flash-decoding>). A decoding step has one
//! query per head: a kernel that owns queries runs in as many workgroups or invocations as there are heads, however long
//! the cache is. Splits have [`KEYS`] keys on every adapter, from the first key that a query of the sample sees on, so that
//! the order of the sums depends on the keys that are seen only. Heads of a group share the loads of their keys and values.

use super::{GeneralForward, GeneralShape, Operands};
use crate::error::Result;
use crate::gpu::{Cost, DType, Groups, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static SPLIT: Kernel = kernel!("attention", "attention_general_forward_split");
pub(super) static MERGE: Kernel = kernel!("attention", "attention_general_forward_merge");

/// Keys of a split, as in the source.
pub(super) const KEYS: u32 = 128;
/// Maximum number of rows of a workgroup.
pub(super) const MOST_ROWS: u32 = 4;
/// Vectors of a query for which the source has room at least.
const LEAST_PARTS: u32 = 16;
/// Columns of a workgroup of the merge, as in the source.
const MERGED_COLUMNS: u32 = 16;
/// Keys of the splits that the merge adds at a time, 64 as in the source.
pub(super) const MERGE_KEYS: u32 = 64 * KEYS;
/// Loop iterations of an invocation for them: for the maximum, for the sum of its share of the splits, and the outer one.
pub(super) const MERGE_ITERATIONS: u32 = 64 + 64 / 4 + 1;

record! {
    /// Scratch of the splits.
    #[derive(Debug, Clone)]
    pub(in crate::kernels) struct Splits {
        /// (B, H, Tq, splits, Dv)
        pub(super) part: View,
        /// (B, H, Tq, splits, 2): m in units of log 2, and sum
        pub(super) part_sum: View,
    }
}

impl GeneralShape {
    /// Maximum number of keys that the queries of a sample see, from the first one to the last one, if each sample has its
    /// own number of keys.
    pub(super) fn most_seen(&self) -> u32 {
        let [before, after] = [self.keys_before, self.keys_after].map(|keys| keys.unwrap_or(self.keys));
        before.saturating_add(after).saturating_add(self.queries).min(self.keys)
    }

    /// Number of splits of the keys of a head.
    pub(super) fn splits(&self, counted: bool) -> u32 {
        let first = || self.seen(0, self.keys, self.past.into()).start;
        let end = || self.seen(self.queries - 1, self.keys, self.past.into()).end;
        let seen = if counted { self.most_seen() } else { end().saturating_sub(first()) };
        seen.div_ceil(KEYS).max(1)
    }

    /// Numbers of elements of [`Splits`].
    pub(super) fn split_elements(&self, counted: bool) -> [u64; 2] {
        let splits = self.rows() * u64::from(self.splits(counted));
        [splits * u64::from(self.value_width()), 2 * splits]
    }
}

impl Splits {
    /// Creates the scratch for a launch of `plan`.
    ///
    /// # Errors
    /// As [`crate::gpu::Gpu::buffer`].
    pub(super) fn new(plan: &mut Plan, shape: &GeneralShape, counted: bool) -> Result<Self> {
        let [part, part_sum] = shape.split_elements(counted);
        Ok(Self {
            part: plan.scratch("attention_general.part", part)?,
            part_sum: plan.scratch("attention_general.part_sum", part_sum)?,
        })
    }
}

impl GeneralForward {
    /// Records the two kernels in `scratch`.
    pub(super) fn record_splits(&self, plan: &mut Plan, shape: &GeneralShape, scratch: &Splits) -> Result<()> {
        let counted = self.key_counts.is_some();
        let [q, k, v, _] = shape.elements();
        let [part, part_sum] = shape.split_elements(counted);
        let operands = Operands { bias: self.bias.as_ref(), key_counts: self.key_counts.as_ref() };
        let mut params = shape.params(&operands);
        params.push(("splits", shape.splits(counted).into()));
        params.push(("columns", vectors(shape.value_width()).into()));
        let absent = self.q.clone().stored_as(DType::F32);
        let mut bindings =
            Vec::from(bind!(self.q[q], self.k[k], self.v[v], scratch.part[part], scratch.part_sum[part_sum]));
        bindings.extend(operands.bindings(shape, &absent));
        let (count, rows) = (shape.heads / shape.key_heads() * shape.queries, tile(shape));
        let tiles = u64::from(shape.splits(counted)) * u64::from(count.div_ceil(rows));
        plan.launch(&Launch {
            kernel: &SPLIT,
            spec: &[
                ("ROWS", rows),
                ("PARTS", vectors(shape.width).max(LEAST_PARTS)),
                ("CACHE_BITS", self.q.storage().bits()),
            ],
            bindings: &bindings,
            params: &params,
            groups: Groups::Fixed(u64::from(shape.samples) * u64::from(shape.key_heads()) * tiles),
            cost: Cost {
                flops: 2.0 * shape.pairs() * f64::from(shape.width + shape.value_width()),
                bytes: (self.q.storage().bytes() * (q + k + v) + 4 * (part + part_sum)) as f64,
            },
            shape: shape.text(),
        })?;
        self.record_merge(plan, shape, scratch, shape.splits(counted))
    }

    /// Records the sum over the splits.
    pub(super) fn record_merge(
        &self,
        plan: &mut Plan,
        shape: &GeneralShape,
        scratch: &Splits,
        splits: u32,
    ) -> Result<()> {
        let ([.., strides], [.., made], rows) = (shape.strides(), shape.elements(), shape.rows());
        shape.check_written(&MERGE, "out", strides, [shape.queries, shape.heads, shape.value_width()])?;
        let [part, part_sum] = [u64::from(shape.value_width()), 2].map(|width| rows * u64::from(splits) * width);
        let mut params: Vec<(&str, Param)> = vec![
            ("rows", (rows as u32).into()),
            ("queries", shape.queries.into()),
            ("heads", shape.heads.into()),
            ("splits", splits.into()),
            ("value_width", shape.value_width().into()),
        ];
        params.extend(strides.params(["out_offset", "out_sample", "out_position", "out_head"]));
        plan.launch(&Launch {
            kernel: &MERGE,
            spec: &[("CACHE_BITS", self.out.storage().bits())],
            bindings: &bind!(scratch.part[part], scratch.part_sum[part_sum], self.out[made], self.lse[rows]),
            params: &params,
            groups: Groups::Fixed(rows * u64::from(shape.value_width().div_ceil(MERGED_COLUMNS))),
            cost: Cost {
                flops: 2.0 * part as f64,
                bytes: (4 * (part + part_sum + rows) + self.out.storage().bytes() * made) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// Vectors of four elements of a row, as a power of two, which divides the lanes of a workgroup.
fn vectors(width: u32) -> u32 {
    width.div_ceil(4).next_power_of_two()
}

/// Rows of a workgroup: the heads of a group with their queries, as a power of two.
fn tile(shape: &GeneralShape) -> u32 {
    (shape.heads / shape.key_heads()).saturating_mul(shape.queries).min(MOST_ROWS).next_power_of_two()
}
