//! Asynchronous readback of the results of steps in flight.

use std::collections::VecDeque;
use std::sync::Arc;

use web_time::Instant;

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Mapping, View};

/// Words of the optimizer's state.
pub(super) const STATE_WORDS: usize = 8;
/// Maximum number of steps in flight.
const DEPTH: usize = 2;

struct Slot {
    buffer: Buffer,
    mapped: Arc<Mapping>,
}

struct Pending {
    slot: usize,
    step: u64,
    submission: wgpu::SubmissionIndex,
}

/// Results of a step.
pub(super) struct StepResults {
    pub step: u64,
    pub state: [f32; STATE_WORDS],
    /// Losses and entropies of all rows of all batches.
    pub loss: Vec<f32>,
    pub entropy: Vec<f32>,
    pub seconds: f64,
}

/// Staging buffers of steps in flight: state of the optimizer, losses and entropies of `batches` batches.
pub(super) struct Readback {
    gpu: Gpu,
    slots: Vec<Slot>,
    pending: VecDeque<Pending>,
    next: usize,
    rows: usize,
    batches: usize,
    last: Instant,
}

impl Readback {
    pub(super) fn new(gpu: &Gpu, rows: usize, batches: usize) -> Result<Self> {
        let words = STATE_WORDS + 2 * rows * batches;
        let slot = |_| {
            let buffer = gpu.buffer_to_host("ketformer.step.results", words as u64)?;
            Ok(Slot { buffer, mapped: Arc::default() })
        };
        let slots = (0..DEPTH).map(slot).collect::<Result<_>>()?;
        Ok(Self { gpu: gpu.clone(), slots, pending: VecDeque::new(), next: 0, rows, batches, last: Instant::now() })
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() == DEPTH
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Forgets all steps in flight.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(super) fn reset(&mut self) -> Result<()> {
        *self = Self::new(&self.gpu.clone(), self.rows, self.batches)?;
        Ok(())
    }

    /// Restarts the clock of the next report.
    pub(super) fn restart_clock(&mut self) {
        self.last = Instant::now();
    }

    /// Submits copies of the results of batch `batch` of the step that is being submitted.
    pub(super) fn copy_batch(&self, batch: usize, [loss, entropy]: [&View; 2]) {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        for (part, view) in [loss, entropy].into_iter().enumerate() {
            let first = STATE_WORDS + (part * self.batches + batch) * self.rows;
            let into = self.slots[self.next].buffer.wgpu();
            encoder.copy_buffer_to_buffer(view.wgpu(), view.offset(), into, 4 * first as u64, 4 * self.rows as u64);
        }
        self.gpu.queue().submit([encoder.finish()]);
    }

    /// Submits the copy of the optimizer's state, which completes the results of step `step`.
    pub(super) fn complete(&mut self, step: u64, state: &View) {
        let at = self.next;
        let slot = &self.slots[at];
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(state.wgpu(), state.offset(), slot.buffer.wgpu(), 0, 4 * STATE_WORDS as u64);
        let submission = self.gpu.queue().submit([encoder.finish()]);
        slot.mapped.ask(&slot.buffer, wgpu::MapMode::Read);
        self.pending.push_back(Pending { slot: at, step, submission });
        self.next = (at + 1) % DEPTH;
    }

    /// Waits for the oldest step in flight and returns its results; `None` if there is none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(super) fn receive(&mut self) -> Result<Option<StepResults>> {
        let Some(Pending { slot, step, submission }) = self.pending.pop_front() else { return Ok(None) };
        self.gpu.wait(Some(submission))?;
        let slot = &self.slots[slot];
        let lost = || self.gpu.device_error("the results of a step could not be read back; start again");
        if !slot.mapped.is_mapped() {
            return Err(lost());
        }
        let mut state = [0.0; STATE_WORDS];
        let (loss, entropy) = {
            let mapped = slot.buffer.wgpu().get_mapped_range(..).map_err(|e| lost().caused_by(e))?;
            let words: &[f32] = bytemuck::cast_slice(&mapped);
            state.copy_from_slice(&words[..STATE_WORDS]);
            let rows = self.rows * self.batches;
            let (loss, entropy) = words[STATE_WORDS..STATE_WORDS + 2 * rows].split_at(rows);
            (loss.to_vec(), entropy.to_vec())
        };
        slot.buffer.wgpu().unmap();
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        Ok(Some(StepResults { step, state, loss, entropy, seconds }))
    }
}
