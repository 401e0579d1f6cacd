//! Connected configurations of deduplicated samples, for wave functions whose amplitude ratios require a full pass over
//! each: list, spins and amplitude ratios.
//!
//! The conditions of the off-diagonal terms of the Hamiltonian (`moves`) are evaluated on the GPU. `connected_count`,
//! `connected_offsets` and `connected_list` list and count the pairs (item, move) whose condition holds, ordered by
//! sample and then by move. Passes over the list have dynamic rows.

use super::rows::Window;
use crate::error::Result;
use crate::gpu::{Bind, Cost, Kernel, Launch, Param, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static COUNT: Kernel = kernel!("vmc", "connected_count");
pub(super) static OFFSETS: Kernel = kernel!("vmc", "connected_offsets");
pub(super) static LIST: Kernel = kernel!("vmc", "connected_list");
pub(super) static SPINS: Kernel = kernel!("vmc", "connected_spins");
pub(super) static RATIO: Kernel = kernel!("vmc", "connected_ratio");

/// Off-diagonal terms of the Hamiltonian, applied to samples.
#[derive(Debug, Clone)]
pub struct Connected {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32: sample index of each deduplicated sample
    pub sample_of: View,
    /// (moves) of four u32: first patch, mask, second patch or `u32::MAX`, mask
    pub moves: View,
    /// (moves) of two u32: unused, condition
    pub starts: View,
    /// Number of off-diagonal terms.
    pub count: u32,
}

record! {
    /// List of connected configurations, and scratch buffers of its construction.
    #[derive(Debug, Clone)]
    pub struct ConnectedList {
        /// (items) u32
        pub counts: View,
        /// (items) u32
        pub offsets: View,
        /// (items · moves) of two u32: item, move
        pub pairs: View,
        /// (1) u32: number of pairs, one of the plan's counters, so that indirect dispatches can use it
        pub total: View,
    }
}

impl Connected {
    fn bindings(&self, window: &Window) -> [Bind<'_>; 4] {
        let (b, t, moves) = (u64::from(window.samples), u64::from(window.patches), u64::from(self.count));
        bind!(self.tokens[b * t], self.sample_of[b], self.moves[4 * moves], self.starts[2 * moves])
    }

    fn params(&self, window: &Window, first_item: u32) -> [(&'static str, Param); 6] {
        [
            ("items", window.capacity.into()),
            ("moves", self.count.into()),
            ("patches", window.patches.into()),
            ("first", window.first.into()),
            ("samples", window.samples.into()),
            ("first_item", first_item.into()),
        ]
    }

    fn text(&self, window: &Window) -> String {
        format!("({}, {})", window.capacity, self.count)
    }

    /// Records the list of the pairs of a window whose condition holds. For all other pairs, `ratio` (B, moves, 2) is
    /// set to ([`super::energy::NEG_LARGE`], 0).
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn list(&self, plan: &mut Plan, window: &Window, list: &ConnectedList, ratio: &View) -> Result<()> {
        self.record_counts(plan, window, &list.counts)?;
        let items = u64::from(window.capacity);
        plan.launch(&Launch {
            kernel: &OFFSETS,
            spec: &[],
            bindings: &bind!(list.counts[items], list.offsets[items], list.total[1]),
            params: &[("items", window.capacity.into())],
            groups: crate::gpu::Groups::Fixed(1),
            cost: Cost { flops: 0.0, bytes: 8.0 * items as f64 },
            shape: self.text(window),
        })?;
        self.record_pairs(plan, window, list, ratio)
    }

    pub(super) fn record_counts(&self, plan: &mut Plan, window: &Window, counts: &View) -> Result<()> {
        let (live, first_item, _) = window.items.counter(plan.gpu())?;
        let items = u64::from(window.capacity);
        let mut bindings = self.bindings(window).to_vec();
        bindings.extend(bind!(live[1], counts[items]));
        plan.launch(&Launch {
            kernel: &COUNT,
            spec: &[],
            bindings: &bindings,
            params: &self.params(window, first_item),
            groups: Rows::from(window.capacity).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 12.0 * (items * u64::from(self.count)) as f64 },
            shape: self.text(window),
        })
    }

    pub(super) fn record_pairs(
        &self,
        plan: &mut Plan,
        window: &Window,
        list: &ConnectedList,
        ratio: &View,
    ) -> Result<()> {
        let (live, first_item, _) = window.items.counter(plan.gpu())?;
        let (items, moves) = (u64::from(window.capacity), u64::from(self.count));
        let mut bindings = self.bindings(window).to_vec();
        bindings.extend(bind!(
            list.offsets[items],
            live[1],
            list.pairs[2 * items * moves],
            ratio[2 * u64::from(window.samples) * moves]
        ));
        plan.launch(&Launch {
            kernel: &LIST,
            spec: &[],
            bindings: &bindings,
            params: &self.params(window, first_item),
            groups: window.items.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 20.0 * (items * moves) as f64 },
            shape: self.text(window),
        })
    }

    /// Records the spins (rows, N) of the pairs from `first` onwards, N = T·`sites_per_patch`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn spins(
        &self,
        plan: &mut Plan,
        window: &Window,
        pairs: &View,
        (rows, first): (&Rows, u32),
        sites_per_patch: u32,
        spins: &View,
    ) -> Result<()> {
        let sites = window.patches * sites_per_patch;
        let (count, n) = (u64::from(rows.capacity), u64::from(sites));
        let [tokens, sample_of, moves, _] = self.bindings(window);
        let [pairs, spins] = bind!(pairs[2 * (u64::from(first) + count)], spins[count * n]);
        plan.launch(&Launch {
            kernel: &SPINS,
            spec: &[],
            bindings: &[tokens, sample_of, moves, pairs, spins],
            params: &[
                ("rows", rows.capacity.into()),
                ("sites", sites.into()),
                ("sites_per_patch", sites_per_patch.into()),
                ("patches", window.patches.into()),
                ("first", first.into()),
                ("samples", window.samples.into()),
                ("moves", self.count.into()),
            ],
            groups: rows.times(sites).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 8.0 * (count * n) as f64 },
            shape: format!("({count}, {n})"),
        })
    }
}

