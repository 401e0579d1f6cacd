//! Memory plan of a training step: sizes of its parts within a memory budget and the adapter's limits.
//!
//! The partition fits into the memory budget and into the binding limit of the adapter: samples per group, deduplicated
//! samples per pass over connected configurations, and samples per gradient pass. The model counts every buffer and
//! reserves 8 MiB for what it cannot count. For 16 to 256 sites, 64 to 4096 samples, and 1, 4/3 and 3 times the minimum
//! budget, the allocations that wgpu's allocator reports never exceed the budget (`tests/memory.rs`). They are 0.5 to
//! 3.5 MiB above the crate's own count, [`crate::Gpu::allocated`]. The blocks of 4 MiB that wgpu allocates from the
//! driver exceeded the budget once in 106 cases, by 6 %, because buffers of 2 to 4 MiB do not share a block.
//!
//! The budget does not include what is not a buffer: compiled kernels, and about 1.8 KB of host memory per launch of a
//! plan.

use super::dedup::COUNTER_STRIDE;
use super::gradient::LogPsiCotangent;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::linear::{block_items, block_rows};
use crate::kernels::vmc::energy::COLUMNS;
use crate::model::{Capacity, MemoryFootprint};

/// Memory model of a step: its buffers as a function of the partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryModel {
    /// B
    pub samples: u32,
    /// Whether gradients are computed.
    pub training: bool,
    /// Elements that do not depend on the partition: parameters, moments.
    pub fixed: u64,
    /// Elements of the network per unit.
    pub needs: MemoryFootprint,
    /// N, M, R, T
    pub shape: [u64; 4],
    /// Minimum number of samples per gradient pass, or all samples if there are fewer.
    pub least_chunk: u32,
    /// Rows per sample in the gradient pass, each with one term of log P.
    pub columns: u64,
    /// Rows per sample in the sums over rows of the gradient pass.
    pub sum_rows: u32,
    /// Parts of log ψ: 1 if the wave function is real, otherwise 2.
    pub parts: u64,
    /// Elements of the Hamiltonian's tables.
    pub tables: u64,
}

/// Partition of a step that fits into the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepPartition {
    /// Samples that are drawn and deduplicated together.
    pub group: u32,
    /// Deduplicated samples per pass over connected configurations.
    pub items: u32,
    /// Rows of the hidden scratch.
    pub hidden_rows: u32,
    /// Deduplicated samples per gradient pass: all, or a multiple of the samples of a block of its sums; 0 without
    /// training.
    pub training: u32,
}

impl StepPartition {
    /// Number of groups of a batch of `samples`.
    pub(crate) fn groups(&self, samples: u32) -> u32 {
        samples.div_ceil(self.group)
    }

    /// Capacity that the network needs.
    pub(crate) fn capacity(&self, rows_per_item: u32) -> Capacity {
        Capacity {
            samples: self.group,
            move_rows: self.items * rows_per_item,
            hidden_rows: self.hidden_rows,
            training_samples: self.training,
        }
    }
}

/// Alignment of ranges of buffers in samples, which aligns them to 64 elements.
const ALIGNMENT: u32 = 64;
/// Maximum number of samples per group. An invocation compares a sample with all samples before it, and Mesa's lavapipe
/// 22.3 silently terminates a shader after 65,535 loop iterations.
const MAX_GROUP: u32 = 1 << 15;
/// Maximum number of parts to which a batch is split to save memory. Every part has its own dispatches. With more than
/// some hundreds of parts, the plan takes more memory than the split saves, and is slower to build and run.
const PARTS: u32 = 64;
/// Maximum number of groups, each of which has its own dispatches for every patch.
const GROUPS: u32 = 16;
/// Bytes that the model does not count: indirect grids and launch parameters (1 MiB), staging copies (1 MiB), wgpu's
/// own buffers (0.5 MiB), and the unused rest of the 4 MiB blocks that wgpu allocates from the driver.
const RESERVE: u64 = 8 << 20;

impl MemoryModel {
    /// Samples per span, independent of the memory: all, or as many as can be compared.
    fn span(&self) -> u32 {
        self.samples.next_multiple_of(ALIGNMENT).min(MAX_GROUP)
    }

    /// Samples per span if groups are smaller than spans, so that spans need their own deduplication.
    pub(crate) fn own_span(&self, sizes: &StepPartition) -> Option<u32> {
        (self.training && sizes.group < self.span()).then_some(self.span())
    }

    /// Samples per block of the sums over rows in the gradient pass.
    fn block(&self) -> u32 {
        block_items(self.sum_rows)
    }

    /// Number of blocks of a gradient pass over `samples` samples.
    fn blocks(&self, samples: u64) -> u64 {
        (samples * u64::from(self.sum_rows)).div_ceil(u64::from(block_rows(self.sum_rows)))
    }

