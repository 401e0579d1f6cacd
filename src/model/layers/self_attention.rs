//! Softmax or linear attention between the projections of a layer.

use super::transformer_layers::TransformerSizes;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::attention::linear;
use crate::kernels::attention::linear::{LinearBackward, LinearForward, LinearSuffix};
use crate::kernels::attention::{
    AttentionBackward, AttentionForward, AttentionShape, AttentionSuffix, AttentionWeights, SuffixShape, WeightsOf,
};
use crate::model::Attention;

impl Attention {
    /// Elements kept for each sample and layer in addition to the rows [q | k | v]: the states of linear attention.
    pub(crate) fn states(self, sizes: &TransformerSizes) -> u64 {
        match self {
            Self::Softmax => 0,
            Self::Linear => linear::states_of_sample(sizes.positions, sizes.heads, sizes.head_width()),
        }
    }

    /// Creates the buffer for the states of `samples` samples; `None` for softmax attention.
    pub(crate) fn states_buffer(
        self,
        gpu: &Gpu,
        name: &str,
        sizes: &TransformerSizes,
        samples: u32,
    ) -> Result<Option<Buffer>> {
        let elements = u64::from(samples) * self.states(sizes);
        (self == Self::Linear).then(|| gpu.buffer(&format!("ketformer.{name}"), elements)).transpose()
    }
}

/// Operands of attention; `states` is `Some` for linear attention.
pub(crate) struct Operands<'a> {
    /// (B·T, 3C)
    pub qkv: &'a Buffer,
    pub states: Option<&'a Buffer>,
    /// (B·n, C)
    pub out: &'a Buffer,
    /// (B·n, H): log-sum-exp of softmax attention, denominators of linear attention
    pub total: &'a Buffer,
}

impl Operands<'_> {
    /// Records attention of all positions of whole samples, or of one position of the decode loop.
    pub(crate) fn forward(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        let (qkv, out) = (self.qkv.view(), self.out.view());
        match self.states {
            None => AttentionForward { qkv, out, lse: self.total.view() }.record(plan, shape),
            Some(states) => {
                LinearForward { qkv, states: states.view(), out, sum: self.total.view() }.record(plan, shape)
            }
        }
    }

    /// Records the gradient of `qkv` from that of `out`, after [`Operands::forward`] of all positions. `delta` (B·T, H)
    /// and the states are scratch.
    pub(crate) fn backward(
        &self,
        plan: &mut Plan,
        [d_out, delta, d_qkv]: [View; 3],
        shape: &AttentionShape,
    ) -> Result<()> {
        let (qkv, out, total) = (self.qkv.view(), self.out.view(), self.total.view());
        match self.states {
            None => AttentionBackward { qkv, out, lse: total, d_out, delta, d_qkv }.record(plan, shape),
            Some(states) => {
                let states = states.view();
                LinearBackward { qkv, out, sum: total, d_out, delta, states, d_qkv }.record(plan, shape)
            }
        }
    }

    /// Records the mean of the weights over samples, (H, T, T), after [`Operands::forward`] of all positions.
    pub(crate) fn weights(&self, plan: &mut Plan, weight: &View, shape: &AttentionShape) -> Result<()> {
        let of = if self.states.is_some() { WeightsOf::Linear } else { WeightsOf::Softmax };
        let (qkv, total, weight) = (self.qkv.view(), self.total.view(), weight.clone());
        AttentionWeights { qkv, total, weight }.record(plan, shape, of)
    }
}

/// Records attention of a suffix batch, as [`AttentionSuffix`].
pub(crate) fn suffix(
    plan: &mut Plan,
    attention: AttentionSuffix,
    states: Option<&Buffer>,
    shape: &SuffixShape,
) -> Result<()> {
    let Some(states) = states else { return attention.record(plan, shape) };
    let AttentionSuffix { base_qkv, qkv, base, row_table, out } = attention;
    LinearSuffix { base_qkv, states: states.view(), qkv, base, row_table, out }.record(plan, shape)
}
