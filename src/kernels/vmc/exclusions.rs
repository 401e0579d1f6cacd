//! Exclusion of outcomes that occupy a site next to an occupied one: their logits become [`NEG_LARGE`], so that sampling,
//! log P, amplitude ratios and gradients give them the probability 0.

use super::energy::NEG_LARGE;
use super::rows::Window;
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static EXCLUDE: Kernel = kernel!("vmc", "outcomes_exclude");

record! {
    /// Logits of excluded outcomes.
    #[derive(Debug, Clone)]
    pub struct OutcomesExclude {
        /// (B, T) u32
        pub tokens: View,
        /// (B) u32: sample index of each deduplicated sample; not read while sampling
        pub sample_of: View,
        /// (R) of four u32: start, position, move, 0; only read for connected configurations
        pub table: View,
        /// (M) of four u32: first patch, mask, second patch, mask; only read for connected configurations
        pub moves: View,
        /// (T·P + 1) u32: first pair of each site
        pub starts: View,
        /// (pairs) of two u32: patch, mask of its sites, of the same and of earlier patches
        pub pairs: View,
        /// (rows, V)
        pub logits: View,
    }
}

/// Rows of the logits.
#[derive(Debug, Clone)]
pub enum ExcludedRows {
    /// Patch `patch` of `samples` samples that are drawn, within logits (samples, T, V).
    Drawn {
        /// Index of the patch.
        patch: u32,
        /// Number of samples.
        samples: u32,
    },
    /// All patches of the deduplicated samples of a window.
    Samples(Window),
    /// `rows_per_item` = R rows of connected configurations, of `moves` = M moves, for each deduplicated sample of a
    /// window.
    Connected {
        /// Window of deduplicated samples.
        window: Window,
        /// R
        rows_per_item: u32,
        /// M
        moves: u32,
    },
}

/// Shape of an [`OutcomesExclude`].
#[derive(Debug, Clone, Copy)]
pub struct ExclusionShape {
    /// T
    pub patches: u32,
    /// P
    pub sites_per_patch: u32,
    /// V
    pub outcomes: u32,
    /// Number of pairs.
    pub pairs: u32,
}

impl OutcomesExclude {
    /// Records the exclusion.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &ExcludedRows, shape: &ExclusionShape) -> Result<()> {
        let ExclusionShape { patches, sites_per_patch, outcomes, pairs } = *shape;
        let (gather, per_item, stride, offset) = match rows {
            ExcludedRows::Drawn { patch, .. } => (0u32, 1, patches, *patch),
            ExcludedRows::Samples(_) => (1, patches, patches, 0),
            ExcludedRows::Connected { rows_per_item, .. } => (2, *rows_per_item, *rows_per_item, 0),
        };
        let (first, samples, moves) = match rows {
            ExcludedRows::Drawn { samples, .. } => (0, *samples, 0),
            ExcludedRows::Samples(window) => (window.first, window.samples, 0),
            ExcludedRows::Connected { window, moves, .. } => (window.first, window.samples, *moves),
        };
        let rows = match rows {
            ExcludedRows::Drawn { samples, .. } => Rows::from(*samples),
            ExcludedRows::Samples(window) | ExcludedRows::Connected { window, .. } => window.items.times(per_item),
        };
        let (b, v, count) = (u64::from(samples), u64::from(outcomes), u64::from(rows.capacity));
        let written = if gather == 0 { b * u64::from(patches) } else { count };
        let gathered = |elements: u64, least: u32| if gather >= least { elements } else { 1 };
        plan.launch(&Launch {
            kernel: &EXCLUDE,
            spec: &[("GATHER", gather)],
            bindings: &bind!(
                self.tokens[b * u64::from(patches)],
                self.sample_of[gathered(b, 1)],
                self.table[4 * gathered(per_item.into(), 2)],
                self.moves[4 * gathered(moves.into(), 2)],
                self.starts[u64::from(patches * sites_per_patch) + 1],
                self.pairs[2 * u64::from(pairs)],
                self.logits[written * v]
            ),
            params: &[
                ("rows", rows.capacity.into()),
                ("rows_per_item", per_item.into()),
                ("patches", patches.into()),
                ("outcomes", outcomes.into()),
                ("sites_per_patch", sites_per_patch.into()),
                ("first", first.into()),
                ("samples", samples.into()),
                ("stride", stride.into()),
                ("offset", offset.into()),
            ],
            groups: rows.times(outcomes).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 8.0 * (count * v) as f64 },
            shape: format!("({count}, {v})"),
        })
    }
}

/// Replaces the logits of a row by the definition: `tokens` of the configuration, pairs by site.
pub(crate) fn exclude_reference(
    logits: &mut [f64],
    tokens: &[u32],
    position: usize,
    sites_per_patch: usize,
    pairs: &[Vec<[u32; 2]>],
) {
    for (v, logit) in logits.iter_mut().enumerate() {
        let conflicts = |j: usize| {
            let token = |patch: u32| if patch as usize == position { v as u32 } else { tokens[patch as usize] };
            pairs[position * sites_per_patch + j].iter().any(|[patch, mask]| token(*patch) & mask != 0)
        };
        if (0..sites_per_patch).any(|j| v >> j & 1 == 1 && conflicts(j)) {
            *logit = f64::from(NEG_LARGE);
        }
    }
}