    /// Elements of the buffers over all samples, including the counters and their readback.
    fn over_samples(&self, sizes: &StepPartition) -> u64 {
        let b = u64::from(self.samples);
        let [group, groups] = [sizes.group, sizes.groups(self.samples)].map(u64::from);
        // Tokens, log ψ, indices and counts of deduplicated samples, values; weights in training.
        let weights = if self.training { LogPsiCotangent::elements(b, self.parts) } else { 0 };
        let drawn = groups * group * (self.shape[3] + self.parts * self.columns + 3 + u64::from(COLUMNS)) + weights;
        let (widest, spans, numbers) = match self.own_span(sizes).map(u64::from) {
            Some(span) => (span, b.div_ceil(span), 3 * b.next_multiple_of(span)),
            None => (group, 0, 0),
        };
        drawn + numbers + 3 * widest + COUNTER_STRIDE * (groups + 3 * spans.max(1))
    }

    /// Elements of each part: fixed size, groups, connected configurations, hidden rows, training.
    fn parts(&self, sizes: &StepPartition) -> [u64; 5] {
        let [n, m, r, _] = self.shape;
        let [group, items, hidden, training] =
            [sizes.group, sizes.items, sizes.hidden_rows, sizes.training].map(u64::from);
        let gradient = self.needs.training_sample[0] + (5 + self.parts) * self.columns;
        [
            self.fixed + self.needs.fixed + self.tables + self.over_samples(sizes),
            group * (self.needs.sample[0] + 4 + self.parts * m),
            items * (r * (self.needs.move_row[0] + 5 + self.parts) + n),
            hidden * self.needs.hidden_row,
            training * gradient + self.blocks(training) * self.needs.training_block,
        ]
    }

    /// Bytes of all parts and of [`RESERVE`].
    pub(crate) fn bytes(&self, sizes: &StepPartition) -> u64 {
        4 * self.parts(sizes).iter().sum::<u64>() + RESERVE
    }

    /// Minimum sizes to which `largest` is reduced.
    fn least(&self, largest: &StepPartition) -> StepPartition {
        let each = self.samples.div_ceil(PARTS);
        let rows = u64::from(self.samples) * self.shape[2];
        let hidden = rows.div_ceil(4 * u64::from(PARTS)).min(u64::from(largest.hidden_rows)) as u32;
        StepPartition {
            group: self.samples.div_ceil(GROUPS).next_multiple_of(ALIGNMENT).min(largest.group),
            items: each.min(largest.items),
            hidden_rows: hidden.max(1).next_multiple_of(ALIGNMENT),
            training: each.max(self.least_chunk).next_multiple_of(self.block()).min(largest.training),
        }
    }

    /// Returns the largest sizes whose buffers fit into `memory` bytes, with bindings of at most `binding` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] with the minimum budget, or if a part does not fit into one binding.
    pub(crate) fn fit(&self, memory: u64, binding: u64) -> Result<StepPartition> {
        let [n, m, r, _] = self.shape;
        let elements = binding / 4;
        let most = |per_unit: u64| (elements / per_unit.max(1)).min(u64::from(u32::MAX / 2)) as u32;
        let too_wide = |what: &str| {
            let message = format!(
                "{what} does not fit into one binding of {binding} bytes, the adapter's limit; use a larger patch, a \
                 smaller width or another adapter"
            );
            Error::new(ErrorKind::Memory, message)
        };
        let group_limit =
            most(self.needs.sample[1].max(self.parts * m).max(COLUMNS.into())).min(MAX_GROUP) / ALIGNMENT * ALIGNMENT;
        let item_limit = most(r * self.needs.move_row[1].max(4)).min(most(n));
        // The blocks of the gradient sums also share one buffer.
        let blocks_limit = u64::from(most(self.needs.training_block)) * u64::from(block_rows(self.sum_rows));
        let training_limit = most(self.needs.training_sample[1]).min((blocks_limit / u64::from(self.sum_rows)) as u32);
        let training = if training_limit >= self.span() {
            self.span().min(self.samples)
        } else {
            training_limit / self.block() * self.block()
        };
        if group_limit == 0 {
            return Err(too_wide("a group of 64 samples"));
        }
        if item_limit == 0 {
            return Err(too_wide("the connected configurations of one sample"));
        }
        if self.training && training < self.samples.min(self.least_chunk) {
            let samples = self.block().max(self.least_chunk);
            return Err(too_wide(&format!("the gradient pass over {samples} samples")));
        }
        let group = self.samples.next_multiple_of(ALIGNMENT).min(group_limit);
        let items = group.min(item_limit);
        let widest_rows = (u64::from(items) * r).max(u64::from(group)).min(1 << 20) as u32;
        let mut sizes = StepPartition {
            group,
            items,
            hidden_rows: widest_rows
                .next_multiple_of(ALIGNMENT)
                .min(most(self.needs.hidden_row) / ALIGNMENT * ALIGNMENT),
            training: if self.training { training } else { 0 },
        };
        if sizes.hidden_rows == 0 {
            return Err(too_wide("the hidden layer of 64 rows"));
        }
        let least = self.least(&sizes);
        while self.bytes(&sizes) > memory {
            if !self.shrink(&mut sizes, &least) {
                let enough = self.bytes(&sizes).div_ceil(1 << 20);
                let message = format!(
                    "a memory budget of {} MiB is too small for this run, whose smallest parts take {enough} MiB; give \
                     --memory {enough}MiB or more, or use fewer samples or a smaller model",
                    memory >> 20,
                );
                return Err(Error::new(ErrorKind::Memory, message));
            }
        }
        Ok(sizes)
    }

