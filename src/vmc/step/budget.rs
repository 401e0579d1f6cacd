//! Memory plan of a training step: a partition whose buffers fit into the memory budget and the adapter's limits.
//!
//! The partition consists of samples per group, deduplicated samples per pass over connected configurations, rows of
//! the hidden layer, and samples per gradient pass. Its buffers are counted by a dry run of the code that allocates
//! them ([`crate::gpu::Gpu::dry_run`]), with a reserve of 8 MiB for what a dry run does not allocate. For 16 to 256
//! sites, 64 to 4096 samples, and 1, 4/3 and 3 times the minimum budget, the allocations that wgpu's allocator reports
//! never exceed the budget (`tests/memory.rs`). They are 0.5 to 3.5 MiB above the crate's own count,
//! [`crate::Gpu::allocated`]. The blocks of 4 MiB that wgpu allocates from the driver exceeded the budget once in 106
//! cases, by 6 %, because buffers of 2 to 4 MiB do not share a block.
//!
//! The budget does not include what is not a buffer: compiled kernels, and about 1.8 KB of host memory per launch of a
//! plan.

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Allocations;
use crate::kernels::linear::block_items;
use crate::model::Capacity;

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
/// Maximum number of rows of a pass over connected configurations, whose metadata has four words for each row.
const MAX_CONNECTED_ROWS: u32 = 1 << 28;
/// Maximum number of rows of the hidden scratch.
const MAX_HIDDEN_ROWS: u64 = 1 << 20;
/// Maximum number of parts to which a batch is split to save memory. Every part has its own dispatches. With more than
/// some hundreds of parts, the plan takes more memory than the split saves, and is slower to build and run.
const PARTS: u32 = 64;
/// Maximum number of groups, each of which has its own dispatches for every patch.
const GROUPS: u32 = 16;
/// Bytes that a dry run does not count: indirect grids and launch parameters (1 MiB), staging copies (1 MiB), wgpu's
/// own buffers (0.5 MiB), and the unused rest of the 4 MiB blocks that wgpu allocates from the driver.
const RESERVE: u64 = 8 << 20;

/// Batch of a step that is to be partitioned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    /// B
    pub samples: u32,
    /// Whether gradients are computed.
    pub training: bool,
    /// Minimum number of samples per gradient pass, or all samples if there are fewer.
    pub least_chunk: u32,
    /// Rows per sample in the sums over rows of the gradient pass.
    pub sum_rows: u32,
    /// Rows per item of a pass over connected configurations.
    pub rows_per_item: u32,
}

/// Memory of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Bytes of all buffers.
    pub bytes: u64,
    /// Bytes that are in use before the partition is known: parameters, tables, optimizer.
    pub fixed: u64,
}

/// One of the sizes of a [`StepPartition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Items,
    Hidden,
    Training,
    Group,
}

impl Batch {
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

    /// Partition into as few parts as the kernels allow.
    fn largest(&self) -> StepPartition {
        let group = self.span();
        let rows = (u64::from(group) * u64::from(self.rows_per_item)).max(group.into());
        StepPartition {
            group,
            items: group.min(MAX_CONNECTED_ROWS / self.rows_per_item.max(1)).max(1),
            hidden_rows: (rows.min(MAX_HIDDEN_ROWS) as u32).next_multiple_of(ALIGNMENT),
            training: if self.training { group.min(self.samples) } else { 0 },
        }
    }

    /// Minimum sizes for the adapter's limits.
    fn smallest(&self) -> StepPartition {
        StepPartition {
            group: ALIGNMENT,
            items: 1,
            hidden_rows: ALIGNMENT,
            training: self.least_chunk.next_multiple_of(self.block()).min(self.samples),
        }
    }

    /// Minimum sizes to which `largest` is reduced to save memory.
    fn least(&self, largest: &StepPartition) -> StepPartition {
        let each = self.samples.div_ceil(PARTS);
        let rows = u64::from(self.samples) * u64::from(self.rows_per_item);
        let hidden = rows.div_ceil(4 * u64::from(PARTS)).min(largest.hidden_rows.into()) as u32;
        StepPartition {
            group: self.samples.div_ceil(GROUPS).next_multiple_of(ALIGNMENT).min(largest.group),
            items: each.min(largest.items),
            hidden_rows: hidden.max(1).next_multiple_of(ALIGNMENT),
            training: each.max(self.least_chunk).next_multiple_of(self.block()).min(largest.training),
        }
    }

