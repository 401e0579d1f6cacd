//! Phase head over the outcomes of a patch: phase of the target outcome and its gradient.
//!
//! ```text
//! phase(σ)      = Σ_t phases_t[σ_t]
//! d_phases_t[v] = d_phase [v = σ_t]
//! ```
//!
//! Phases are in radians and unbounded. With log P = Σ_t log P(σ_t | …), log ψ = ½ log P + i·phase (arXiv:2002.02973,
//! section III.B).

use super::categorical::CategoricalShape;
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static FORWARD: Kernel = kernel!("nn", "phase_forward");
pub(super) static BACKWARD: Kernel = kernel!("nn", "phase_backward");

/// Location of the target outcomes.
#[derive(Debug, Clone)]
pub enum Targets {
    /// (rows) u32: tokens
    Tokens(View),
    /// (rows) of four u32: token, position, target, occupied
    Rows(View),
}

impl Targets {
    /// Returns the buffer, the number of words per row, and the index of the target within a row.
    fn words(&self) -> (&View, [u32; 2]) {
        match self {
            Self::Tokens(tokens) => (tokens, [1, 0]),
            Self::Rows(rows) => (rows, [4, 2]),
        }
    }
}

/// Phases of the targets.
#[derive(Debug, Clone)]
pub struct PhaseForward {
    /// Target outcomes.
    pub targets: Targets,
    /// (rows, V)
    pub phases: View,
    /// (rows)
    pub phase: View,
}

impl PhaseForward {
    /// Records the phases of `rows` rows of `outcomes` = V outcomes.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, outcomes: u32) -> Result<()> {
        let (count, v) = (u64::from(rows.capacity), u64::from(outcomes));
        let (targets, [stride, offset]) = self.targets.words();
        plan.launch(&Launch {
            kernel: &FORWARD,
            spec: &[],
            bindings: &bind!(targets[u64::from(stride) * count], self.phases[count * v], self.phase[count]),
            params: &[
                ("rows", rows.capacity.into()),
                ("outcomes", outcomes.into()),
                ("stride", stride.into()),
                ("offset", offset.into()),
            ],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 12.0 * count as f64 },
            shape: format!("({count}, {v})"),
        })
    }
}

record! {
    /// Gradient of the phases, computed in place.
    #[derive(Debug, Clone)]
    pub struct PhaseBackward {
        /// (rows) of four u32: token, position, target, occupied
        pub rows: View,
        /// (samples)
        pub d_phase: View,
        /// (rows, V): phases, overwritten with d_phases
        pub phases: View,
    }
}

impl PhaseBackward {
    /// Records the gradient. Row r belongs to sample `first_sample` + r / T.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, shape: &CategoricalShape, first_sample: u32) -> Result<()> {
        let (count, v) = (u64::from(rows.capacity), u64::from(shape.outcomes));
        let samples = u64::from(first_sample) + count.div_ceil(u64::from(shape.patches));
        plan.launch(&Launch {
            kernel: &BACKWARD,
            spec: &[],
            bindings: &bind!(self.rows[4 * count], self.d_phase[samples], self.phases[count * v]),
            params: &[
                ("rows", rows.capacity.into()),
                ("outcomes", shape.outcomes.into()),
                ("patches", shape.patches.into()),
                ("first_sample", first_sample.into()),
            ],
            groups: rows.times(shape.outcomes).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * (count * (v + 5)) as f64 },
            shape: format!("({count}, {v})"),
        })
    }
}

/// Phase of the target of each row of V phases, in f64.
pub fn forward_reference(targets: &[u32], phases: &[f64]) -> Vec<f64> {
    let outcomes = phases.len() / targets.len();
    targets.iter().zip(phases.chunks(outcomes)).map(|(target, row)| row[*target as usize]).collect()
}

/// Gradient of the V phases of each row from the gradient of its target phase, in f64.
pub fn backward_reference(targets: &[u32], d_phase: &[f64], outcomes: usize) -> Vec<f64> {
    let mut d_phases = vec![0.0; targets.len() * outcomes];
    for ((target, slope), row) in targets.iter().zip(d_phase).zip(d_phases.chunks_mut(outcomes)) {
        row[*target as usize] = *slope;
    }
    d_phases
}
