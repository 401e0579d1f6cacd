//! Dropout of the probabilities of attention.
//!
//! ```text
//! out_i   = Σ_j m_ij p_ij v_j                                  m_ij = 0 or 1 / (1 − rate)
//! d_v_j   = Σ_i m_ij p_ij d_out_i
//! d_s_ij  = p_ij (m_ij d_out_i · v_j − δ_i)                    δ_i = d_out_i · out_i
//! ```
//!
//! The log-sum-exp is that without dropout. Forward and backward passes compute the mask of a pair from Philox words of
//! (sample, head, i, j), seed, step and site, so that it is not stored, and is the same in all variants. A counter has
//! 16 bits for each of eight adjacent keys of a query. Scalar variants use them in turn. Those in workgroup memory have
//! a lane compute 8 or 16 pairs at a time: their own in forward passes. In backward passes, whose lanes own pairs that
//! are not adjacent, the lanes exchange bits. Variants by subgroups and for one query have no dropout.

use super::AttentionShape;
use crate::error::Result;
use crate::gpu::{DType, Kernel, Param, View};
use crate::kernels::nn::categorical::philox_rounds;
use crate::kernels::nn::dropout::{mask_factor, mask_params};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;

/// Bits of the random number of a pair.
const BITS: u32 = 16;

/// Rounds of Philox. From seven on, tests find no fault in its numbers (Salmon et al., SC'11, table 2).
const ROUNDS: u32 = 7;

/// Dropout of the probabilities of attention.
#[derive(Debug, Clone)]
pub struct AttentionDropout {
    /// (4) u32: seed (2), step number, -
    pub step: View,
    /// Probability that a pair of positions is dropped, in [0, 1); rounded to a multiple of 2⁻¹⁶.
    pub rate: f32,
    /// Index of this dropout among those of a step, so that each has its own mask.
    pub site: u32,
    /// Index of the first sample in the mask, so that parts of one batch have different masks.
    pub first_sample: u32,
}

/// Mask of an [`AttentionDropout`] on the host.
#[derive(Debug, Clone, Copy)]
pub struct AttentionMask {
    /// The words of [`AttentionDropout::step`].
    pub step: [u32; 4],
    /// See [`AttentionDropout`].
    pub rate: f32,
    /// See [`AttentionDropout`].
    pub site: u32,
    /// See [`AttentionDropout`].
    pub first_sample: u32,
}

impl AttentionMask {
    /// Factor of the pair (sample, head, i, j) of `heads` heads: 0 or 1 / (1 − rate).
    pub fn factor(&self, [sample, head, i, j]: [usize; 4], heads: usize) -> f64 {
        let row = (self.first_sample as usize + sample) * heads + head;
        let counter = [row as u32, j as u32 / 8, i as u32, self.step[2]];
        let key = [self.step[0].wrapping_add(self.site), self.step[1].wrapping_add(2)];
        let word = philox_rounds(counter, key, ROUNDS)[j % 4];
        mask_factor(if j % 8 < 4 { word & 0xffff } else { word >> BITS }, self.rate, BITS)
    }
}

/// Whether a variant has dropout.
pub(super) fn has_dropout(variant: &Variant) -> bool {
    variant.strategy != Strategy::Subgroup && variant.name != "decode"
}

/// Requirement of a variant that the dropout of a shape does not meet.
pub(super) fn requirement(shape: &AttentionShape, variant: &Variant) -> Option<String> {
    (shape.dropout.is_some() && !has_dropout(variant)).then(|| "attention without dropout".into())
}

/// View to bind as `step`, with its elements; without dropout `absent`, because operands that are not used still need a
/// view.
pub(super) fn step(shape: &AttentionShape, (absent, elements): (&View, u64)) -> (View, u64) {
    let absent = || (absent.clone().stored_as(DType::F32), elements);
    shape.dropout.as_ref().map_or_else(absent, |dropout| (dropout.step.clone(), 4))
}

/// Constant of kernels that have dropout.
pub(super) fn constant(shape: &AttentionShape) -> (&'static str, u32) {
    ("DROPOUT", shape.dropout.is_some().into())
}

/// Parameters of the mask.
///
/// # Errors
/// [`crate::ErrorKind::Settings`] if the rate is not in [0, 1).
pub(super) fn params(shape: &AttentionShape, kernel: &Kernel) -> Result<[(&'static str, Param); 4]> {
    let (rate, site, first) =
        shape.dropout.as_ref().map_or((0.0, 0, 0), |dropout| (dropout.rate, dropout.site, dropout.first_sample));
    let [dropped, factor] = mask_params(kernel.name, rate, BITS)?;
    Ok([dropped, factor, ("site", site.into()), ("first_sample", first.into())])
}
