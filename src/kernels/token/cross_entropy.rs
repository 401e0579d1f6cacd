//! Cross-entropy over a vocabulary of V tokens, its gradient and the entropy of the distribution.
//!
//! ```text
//! lse_r          = log Σ_v exp(l[r, v])
//! loss_r         = lse_r − l[r, target_r]
//! d_l[r, v]      = weight_r · ( exp(l[r, v] − lse_r) − [v = target_r] )
//! entropy_r      = lse_r − Σ_v exp(l[r, v] − lse_r) l[r, v]
//! ```
//!
//! The logits of a large vocabulary exist only for some tokens at a time. [`CrossEntropyStatistics`] of all chunks, in
//! order, must precede [`CrossEntropyGradient`] of any chunk. The first chunk, with `first_token` 0, starts the
//! statistics. They are running maxima and sums (Milakov & Gimelshein, arXiv:1805.02867), relative to the maximum, so
//! that neither large logits nor likely targets lose accuracy.
//!
//! A row whose target is [`IGNORED`] has no loss, no entropy and no gradient, whatever its weight. A row with a logit
//! that is not finite has a loss that is not finite.

use super::check_vectors;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Gpu, Kernel, Launch, Param, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static STATISTICS: Kernel = kernel!("token", "cross_entropy_statistics");
pub(super) static GRADIENT: Kernel = kernel!("token", "cross_entropy_gradient");

/// Target of a row that does not count.
pub const IGNORED: u32 = u32::MAX;

/// Shape of a chunk of logits: some tokens of a window of rows.
#[derive(Debug, Clone)]
pub struct CrossEntropyShape {
    /// Rows of the logits.
    pub rows: Rows,
    /// Token of the first column.
    pub first_token: u32,
    /// Stored columns of a row, a multiple of 4 and at least `tokens`. The others do not count and get the gradient 0.
    pub columns: u32,
    /// Number of tokens of the chunk, at least 1.
    pub tokens: u32,
    /// Row of targets, weights, statistics, losses and entropies that belongs to the first row of the logits.
    pub first_row: u32,
}

impl CrossEntropyShape {
    fn check(&self, kernel: &str) -> Result<()> {
        check_vectors(kernel, "columns", self.columns)?;
        if (1..=self.columns).contains(&self.tokens) {
            return Ok(());
        }
        let message =
            format!("{kernel}: expected 1 to {} tokens, the number of columns, got {}", self.columns, self.tokens);
        Err(Error::new(ErrorKind::Shape, message))
    }

    /// Number of lanes that share a row. It depends on the columns alone, so that no window of rows changes a sum. On
    /// the CPU, where neighboring loads gain little and exchanges are expensive, a lane owns a row of few columns.
    pub(super) fn lanes(&self, gpu: &Gpu) -> u32 {
        let vectors = self.columns / 4;
        match gpu.is_software() {
            true if vectors < 64 => 1,
            true => 8,
            false => (vectors / 4).next_power_of_two().clamp(4, 256),
        }
    }

    /// Elements of logits, and rows of the other buffers.
    fn elements(&self) -> [u64; 2] {
        let rows = u64::from(self.rows.capacity);
        [rows * u64::from(self.columns), u64::from(self.first_row) + rows]
    }

    fn params(&self) -> [(&'static str, Param); 5] {
        [
            ("rows", self.rows.capacity.into()),
            ("first_token", self.first_token.into()),
            ("columns4", (self.columns / 4).into()),
            ("tokens", self.tokens.into()),
            ("first_row", self.first_row.into()),
        ]
    }

    fn cost(&self, flops: u64, passes: u64) -> Cost {
        let [elements, _] = self.elements();
        let rows = u64::from(self.rows.capacity);
        Cost { flops: (flops * elements) as f64, bytes: 4.0 * (passes * elements + 8 * rows) as f64 }
    }

    fn text(&self) -> String {
        format!("({}, {})", self.rows.capacity, self.columns)
    }
}

record! {
    /// Statistics of the rows over the tokens of the chunks so far, see the module documentation.
    #[derive(Debug, Clone)]
    pub struct CrossEntropyStatistics {
        /// (rows, columns)
        pub logits: View,
        /// (all rows) u32, or [`IGNORED`]
        pub targets: View,
        /// (all rows, 4): maximum m, Σ exp(l − m), Σ exp(l − m) (l − m), logit of the target
        pub statistics: View,
    }
}

impl CrossEntropyStatistics {
    /// Records the statistics of a chunk.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if `columns` is not a positive multiple of 4 or `tokens` not in 1 ..= `columns`; as
    /// [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &CrossEntropyShape) -> Result<()> {
        let lanes = shape.lanes(plan.gpu());
        self.record_lanes(plan, shape, lanes)
    }

