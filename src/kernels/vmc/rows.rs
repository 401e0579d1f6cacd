//! Row metadata of a pass: (preceding token, position, target token, occupied).
//!
//! `occupied` is the number of occupied sites in the patches before the row's, which a categorical head needs if
//! configurations are restricted to a sector ([`crate::kernels::nn::categorical::CategoricalShape`]). It is counted if
//! `counts` is set, otherwise 0.
//!
//! The teacher-forced pass has one row per patch of every deduplicated sample. A pass over connected configurations has
//! rows only for the patches after the first changed patch: all earlier rows, and the logits of the changed patch, are
//! those of the sample.
//!
//! The rows of all connected configurations of many samples form one suffix batch. Row k of a sample always belongs to
//! the same off-diagonal term and position, so the tables of the batch are static.

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::kernel;

pub(super) static SAMPLES: Kernel = kernel!("vmc", "rows_samples");
pub(super) static MOVES: Kernel = kernel!("vmc", "rows_connected");

/// Window of deduplicated samples.
#[derive(Debug, Clone)]
pub struct Window {
    /// Deduplicated samples of the window: `first .. first + capacity` of those counted.
    pub items: Rows,
    /// Index of the first deduplicated sample of the window.
    pub first: u32,
    /// Maximum number of items.
    pub capacity: u32,
    /// B, the number of samples drawn.
    pub samples: u32,
    /// T
    pub patches: u32,
}

/// Rows of the teacher-forced pass.
#[derive(Debug, Clone)]
pub struct RowsSamples {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32
    pub sample_of: View,
    /// (items·T) of four u32
    pub rows: View,
    /// Whether the occupied sites of preceding patches are counted.
    pub counts: bool,
}

impl RowsSamples {
    /// Records the rows of a window.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, window: &Window) -> Result<()> {
        let rows = window.items.times(window.patches);
        let (b, t, count) = (u64::from(window.samples), u64::from(window.patches), u64::from(rows.capacity));
        plan.launch(&Launch {
            kernel: &SAMPLES,
            spec: &[],
            bindings: &bind!(self.tokens[b * t], self.sample_of[b], self.rows[4 * count]),
            params: &[
                ("rows", rows.capacity.into()),
                ("patches", window.patches.into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
                ("counts", u32::from(self.counts).into()),
            ],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 24.0 * count as f64 },
            shape: format!("({count})"),
        })
    }
}

/// Rows of connected configurations.
#[derive(Debug, Clone)]
pub struct RowsConnected {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32
    pub sample_of: View,
    /// (R) of four u32: start, position, move, 0
    pub table: View,
    /// (M) of four u32: first patch, mask, second patch, mask
    pub moves: View,
    /// (items·R) of four u32
    pub rows: View,
    /// Whether the occupied sites of preceding patches are counted.
    pub counts: bool,
}

impl RowsConnected {
    /// Records the rows of a window, `rows_per_item` = R per deduplicated sample, for `moves` = M off-diagonal terms.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, window: &Window, rows_per_item: u32, moves: u32) -> Result<()> {
        let rows = window.items.times(rows_per_item);
        let (b, t, count) = (u64::from(window.samples), u64::from(window.patches), u64::from(rows.capacity));
        plan.launch(&Launch {
            kernel: &MOVES,
            spec: &[],
            bindings: &bind!(
                self.tokens[b * t],
                self.sample_of[b],
                self.table[4 * u64::from(rows_per_item)],
                self.moves[4 * u64::from(moves)],
                self.rows[4 * count]
            ),
            params: &[
                ("rows", rows.capacity.into()),
                ("rows_per_item", rows_per_item.into()),
                ("patches", window.patches.into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
                ("counts", u32::from(self.counts).into()),
            ],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 40.0 * count as f64 },
            shape: format!("({count})"),
        })
    }
}

/// Row metadata of one configuration at positions `from`..T: preceding token, position, target, occupied.
pub(crate) fn rows_reference(tokens: &[u32], from: usize, counts: bool) -> Vec<u32> {
    let occupied = |p: usize| if counts { tokens[..p].iter().map(|token| token.count_ones()).sum() } else { 0 };
    let row = |p: usize| [if p == 0 { 0 } else { tokens[p - 1] }, p as u32, tokens[p], occupied(p)];
    (from..tokens.len()).flat_map(row).collect()
}
