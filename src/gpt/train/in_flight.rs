//! Steps in flight: training steps, and batches of held-out data after them.

use crate::error::Result;
use crate::gpt::RewardReport;
use crate::gpu::{Arrived, Gpu, Position, StepRing};

/// Words of the optimizer's state.
pub(super) const STATE_WORDS: u64 = 8;
/// Maximum number of items in flight, and maximum size of all their buffers in words if there are more than
/// [`LEAST_DEPTH`].
const DEPTH: u64 = 8;
const LEAST_DEPTH: u64 = 2;
const WORDS: u64 = 1 << 22;

/// What is in flight.
pub(super) enum Item {
    Step {
        step: u64,
        /// Targets of all batches.
        targets: Vec<u32>,
        /// Results of sampled continuations, without their entropy.
        reward: Option<RewardReport>,
    },
    /// Batch of held-out data with the weights after the last step.
    Validation { index: u64, targets: Vec<u32>, is_last: bool },
}

/// Item that has begun, at one of its plans.
pub(super) struct Begun {
    pub item: Item,
    /// Number of plans that are complete.
    pub complete: usize,
    /// Launch of the present plan.
    pub position: Position,
}

/// Results of an item in flight.
pub(super) struct Numbers {
    pub state: [f32; STATE_WORDS as usize],
    /// Losses and entropies of all rows of all batches.
    pub losses: Vec<f32>,
    pub entropies: Vec<f32>,
}

/// Item whose results have arrived.
pub(super) type ArrivedItem = Arrived<Item, Numbers>;

/// Sizes of the inputs and results of an item.
#[derive(Debug, Clone, Copy)]
pub(super) struct ItemSizes {
    /// Rows of a batch.
    pub rows: u64,
    /// Batches of a step.
    pub batches: u64,
    /// Words of the inputs of a step, and of each of its batches.
    pub inputs: [u64; 2],
}

impl ItemSizes {
    /// Word of the results at which the losses of `batch` begin, and that of its entropies.
    pub(super) fn results_at(&self, batch: u64) -> [u64; 2] {
        [batch, self.batches + batch].map(|part| STATE_WORDS + part * self.rows)
    }

    /// Word of the inputs at which those of `batch` begin.
    pub(super) fn inputs_at(&self, batch: u64) -> u64 {
        self.inputs[0] + batch * self.inputs[1]
    }
}

/// Ring of items in flight.
pub(super) type ItemRing = StepRing<Item>;

impl ItemRing {
    /// Creates a ring.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(super) fn of_items(gpu: &Gpu, sizes: ItemSizes) -> Result<Self> {
        let words = [sizes.inputs_at(sizes.batches), STATE_WORDS + 2 * sizes.rows * sizes.batches];
        let depth = (WORDS / words.iter().sum::<u64>()).clamp(LEAST_DEPTH, DEPTH);
        Self::new(gpu, depth as usize, words)
    }

    /// Waits for the oldest item in flight and returns its results; `None` if there is none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(super) fn receive_item(&mut self) -> Result<Option<ArrivedItem>> {
        self.receive(Numbers::of)
    }

    /// Returns the results of the oldest item in flight if they have arrived.
    ///
    /// # Errors
    /// As [`Self::receive_item`].
    pub(super) fn poll_item(&mut self) -> Result<Option<ArrivedItem>> {
        self.poll(Numbers::of)
    }
}

impl Numbers {
    fn of(words: &[u32]) -> Self {
        let (state, rows) = bytemuck::cast_slice(words).split_at(STATE_WORDS as usize);
        let (losses, entropies) = rows.split_at(rows.len() / 2);
        Self { state: std::array::from_fn(|at| state[at]), losses: losses.to_vec(), entropies: entropies.to_vec() }
    }
}