    /// The same with `lanes` lanes per row, a power of 2 up to 256.
    pub(super) fn record_lanes(&self, plan: &mut Plan, shape: &CrossEntropyShape, lanes: u32) -> Result<()> {
        shape.check(STATISTICS.name)?;
        let [elements, rows] = shape.elements();
        plan.launch(&Launch {
            kernel: &STATISTICS,
            spec: &[("LANES", lanes)],
            bindings: &bind!(self.logits[elements], self.targets[rows], self.statistics[4 * rows]),
            params: &shape.params(),
            groups: shape.rows.groups(lanes.max(64) / lanes, 1),
            cost: shape.cost(5, 1),
            shape: shape.text(),
        })
    }
}

record! {
    /// Gradient of the logits of a chunk in place, loss and entropy, see the module documentation.
    #[derive(Debug, Clone)]
    pub struct CrossEntropyGradient {
        /// (rows, columns): logits, overwritten with d_logits
        pub logits: View,
        /// (all rows) u32, or [`IGNORED`]
        pub targets: View,
        /// (all rows): factors of the gradient
        pub weight: View,
        /// (all rows, 4) of all chunks, from [`CrossEntropyStatistics`]
        pub statistics: View,
        /// (all rows): cross-entropy in nats, not weighted; every chunk writes it
        pub loss: View,
        /// (all rows): entropy in nats; every chunk writes it
        pub entropy: View,
    }
}

impl CrossEntropyGradient {
    /// Records the gradient of a chunk.
    ///
    /// # Errors
    /// As [`CrossEntropyStatistics::record`].
    pub fn record(&self, plan: &mut Plan, shape: &CrossEntropyShape) -> Result<()> {
        let lanes = shape.lanes(plan.gpu());
        self.record_lanes(plan, shape, lanes)
    }

    pub(super) fn record_lanes(&self, plan: &mut Plan, shape: &CrossEntropyShape, lanes: u32) -> Result<()> {
        shape.check(GRADIENT.name)?;
        let [elements, rows] = shape.elements();
        plan.launch(&Launch {
            kernel: &GRADIENT,
            spec: &[("LANES", lanes)],
            bindings: &bind!(
                self.logits[elements],
                self.targets[rows],
                self.weight[rows],
                self.statistics[4 * rows],
                self.loss[rows],
                self.entropy[rows]
            ),
            params: &shape.params(),
            groups: shape.rows.groups(lanes.max(64) / lanes, 1),
            cost: shape.cost(4, 2),
            shape: shape.text(),
        })
    }
}

/// Maximum m, Σ exp(l − m), Σ exp(l − m) (l − m) of a row in f64.
pub(super) fn sums_reference(logits: &[f64]) -> [f64; 3] {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let terms = logits.iter().map(|l| ((l - top).exp(), l - top));
    let (sum, weighted) = terms.fold((0.0, 0.0), |(sum, weighted), (e, below)| (sum + e, weighted + e * below));
    [top, sum, weighted]
}

/// Cross-entropy and entropy of each row in f64. `logits` is (rows, `tokens`).
pub fn loss_reference(logits: &[f64], targets: &[u32], tokens: usize) -> (Vec<f64>, Vec<f64>) {
    let of_row = |(row, target): (&[f64], &u32)| match *target {
        IGNORED => (0.0, 0.0),
        target => {
            let [top, sum, weighted] = sums_reference(row);
            (sum.ln() + (top - row[target as usize]), sum.ln() - weighted / sum)
        }
    };
    logits.chunks(tokens).zip(targets).map(of_row).unzip()
}

/// d_logits (rows, `tokens`) in f64.
pub fn gradient_reference(logits: &[f64], targets: &[u32], weight: &[f64], tokens: usize) -> Vec<f64> {
    let of_row = |((row, target), weight): ((&[f64], &u32), &f64)| -> Vec<f64> {
        let [top, sum, _] = sums_reference(row);
        let slope = |(v, l): (usize, &f64)| match *target {
            IGNORED => 0.0,
            target => weight * ((l - top).exp() / sum - f64::from(u8::from(v == target as usize))),
        };
        row.iter().enumerate().map(slope).collect()
    };
    logits.chunks(tokens).zip(targets).zip(weight).flat_map(of_row).collect()
}
