//! How large the parts of a step may be within a memory budget and the adapter's limits.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Capacity, Needs};

/// What a step consists of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// B
    pub samples: u32,
    /// Whether gradients are wanted.
    pub training: bool,
    /// Elements of a flat buffer of parameters, and how many such buffers there are.
    pub parameters: [u64; 2],
    /// The network's elements per unit.
    pub needs: Needs,
    /// N, M, R, T
    pub shape: [u64; 4],
    /// Elements of the Hamiltonian's tables.
    pub tables: u64,
}

/// Sizes that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepSizes {
    /// Samples drawn, made distinct and moved together.
    pub group: u32,
    /// Distinct samples in one pass over moves.
    pub items: u32,
    /// Rows of the hidden scratch.
    pub hidden_rows: u32,
    /// Distinct samples in one pass with gradient; 0 without.
    pub training: u32,
}

impl StepSizes {
    /// Groups of a batch of `samples`.
    pub fn groups(&self, samples: u32) -> u32 {
        samples.div_ceil(self.group)
    }

    /// What the network must have room for.
    pub fn capacity(&self, rows_per_item: u32) -> Capacity {
        Capacity {
            samples: self.group,
            move_rows: self.items * rows_per_item,
            hidden_rows: self.hidden_rows,
            training_samples: self.training,
        }
    }
}

/// Ranges of buffers begin at multiples of this many samples, so that they begin at multiples of 64 elements.
const ALIGNMENT: u32 = 64;
/// Samples of a group at most: an invocation compares one with all before it, and Mesa's lavapipe 22.3 silently ends a
/// shader after 65,535 loop iterations.
const MAX_GROUP: u32 = 1 << 15;
/// Parts that a batch is cut into at most, to save memory: every part has its dispatches, and beyond some hundreds of
/// parts a plan is larger, and slower to build and run, than what it saves.
const PARTS: u32 = 64;
/// Bytes for parameters of shaders, grids, reports and what wgpu keeps itself.
const RESERVE: u64 = 4 << 20;

/// Elements of the arrays over samples, without the network's.
fn per_sample(patches: u64) -> u64 {
    2 * patches + 16
}

impl Demand {
    /// Elements of each part: what does not shrink, groups, moves, hidden rows, training.
    fn parts(&self, sizes: &StepSizes) -> [u64; 5] {
        let [n, m, r, t] = self.shape;
        let [group, items, hidden, training] =
            [sizes.group, sizes.items, sizes.hidden_rows, sizes.training].map(u64::from);
        let padded = u64::from(sizes.groups(self.samples)) * group;
        let fixed = self.parameters[0] * self.parameters[1] + self.tables + padded * per_sample(t);
        [
            fixed,
            group * (self.needs.sample[0] + 4 + m),
            items * (r * (self.needs.move_row[0] + 6) + n),
            hidden * self.needs.hidden_row,
            training * (self.needs.training_sample[0] + 6 * t),
        ]
    }

    /// The sizes below which no part of `largest` is cut.
    fn least(&self, largest: &StepSizes) -> StepSizes {
        let each = self.samples.div_ceil(PARTS);
        let rows = u64::from(self.samples) * self.shape[2];
        let hidden = rows.div_ceil(4 * u64::from(PARTS)).min(u64::from(largest.hidden_rows)) as u32;
        StepSizes {
            group: each.next_multiple_of(ALIGNMENT).min(largest.group),
            items: each.min(largest.items),
            hidden_rows: hidden.max(1).next_multiple_of(ALIGNMENT),
            training: each.min(largest.training),
        }
    }

    /// The largest sizes whose buffers fit into `memory` bytes, with bindings of at most `binding` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] with the least that would do.
    pub fn fit(&self, memory: u64, binding: u64) -> Result<StepSizes> {
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
        let group_limit = most(self.needs.sample[1].max(m).max(8)).min(MAX_GROUP) / ALIGNMENT * ALIGNMENT;
        let item_limit = most(r * self.needs.move_row[1].max(4)).min(most(n));
        let training_limit = most(self.needs.training_sample[1]);
        if group_limit == 0 {
            return Err(too_wide("a group of 64 samples"));
        }
        if item_limit == 0 {
            return Err(too_wide("the moves of one sample"));
        }
        if self.training && training_limit == 0 {
            return Err(too_wide("the pass with gradient of one sample"));
        }
        let group = self.samples.next_multiple_of(ALIGNMENT).min(group_limit);
        let items = group.min(item_limit);
        let widest_rows = (u64::from(items) * r).max(u64::from(group)).min(1 << 20) as u32;
        let mut sizes = StepSizes {
            group,
            items,
            hidden_rows: widest_rows
                .next_multiple_of(ALIGNMENT)
                .min(most(self.needs.hidden_row) / ALIGNMENT * ALIGNMENT),
            training: if self.training { self.samples.min(training_limit) } else { 0 },
        };
        if sizes.hidden_rows == 0 {
            return Err(too_wide("the hidden layer of 64 rows"));
        }
        let least = self.least(&sizes);
        let total = |sizes: &StepSizes| 4 * self.parts(sizes).iter().sum::<u64>() + RESERVE;
        while total(&sizes) > memory {
            if !self.shrink(&mut sizes, &least) {
                let message = format!(
                    "a memory budget of {} MiB is too small for this run, whose smallest parts take {} MiB; give --memory \
                     {}MiB or more, or use fewer samples or a smaller model",
                    memory >> 20,
                    total(&sizes).div_ceil(1 << 20),
                    total(&sizes).div_ceil(1 << 20)
                );
                return Err(Error::new(ErrorKind::Memory, message));
            }
        }
        Ok(sizes)
    }

