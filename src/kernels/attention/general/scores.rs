//! Scores and probabilities of general attention.

use super::{GeneralShape, OWNED, Operands, tile_params};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, DType, Groups, Kernel, Launch, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static SCORES: Kernel = kernel!("attention", "attention_general_scores");

/// Keys of a workgroup, as in the source.
const STREAMED: u32 = 64;

/// What [`GeneralScores`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoresOf {
    /// scale q_i · k_j
    Products = 0,
    /// The same with the softcap, if there is one.
    Capped = 1,
    /// s_ij with the bias, −10³⁰ for pairs that do not count.
    Scores = 2,
    /// exp(s_ij − lse_i), 0 for pairs that do not count: attention maps.
    Probabilities = 3,
}

record! {
    /// Scores of general attention; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct GeneralScores {
        /// As in the forward pass
        pub q: View,
        /// As in the forward pass
        pub k: View,
        /// As in the forward pass
        pub bias: Option<View>,
        /// As in the forward pass
        pub key_counts: Option<View>,
        /// (B, H, Tq), f32, from the forward pass; read for probabilities only
        pub lse: View,
        /// (B, H, Tq, Tk), f32
        pub score: View,
    }
}

impl GeneralScores {
    /// Records the kernel.
    ///
    /// # Errors
    /// As [`super::GeneralForward::record`].
    pub fn record(&self, plan: &mut Plan, shape: &GeneralShape, of: ScoresOf) -> Result<()> {
        shape.check(&SCORES, self.key_counts.is_some())?;
        let pairs = shape.rows() * u64::from(shape.keys);
        if pairs > u64::from(u32::MAX) {
            let message = format!("{}: needs {pairs} scores, at most 2³² are possible; use fewer samples", SCORES.name);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let operands = Operands { bias: self.bias.as_ref(), key_counts: self.key_counts.as_ref() };
        let mut params = shape.params(&operands);
        params.extend(tile_params(shape.width));
        let [q, k, ..] = shape.elements();
        let absent = self.q.clone().stored_as(DType::F32);
        let mut bindings = Vec::from(bind!(self.q[q], self.k[k], self.lse[shape.rows()], self.score[pairs]));
        bindings.extend(operands.bindings(shape, &absent));
        let of_head = u64::from(shape.queries.div_ceil(OWNED)) * u64::from(shape.keys.div_ceil(STREAMED));
        plan.launch(&Launch {
            kernel: &SCORES,
            spec: &[("OF", of as u32), ("CACHE_BITS", self.q.storage().bits())],
            bindings: &bindings,
            params: &params,
            groups: Groups::Fixed(u64::from(shape.samples) * u64::from(shape.heads) * of_head),
            cost: Cost {
                flops: 2.0 * pairs as f64 * f64::from(shape.width),
                bytes: (self.q.storage().bytes() * (q + k) + 4 * (pairs + shape.rows())) as f64,
            },
            shape: shape.text(),
        })
    }
}
