//! Fused feed-forward layers for narrow models on GPUs, in passes over many rows.
//!
//! ```text
//! sum[r] = residual[r] + b2 + Σ_s part[s, r]        part[s, r] = Σ_{f in slice s} W2[:, f] act(W1[f] x[r] + b1[f])
//! y[r]   = sum[r], or norm(sum[r]) if a norm follows
//! ```
//!
//! The hidden layer of width F stays in registers. Two products would write and read it, which takes longer than the
//! arithmetic if a row is narrow: with C = 32 and F = 2048 it is 97 % of their traffic. Slices of the hidden layer keep
//! all compute units busy; their partial sums are an eighth of the hidden layer at most. A norm that follows is computed
//! by the kernel that adds them, in the order of [`NormForward`](super::norm::NormForward).

use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, View, bind};
use crate::kernels::nn::feed_forward::{FeedForward, FeedForwardShape};
use crate::kernels::{kernel, record};

pub(super) static SLICES: Kernel = kernel!("nn", "feed_forward_slices");
pub(super) static SUM: Kernel = kernel!("nn", "feed_forward_sum");
pub(super) static SUM_NORM: Kernel = kernel!("nn", "feed_forward_sum_norm");

/// Maximum width C of a row, whose elements and sums are in registers. Wider rows gain little (docs/performance.md).
const MOST_WIDTH: u32 = 32;

/// Lanes of a cluster that shares a row of the norm.
const CLUSTER: u32 = 4;

/// Units of the hidden layer per slice.
const UNITS: u32 = 256;

/// Maximum number of units of the hidden layer per block, of which slices consist.
const MOST_BLOCK: u32 = 16;

/// Units of the hidden layer per block. Larger blocks merge more loads, but their code exceeds the instruction caches of
/// some GPUs. Intel's GPUs need several instructions per load: of those in the loop at C = 32, 64 % are multiply-adds
/// with blocks of 16, 55 % with 8 and 34 % with 4, by Mesa's compiler. The reduction order is the same.
fn block(gpu: &Gpu) -> u32 {
    if gpu.has_costly_uniform_loads() { MOST_BLOCK } else { 8 }
}

/// Number of slices, or `None` if two products are to be used. It depends on the widths only, so that the reduction order
/// does not depend on the number of rows.
pub fn slices(gpu: &Gpu, width: u32, hidden: u32) -> Option<u32> {
    let fits = width <= MOST_WIDTH && width.is_multiple_of(4) && hidden.is_multiple_of(MOST_BLOCK);
    let slices = hidden.div_ceil(UNITS);
    // Partial sums are written and read as the hidden layer would be.
    (!gpu.is_software() && fits && 4 * slices * width <= hidden).then_some(slices)
}

record! {
    /// Scale and shift of the norm after the layers.
    #[derive(Debug, Clone)]
    pub struct NormAfter {
        /// γ (C)
        pub gamma: View,
        /// β (C)
        pub beta: View,
    }
}

/// Fused feed-forward layers in slices, see the module documentation.
#[derive(Debug, Clone)]
pub struct SlicedFeedForward {
    /// The layers.
    pub layers: FeedForward,
    /// Scratch of slices · rows · C floats.
    pub part: View,
    /// The norm after them.
    pub norm: Option<NormAfter>,
}

impl SlicedFeedForward {
    /// Records the partial sums of `slices` slices, their sum and the norm.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &FeedForwardShape, slices: u32) -> Result<()> {
        let block = block(plan.gpu());
        self.record_blocks(plan, shape, slices, block)
    }

    /// Records the kernels with blocks of `block` units.
    pub(super) fn record_blocks(
        &self,
        plan: &mut Plan,
        shape: &FeedForwardShape,
        slices: u32,
        block: u32,
    ) -> Result<()> {
        let (rows, c, f) = (u64::from(shape.rows.capacity), u64::from(shape.width), u64::from(shape.hidden));
        let layers = &self.layers;
        let part = u64::from(slices) * rows * c;
        let slice = (shape.hidden / MOST_BLOCK).div_ceil(slices) * MOST_BLOCK;
        plan.launch(&Launch {
            kernel: &SLICES,
            spec: &[
                ("WIDTH4", shape.width / 4),
                ("BLOCK4", block / 4),
                ("ACTIVATION", shape.activation as u32),
                ("WEIGHT_BITS", layers.weight1.storage().bits()),
            ],
            bindings: &bind!(
                layers.x[rows * c],
                layers.weight1[f * c],
                layers.bias1[f],
                layers.weight2[c * f],
                self.part[part]
            ),
            params: &[
                ("rows", shape.rows.capacity.into()),
                ("blocks", (shape.hidden / block).into()),
                ("slice_blocks", (slice / block).into()),
                ("slices", slices.into()),
            ],
            groups: shape.rows.groups(64, slices.into()),
            cost: Cost {
                flops: (4 * rows * c * f) as f64,
                bytes: (4 * (rows * c + part) + layers.weight1.storage().bytes() * 2 * c * f) as f64,
            },
            shape: text(shape, slices),
        })?;
        self.record_sum(plan, shape, slices)
    }

    /// Records the sum of the slices, and the norm.
    fn record_sum(&self, plan: &mut Plan, shape: &FeedForwardShape, slices: u32) -> Result<()> {
        let (rows, c) = (u64::from(shape.rows.capacity), u64::from(shape.width));
        let FeedForward { residual, bias2, y, .. } = &self.layers;
        let part = u64::from(slices) * rows * c;
        let width4 = shape.width / 4;
        let mut bindings = bind!(self.part[part], residual[rows * c], bias2[c], y[rows * c]).to_vec();
        let (kernel, spec, groups) = match &self.norm {
            None => (&SUM, Vec::new(), shape.rows.times(width4).groups(64, 1)),
            Some(NormAfter { gamma, beta }) => {
                bindings.extend(bind!(gamma[c], beta[c]));
                (&SUM_NORM, vec![("VECTORS", width4.div_ceil(CLUSTER))], shape.rows.groups(64 / CLUSTER, 1))
            }
        };
        let flops = if self.norm.is_some() { 9 } else { 1 };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bindings,
            params: &[("rows", shape.rows.capacity.into()), ("width4", width4.into()), ("slices", slices.into())],
            groups,
            cost: Cost { flops: (part + flops * rows * c) as f64, bytes: (4 * (part + 2 * rows * c)) as f64 },
            shape: text(shape, slices),
        })
    }
}

fn text(shape: &FeedForwardShape, slices: u32) -> String {
    format!("({}, {}, {}) in {slices}", shape.rows.capacity, shape.width, shape.hidden)
}