    /// Halves the largest part that is above `least`. Returns `false` if there is none. Groups come last, because equal
    /// samples are only found within a group.
    fn shrink(&self, sizes: &mut StepPartition, least: &StepPartition) -> bool {
        let [_, _, moves, hidden, training] = self.parts(sizes);
        let halved = |size: u32, unit: u32| (size / 2).next_multiple_of(unit);
        let aligned = |size: u32| halved(size, ALIGNMENT);
        let mut candidates = [
            (moves, sizes.items > least.items, 0),
            (hidden, hidden > 0 && sizes.hidden_rows > least.hidden_rows, 1),
            (training, sizes.training > least.training, 2),
        ];
        candidates.sort_by_key(|(elements, _, _)| std::cmp::Reverse(*elements));
        match candidates.iter().find(|(_, possible, _)| *possible) {
            Some((_, _, 0)) => sizes.items = sizes.items.div_ceil(2).max(least.items),
            Some((_, _, 1)) => sizes.hidden_rows = aligned(sizes.hidden_rows).max(least.hidden_rows),
            Some(_) => sizes.training = halved(sizes.training, self.block()).max(least.training),
            None if sizes.group > least.group => {
                sizes.group = aligned(sizes.group).max(least.group);
                sizes.items = sizes.items.min(sizes.group);
            }
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand() -> MemoryModel {
        let needs = MemoryFootprint {
            sample: [13_000, 6144],
            move_row: [914, 384],
            hidden_row: 2048,
            training_sample: [150_000, 32_768],
            training_block: 265_000,
            fixed: 2048,
        };
        MemoryModel {
            samples: 256,
            training: true,
            fixed: 4 * 1_205_264,
            needs,
            shape: [64, 64, 480, 16],
            columns: 16,
            least_chunk: 1,
            sum_rows: 16,
            parts: 1,
            tables: 10_000,
        }
    }

    #[test]
    fn sizes_shrink_until_they_fit() {
        let demand = demand();
        for mebibytes in [200u64, 500, 1024, 4096] {
            let sizes = demand.fit(mebibytes << 20, 128 << 20).unwrap();
            let total = demand.bytes(&sizes);
            assert!(total <= mebibytes << 20, "{sizes:?} take {total}");
            assert!(u64::from(sizes.hidden_rows) * 2048 * 4 <= 128 << 20);
        }
        assert_eq!(demand.fit(4 << 30, 1 << 30).unwrap().group, 256);
    }

    /// The number of parts of a batch is limited for any budget.
    #[test]
    fn parts_are_few() {
        for samples in [2, 64, 100, 256, 5000, 1 << 17] {
            let demand = MemoryModel { samples, ..demand() };
            let at = |memory: u64| demand.fit(memory, 128 << 20).ok();
            let enough = (1..40).find_map(|power| at(1 << power)).unwrap();
            let binding = demand.fit(1 << 50, 128 << 20).unwrap();
            let parts = |size: u32| samples.div_ceil(size);
            assert!(enough.groups(samples) <= GROUPS.max(binding.groups(samples)), "{samples}: {enough:?}");
            assert!(parts(enough.items) <= PARTS.max(parts(binding.items)), "{samples}: {enough:?}");
            assert!(parts(enough.training) <= PARTS.max(parts(binding.training)), "{samples}: {enough:?}");
            let whole_blocks = enough.training.is_multiple_of(demand.block()) || enough.training == samples;
            assert!(whole_blocks, "{samples}: chunks are no whole blocks, {enough:?}");
            assert!(enough.hidden_rows.is_multiple_of(ALIGNMENT) && enough.group.is_multiple_of(ALIGNMENT));
        }
    }

    /// No group has more samples than every driver can loop over, for any budget and adapter.
    #[test]
    fn groups_stay_below_the_loops_that_drivers_end() {
        let unit = [8, 8];
        let needs =
            MemoryFootprint { sample: unit, move_row: unit, hidden_row: 0, training_sample: unit, ..demand().needs };
        for samples in [MAX_GROUP - 1, MAX_GROUP, MAX_GROUP + 1, 1 << 17] {
            let demand = MemoryModel { samples, needs, shape: [4, 4, 6, 1], columns: 1, sum_rows: 1, ..demand() };
            let sizes = demand.fit(1 << 50, 1 << 40).unwrap();
            assert_eq!(sizes.group, samples.next_multiple_of(ALIGNMENT).min(MAX_GROUP), "{samples}: {sizes:?}");
        }
    }

    #[test]
    fn a_budget_that_is_too_small_says_what_would_do() {
        let error = demand().fit(1 << 20, 128 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory);
        assert!(error.to_string().contains("--memory"), "{error}");
    }
}