    /// Halves one size of a partition, down to that of `least`. `None` if it is not larger.
    fn halved(&self, sizes: &StepPartition, part: Part, least: &StepPartition) -> Option<StepPartition> {
        let half = |size: u32, unit: u32, least: u32| {
            let half = size.div_ceil(2).next_multiple_of(unit).max(least);
            (half < size).then_some(half)
        };
        let mut smaller = *sizes;
        match part {
            Part::Items => smaller.items = half(sizes.items, 1, least.items)?,
            Part::Hidden => smaller.hidden_rows = half(sizes.hidden_rows, ALIGNMENT, least.hidden_rows)?,
            Part::Training => smaller.training = half(sizes.training, self.block(), least.training)?,
            Part::Group => {
                smaller.group = half(sizes.group, ALIGNMENT, least.group)?;
                smaller.items = smaller.items.min(smaller.group);
            }
        }
        Some(smaller)
    }

    /// Returns the partition into the fewest parts whose buffers fit into the budget and into one binding each, and the
    /// unused bytes of the budget. `count` counts the buffers of a partition.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] with the minimum budget, or if a part does not fit into one binding; any error of `count`.
    pub(crate) fn fit(
        &self,
        budget: Budget,
        count: impl Fn(&StepPartition) -> Result<Allocations>,
    ) -> Result<(StepPartition, u64)> {
        let mut sizes = self.largest();
        let mut all = count(&sizes)?;
        while all.excess > 0 {
            let parts = [Part::Items, Part::Hidden, Part::Training, Part::Group];
            match self.smaller(&sizes, &self.smallest(), &parts, &count, |of| of.excess, &all)? {
                Some(smaller) => (sizes, all) = smaller,
                None => return Err(too_wide(&all)),
            }
        }
        let least = self.least(&sizes);
        let total = |all: &Allocations| all.bytes + budget.fixed + RESERVE;
        while total(&all) > budget.bytes {
            // Groups come last, because equal samples are only found within a group.
            let parts = [Part::Items, Part::Hidden, Part::Training];
            let smaller = match self.smaller(&sizes, &least, &parts, &count, |of| of.bytes, &all)? {
                Some(smaller) => Some(smaller),
                None => self.smaller(&sizes, &least, &[Part::Group], &count, |of| of.bytes, &all)?,
            };
            match smaller {
                Some(smaller) => (sizes, all) = smaller,
                None => {
                    let enough = total(&all).div_ceil(1 << 20);
                    let message = format!(
                        "a memory budget of {} MiB is too small for this run, whose smallest parts take {enough} MiB; \
                         give TrainConfig::memory={enough}MiB or more, or use fewer samples or a smaller model",
                        budget.bytes >> 20,
                    );
                    return Err(Error::new(ErrorKind::Memory, message));
                }
            }
        }
        let spare = budget.bytes - total(&all);
        Ok((sizes, spare))
    }

    /// Halves that one of `parts` which lowers `cost` most below that of `all`. `None` if none does.
    fn smaller(
        &self,
        sizes: &StepPartition,
        least: &StepPartition,
        parts: &[Part],
        count: &impl Fn(&StepPartition) -> Result<Allocations>,
        cost: impl Fn(&Allocations) -> u64,
        all: &Allocations,
    ) -> Result<Option<(StepPartition, Allocations)>> {
        let mut best: Option<(StepPartition, Allocations)> = None;
        for halved in parts.iter().filter_map(|part| self.halved(sizes, *part, least)) {
            let counted = count(&halved)?;
            let lowest = best.as_ref().map_or(cost(all), |(_, best)| cost(best));
            if cost(&counted) < lowest {
                best = Some((halved, counted));
            }
        }
        Ok(best)
    }
}

/// The first of `most` and its repeated halves, in multiples of `unit`, that `fits`; at least `unit`, or `most` if that
/// is smaller.
///
/// # Errors
/// Any error of `fits`.
pub(crate) fn halved_until(most: u32, unit: u32, fits: impl Fn(u32) -> Result<bool>) -> Result<u32> {
    let mut size = most;
    while size > unit && !fits(size)? {
        size = size.div_ceil(2).next_multiple_of(unit);
    }
    Ok(size)
}