    /// Halves the part that takes most, of those that can still be halved, down to `least`; groups last, because equal
    /// samples are only found within one.
    fn shrink(&self, sizes: &mut StepSizes, least: &StepSizes) -> bool {
        let [_, _, moves, hidden, training] = self.parts(sizes);
        let aligned = |size: u32| (size / 2).next_multiple_of(ALIGNMENT);
        let mut candidates = [
            (moves, sizes.items > least.items, 0),
            (hidden, hidden > 0 && sizes.hidden_rows > least.hidden_rows, 1),
            (training, sizes.training > least.training, 2),
        ];
        candidates.sort_by_key(|(elements, _, _)| std::cmp::Reverse(*elements));
        match candidates.iter().find(|(_, possible, _)| *possible) {
            Some((_, _, 0)) => sizes.items = sizes.items.div_ceil(2).max(least.items),
            Some((_, _, 1)) => sizes.hidden_rows = aligned(sizes.hidden_rows).max(least.hidden_rows),
            Some(_) => sizes.training = sizes.training.div_ceil(2).max(least.training),
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

    fn demand() -> Demand {
        let needs = Needs {
            sample: [13_000, 6144],
            move_row: [914, 384],
            hidden_row: 2048,
            training_sample: [150_000, 32_768],
        };
        Demand {
            samples: 256,
            training: true,
            parameters: [1_205_264, 4],
            needs,
            shape: [64, 64, 480, 16],
            tables: 10_000,
        }
    }

    #[test]
    fn sizes_shrink_until_they_fit() {
        let demand = demand();
        for mebibytes in [200u64, 500, 1024, 4096] {
            let sizes = demand.fit(mebibytes << 20, 128 << 20).unwrap();
            let total = 4 * demand.parts(&sizes).iter().sum::<u64>() + RESERVE;
            assert!(total <= mebibytes << 20, "{sizes:?} take {total}");
            assert!(u64::from(sizes.hidden_rows) * 2048 * 4 <= 128 << 20);
        }
        assert_eq!(demand.fit(4 << 30, 1 << 30).unwrap().group, 256);
    }

    /// However small the budget, a batch is cut into no more parts than a plan can hold.
    #[test]
    fn parts_are_few() {
        for samples in [2, 64, 100, 256, 5000, 1 << 17] {
            let demand = Demand { samples, ..demand() };
            let at = |memory: u64| demand.fit(memory, 128 << 20).ok();
            let enough = (1..40).find_map(|power| at(1 << power)).unwrap();
            let binding = demand.fit(1 << 50, 128 << 20).unwrap();
            let parts = |size: u32| samples.div_ceil(size);
            assert!(enough.groups(samples) <= PARTS.max(binding.groups(samples)), "{samples}: {enough:?}");
            assert!(parts(enough.items) <= PARTS.max(parts(binding.items)), "{samples}: {enough:?}");
            assert!(parts(enough.training) <= PARTS.max(parts(binding.training)), "{samples}: {enough:?}");
            assert!(enough.hidden_rows.is_multiple_of(ALIGNMENT) && enough.group.is_multiple_of(ALIGNMENT));
        }
    }

    /// Whatever the budget and the adapter allow, no kernel compares more samples than every driver can loop over.
    #[test]
    fn groups_stay_below_the_loops_that_drivers_end() {
        let needs = Needs { sample: [64, 16], move_row: [8, 8], hidden_row: 0, training_sample: [64, 16] };
        for samples in [MAX_GROUP - 1, MAX_GROUP, MAX_GROUP + 1, 1 << 17] {
            let demand = Demand { samples, needs, shape: [4, 4, 6, 1], ..demand() };
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