/// Complex amplitude ratios of connected configurations.
#[derive(Debug, Clone)]
pub struct ConnectedRatio {
    /// Pairs of the list.
    pub pairs: View,
    /// Number of pairs of the list.
    pub total: View,
    /// (B) u32
    pub sample_of: View,
    /// (rows) log ψ² and (rows) phase of the connected configurations
    pub moved: [View; 2],
    /// (B) log ψ² and (B) phase of the samples
    pub own: [View; 2],
    /// (B, moves, 2)
    pub ratio: View,
}

impl ConnectedRatio {
    /// Records the ratios of the pairs from `first` onwards, for `samples` samples and `moves` off-diagonal terms.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, (rows, first): (&Rows, u32), samples: u32, moves: u32) -> Result<()> {
        let (count, b) = (u64::from(rows.capacity), u64::from(samples));
        let ([moved_log_p, moved_phase], [log_p, phase]) = (&self.moved, &self.own);
        plan.launch(&Launch {
            kernel: &RATIO,
            spec: &[],
            bindings: &bind!(
                self.pairs[2 * (u64::from(first) + count)],
                self.sample_of[b],
                moved_log_p[count],
                moved_phase[count],
                log_p[b],
                phase[b],
                self.total[1],
                self.ratio[2 * b * u64::from(moves)]
            ),
            params: &[("rows", rows.capacity.into()), ("first", first.into()), ("moves", moves.into())],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 8.0 * count as f64, bytes: 32.0 * count as f64 },
            shape: format!("({count})"),
        })
    }
}