fn too_wide(all: &Allocations) -> Error {
    let (label, bytes) = all.largest.clone().unwrap_or_default();
    let message = format!(
        "buffer `{label}` takes {bytes} bytes in the smallest parts of a step, which exceeds the adapter's limit for one \
         binding; use a larger patch, a smaller width, fewer samples or another adapter"
    );
    Error::new(ErrorKind::Memory, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: u64 = 128 << 20;

    fn batch() -> Batch {
        Batch { samples: 256, training: true, least_chunk: 1, sum_rows: 16, rows_per_item: 480 }
    }

    /// Buffers of a made-up network with the given bytes per sample, row, hidden row and training sample.
    fn count(sizes: &StepPartition, per: [u64; 4], rows_per_item: u32, binding: u64) -> Allocations {
        let rows = sizes.items * rows_per_item;
        let units = [sizes.group, rows, sizes.hidden_rows, sizes.training].map(u64::from);
        let mut all = Allocations::default();
        for (bytes, name) in units.into_iter().zip(per).map(|(units, per)| units * per).zip(["a", "b", "c", "d"]) {
            all.bytes += bytes;
            all.excess += bytes.saturating_sub(binding);
            if all.largest.as_ref().is_none_or(|(_, largest)| bytes > *largest) {
                all.largest = Some((name.into(), bytes));
            }
        }
        all
    }

    const PER: [u64; 4] = [50_000, 3_000, 8192, 600_000];

    fn fit(batch: Batch, bytes: u64, binding: u64) -> Result<(StepPartition, u64)> {
        let budget = Budget { bytes, fixed: 5 << 20 };
        batch.fit(budget, |sizes| Ok(count(sizes, PER, batch.rows_per_item, binding)))
    }

    #[test]
    fn partitions_fit_into_the_budget() {
        for mebibytes in [120u64, 200, 500, 1024, 4096] {
            let (sizes, spare) = fit(batch(), mebibytes << 20, BINDING).unwrap();
            let all = count(&sizes, PER, 480, BINDING);
            assert_eq!(all.bytes + (13 << 20) + spare, mebibytes << 20, "{sizes:?}");
            assert_eq!(all.excess, 0, "{sizes:?}");
        }
        let (sizes, _) = fit(batch(), 64 << 30, 32 << 30).unwrap();
        assert_eq!(sizes, batch().largest());
    }

    /// The number of parts of a batch is limited for any budget.
    #[test]
    fn parts_are_few() {
        for samples in [2, 64, 100, 256, 5000, 1 << 17] {
            let batch = Batch { samples, ..batch() };
            let enough = (1..44).find_map(|power| fit(batch, 1 << power, BINDING).ok()).unwrap().0;
            let widest = fit(batch, 1 << 50, BINDING).unwrap().0;
            let parts = |size: u32| samples.div_ceil(size);
            assert!(enough.groups(samples) <= GROUPS.max(widest.groups(samples)), "{samples}: {enough:?}");
            assert!(parts(enough.items) <= PARTS.max(parts(widest.items)), "{samples}: {enough:?}");
            assert!(parts(enough.training) <= PARTS.max(parts(widest.training)), "{samples}: {enough:?}");
            let whole_blocks = enough.training.is_multiple_of(batch.block()) || enough.training == samples;
            assert!(whole_blocks, "{samples}: chunks are no whole blocks, {enough:?}");
            assert!(enough.hidden_rows.is_multiple_of(ALIGNMENT) && enough.group.is_multiple_of(ALIGNMENT));
        }
    }

    /// No group has more samples than every driver can loop over, for any budget and adapter.
    #[test]
    fn groups_stay_below_the_loops_that_drivers_end() {
        for samples in [MAX_GROUP - 1, MAX_GROUP, MAX_GROUP + 1, 1 << 17] {
            let batch = Batch { samples, rows_per_item: 6, sum_rows: 1, ..batch() };
            let (sizes, _) = fit(batch, 1 << 50, 1 << 50).unwrap();
            assert_eq!(sizes.group, samples.next_multiple_of(ALIGNMENT).min(MAX_GROUP), "{samples}: {sizes:?}");
        }
    }

    /// Every size shrinks to its minimum before a budget is an error, and the error names a sufficient budget.
    #[test]
    fn an_error_names_the_smallest_budget() {
        let error = fit(batch(), 1 << 20, BINDING).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory);
        let text = error.to_string();
        let number = text.split("TrainConfig::memory=").nth(1).and_then(|text| text.split("MiB").next());
        let enough: u64 = number.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
        let (sizes, _) = fit(batch(), enough << 20, BINDING).unwrap();
        let widest = fit(batch(), 1 << 50, BINDING).unwrap().0;
        assert_eq!(sizes, batch().least(&widest));
        assert!(fit(batch(), (enough - 1) << 20, BINDING).is_err());
    }

    /// A limit on bindings that the smallest parts exceed is an error with the name of the buffer.
    #[test]
    fn a_binding_that_is_too_wide_is_named() {
        let error = fit(batch(), 1 << 50, 1 << 20).unwrap_err();
        assert!(error.to_string().contains("`d`"), "{error}");
    }
}
