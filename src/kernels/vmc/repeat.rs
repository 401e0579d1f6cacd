//! Repetition of rows of samples for every patch (the reverse of [`crate::kernels::nn::large_patch::ConditioningSum`])
//! or of rows of positions for every sample.
//!
//! ```text
//! y[b·T + t, c] = x[b, c]        or x[t, c]
//! ```

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static REPEAT: Kernel = kernel!("vmc", "rows_repeat");

/// Index that selects the row to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatSource {
    /// Sample.
    Sample = 0,
    /// Position within the sample.
    Position = 1,
}

record! {
    /// Repetition of rows.
    #[derive(Debug, Clone)]
    pub struct RowsRepeat {
        /// (B, C) or (T, C), of f32 or f16
        pub x: View,
        /// (rows, C)
        pub y: View,
    }
}

impl RowsRepeat {
    /// Records `rows` = B·T rows of `width` = C, with `patches` = T per sample.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, patches: u32, width: u32, source: RepeatSource) -> Result<()> {
        let (r, t, c) = (u64::from(rows.capacity), u64::from(patches), u64::from(width));
        let read = if source == RepeatSource::Position { t } else { r / t };
        plan.launch(&Launch {
            kernel: &REPEAT,
            spec: &[("BY_POSITION", source as u32), ("WEIGHT_BITS", self.x.storage().bits())],
            bindings: &bind!(self.x[read * c], self.y[r * c]),
            params: &[("rows", rows.capacity.into()), ("width", width.into()), ("patches", patches.into())],
            groups: rows.times(width).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * ((r + read) * c) as f64 },
            shape: format!("({r}, {c})"),
        })
    }
}
