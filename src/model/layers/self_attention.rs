//! Attention between the projections of a layer.

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
    /// Creates the states of `samples` samples.
    pub(crate) fn states_buffer(
        self,
        gpu: &Gpu,
        name: &str,
        sizes: &TransformerSizes,
        samples: u32,
    ) -> Result<AttentionStates> {
        Ok(match self {
            Self::Softmax => AttentionStates::Softmax,
            Self::Linear => {
                let (t, h, d) = (sizes.positions, sizes.heads, sizes.head_width());
                let of_sample = linear::states_of_sample(&AttentionShape { t, h, d, ..Default::default() });
                AttentionStates::Linear(gpu.buffer(&format!("ketformer.{name}"), u64::from(samples) * of_sample)?)
            }
        })
    }
}

/// Buffers of a layer in addition to the rows [q | k | v], for each kind of kernels.
pub(crate) enum AttentionStates {
    Softmax,
    /// (B, states of a sample)
    Linear(Buffer),
}

/// Operands of attention.
pub(crate) struct Operands<'a> {
    /// (B·T, 3C)
    pub qkv: &'a View,
    pub states: &'a AttentionStates,
    /// (B·n, C)
    pub out: &'a Buffer,
    /// (B·n, H): log-sum-exp of softmax attention, denominators of linear attention
    pub total: &'a Buffer,
}

impl Operands<'_> {
    /// Records attention of all positions of whole samples, or of one position of the decode loop.
    pub(crate) fn forward(&self, plan: &mut Plan, shape: &AttentionShape) -> Result<()> {
        let (qkv, out) = (self.qkv.clone(), self.out.view());
        match self.states {
            AttentionStates::Softmax => AttentionForward { qkv, out, lse: self.total.view() }.record(plan, shape),
            AttentionStates::Linear(states) => {
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
        let (qkv, out, total) = (self.qkv.clone(), self.out.view(), self.total.view());
        match self.states {
            AttentionStates::Softmax => {
                AttentionBackward { qkv, out, lse: total, d_out, delta, d_qkv }.record(plan, shape)
            }
            AttentionStates::Linear(states) => {
                let states = states.view();
                LinearBackward { qkv, out, sum: total, d_out, delta, states, d_qkv }.record(plan, shape)
            }
        }
    }

    /// Records the mean of the weights over samples, (H, T, T), after [`Operands::forward`] of all positions.
    pub(crate) fn weights(&self, plan: &mut Plan, weight: &View, shape: &AttentionShape) -> Result<()> {
        let of = match self.states {
            AttentionStates::Softmax => WeightsOf::Softmax,
            AttentionStates::Linear(_) => WeightsOf::Linear,
        };
        let (qkv, total, weight) = (self.qkv.clone(), self.total.view(), weight.clone());
        AttentionWeights { qkv, total, weight }.record(plan, shape, of)
    }
}

/// Records attention of a suffix batch, as [`AttentionSuffix`].
pub(crate) fn suffix(
    plan: &mut Plan,
    attention: AttentionSuffix,
    states: &AttentionStates,
    shape: &SuffixShape,
) -> Result<()> {
    match states {
        AttentionStates::Softmax => attention.record(plan, shape),
        AttentionStates::Linear(states) => {
            let AttentionSuffix { base_qkv, qkv, base, row_table, out } = attention;
            LinearSuffix { base_qkv, states: states.view(), qkv, base, row_table, out }.record(plan, shape)
        }
    }
}
