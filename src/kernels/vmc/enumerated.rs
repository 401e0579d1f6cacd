//! Enumerated configurations, whose amplitudes are all known: exact independent draws, and amplitude ratios by lookup.
//!
//! ```text
//! P_i ∝ members_i |ψ_i|^p                      draws of R configurations that stand for members_i each
//! log ψ'/ψ = log ψ_j − log ψ_i                 j = connected[i, m]
//! ```
//!
//! A draw selects a block of configurations and then a configuration of the block, each by a binary search in cumulative
//! sums, so that small probabilities do not vanish in the sum over all configurations. Random numbers are Philox words
//! with (sample, 0, step, stream) as counter.

use super::rows::Window;
use crate::error::Result;
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::rbm::sweep::Stream;
use crate::kernels::{kernel, record};

pub(super) static CUMULATIVE: Kernel = kernel!("vmc", "enumerated_cumulative");
pub(super) static DRAW: Kernel = kernel!("vmc", "enumerated_draw");
pub(super) static GATHER: Kernel = kernel!("vmc", "rows_gather");
pub(super) static RATIO: Kernel = kernel!("vmc", "enumerated_ratio");

/// Number of blocks of cumulative probabilities.
pub const BLOCKS: u32 = 256;
/// Index of a configuration that is not enumerated.
pub const NONE: u32 = u32::MAX;

record! {
    /// Cumulative probabilities of enumerated configurations.
    #[derive(Debug, Clone)]
    pub struct EnumeratedCumulative {
        /// (R): log |ψ|²
        pub log_p: View,
        /// (R): logarithm of the number of configurations that each stands for
        pub log_members: View,
        /// (8) u32: p in word 5, as f32
        pub step: View,
        /// (R)
        pub cumulative: View,
        /// ([`BLOCKS`])
        pub totals: View,
    }
}

impl EnumeratedCumulative {
    /// Records the sums over `configurations` = R.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, configurations: u32) -> Result<()> {
        let r = u64::from(configurations);
        plan.launch(&Launch {
            kernel: &CUMULATIVE,
            spec: &[("BLOCKS", BLOCKS)],
            bindings: &bind!(
                self.log_p[r],
                self.log_members[r],
                self.step[8],
                self.cumulative[r],
                self.totals[u64::from(BLOCKS)]
            ),
            params: &[("configurations", configurations.into())],
            groups: Groups::Fixed(1),
            cost: Cost { flops: 10.0 * r as f64, bytes: 20.0 * r as f64 },
            shape: format!("({r})"),
        })
    }
}

record! {
    /// Independent draws of enumerated configurations.
    #[derive(Debug, Clone)]
    pub struct EnumeratedDraw {
        /// (R)
        pub cumulative: View,
        /// ([`BLOCKS`])
        pub totals: View,
        /// (8) u32: seed (2), step number
        pub step: View,
        /// (B) u32
        pub index: View,
    }
}

impl EnumeratedDraw {
    /// Records the draws of `samples` = B of `configurations` = R.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, samples: u32, configurations: u32) -> Result<()> {
        let (b, r) = (u64::from(samples), u64::from(configurations));
        plan.launch(&Launch {
            kernel: &DRAW,
            spec: &[("BLOCKS", BLOCKS)],
            bindings: &bind!(self.cumulative[r], self.totals[u64::from(BLOCKS)], self.step[8], self.index[b]),
            params: &[
                ("samples", samples.into()),
                ("configurations", configurations.into()),
                ("stream", (Stream::Sample as u32).into()),
            ],
            groups: Rows::from(samples).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * b as f64 },
            shape: format!("({b}) of {r}"),
        })
    }
}

record! {
    /// Rows of a table, selected by an index.
    #[derive(Debug, Clone)]
    pub struct RowsGather {
        /// (R, C), words of any type
        pub x: View,
        /// (rows) u32
        pub index: View,
        /// (rows, C)
        pub y: View,
    }
}

impl RowsGather {
    /// Records `rows` rows of `width` = C words from a table of `table_rows` = R.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: u32, width: u32, table_rows: u32) -> Result<()> {
        let [b, c, r] = [rows, width, table_rows].map(u64::from);
        plan.launch(&Launch {
            kernel: &GATHER,
            spec: &[],
            bindings: &bind!(self.x[r * c], self.index[b], self.y[b * c]),
            params: &[("rows", rows.into()), ("width", width.into()), ("table_rows", table_rows.into())],
            groups: Rows::from(rows).times(width).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 8.0 * (b * c) as f64 },
            shape: format!("({b}, {c}) of {r}"),
        })
    }
}

record! {
    /// log ψ(σ')/ψ(σ) of the connected configurations of a window, or with phases in place of log P, the phase of the
    /// ratio.
    #[derive(Debug, Clone)]
    pub struct EnumeratedRatio {
        /// (B) u32
        pub sample_of: View,
        /// (B) u32: enumerated configuration of each sample
        pub index: View,
        /// (R, M) u32: enumerated configuration that each move leads to, or [`NONE`]
        pub connected: View,
        /// (R, columns)
        pub log_p: View,
        /// (B, M, parts)
        pub ratio: View,
    }
}

/// Shape of an [`EnumeratedRatio`].
#[derive(Debug, Clone)]
pub struct EnumeratedShape {
    /// Window of deduplicated samples.
    pub window: Window,
    /// R
    pub configurations: u32,
    /// M, off-diagonal terms
    pub moves: u32,
    /// Number of terms of log P.
    pub columns: u32,
    /// 0: logarithms, 1: phases.
    pub part: u32,
    /// Number of parts of a ratio.
    pub parts: u32,
}

impl EnumeratedRatio {
    /// Records the ratios.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EnumeratedShape) -> Result<()> {
        let EnumeratedShape { window, configurations, moves, columns, part, parts } = shape;
        let [b, items] = [window.samples, window.capacity].map(u64::from);
        let [r, m, c] = [*configurations, *moves, *columns].map(u64::from);
        plan.launch(&Launch {
            kernel: &RATIO,
            spec: &[],
            bindings: &bind!(
                self.sample_of[b],
                self.index[b],
                self.connected[r * m],
                self.log_p[r * c],
                self.ratio[b * m * u64::from(*parts)]
            ),
            params: &[
                ("items", window.capacity.into()),
                ("moves", (*moves).into()),
                ("columns", (*columns).into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
                ("configurations", (*configurations).into()),
                ("part", (*part).into()),
                ("parts", (*parts).into()),
            ],
            groups: window.items.times(*moves).groups(64, 1),
            cost: Cost { flops: 2.0 * (items * m * c) as f64, bytes: 4.0 * (items * m * (c + 2)) as f64 },
            shape: format!("({items}, {m}) of {r}"),
        })
    }
}
