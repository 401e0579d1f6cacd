//! Inputs and results of steps in flight, in a ring of staging buffers.
//!
//! All buffers are created once; `Queue::write_buffer` would create one for every step. Nothing here waits except
//! [`StepRing::receive`].

use std::collections::VecDeque;

use web_time::Instant;

use crate::error::Result;
use crate::gpu::{Gpu, Staging, View};

/// Staging buffers of a step in flight.
struct Slot {
    inputs: Staging,
    results: Staging,
}

/// Step in flight.
struct Pending<T> {
    slot: usize,
    step: T,
    /// Submission of the step; unknown if the caller submits it.
    submission: Option<wgpu::SubmissionIndex>,
}

/// Step whose results have arrived.
pub(crate) struct Arrived<T, R> {
    pub step: T,
    pub results: R,
    /// Wall time since the previous results.
    pub seconds: f64,
}

/// Ring of staging buffers for the inputs and results of steps in flight, each with what the host knows of it.
pub(crate) struct StepRing<T> {
    gpu: Gpu,
    /// Words of the inputs and of the results of a step.
    words: [u64; 2],
    slots: Vec<Slot>,
    pending: VecDeque<Pending<T>>,
    next: usize,
    /// Whether the next step has begun.
    has_begun: bool,
    last: Instant,
}

impl<T> StepRing<T> {
    /// Creates a ring for at most `depth` steps in flight, with `words` words of inputs and results each.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(gpu: &Gpu, depth: usize, words: [u64; 2]) -> Result<Self> {
        let slot = |_| {
            Ok(Slot {
                inputs: Staging::to_device(gpu, "ketformer.step.inputs", words[0])?,
                results: Staging::to_host(gpu, "ketformer.step.results", words[1])?,
            })
        };
        let slots = (0..depth).map(slot).collect::<Result<_>>()?;
        let pending = VecDeque::with_capacity(depth);
        Ok(Self { gpu: gpu.clone(), words, slots, pending, next: 0, has_begun: false, last: Instant::now() })
    }

    /// The device.
    pub(crate) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Words of the results of a step.
    pub(crate) fn result_words(&self) -> u64 {
        self.words[1]
    }

    /// Number of steps in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Whether no step is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether another step can begin without waiting.
    pub(crate) fn is_ready(&self) -> bool {
        self.pending.len() < self.slots.len() && self.slots[self.next].inputs.is_settled()
    }

    /// Forgets all steps in flight, with buffers as if none had been submitted.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn reset(&mut self) -> Result<()> {
        *self = Self::new(&self.gpu.clone(), self.slots.len(), self.words)?;
        Ok(())
    }

    /// Restarts the clock of the next results.
    pub(crate) fn restart_clock(&mut self) {
        self.last = Instant::now();
    }

    /// Begins a step: writes its inputs, one part after another.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn begin(&mut self, inputs: &[&[u32]]) -> Result<()> {
        self.slots[self.next].inputs.write(&self.gpu, inputs)?;
        self.has_begun = true;
        Ok(())
    }

    /// Encodes the copy of `words` words of the step's inputs, from word `first` on, to the start of `view`.
    pub(crate) fn copy_input(&self, encoder: &mut wgpu::CommandEncoder, first: u64, words: u64, view: &View) {
        self.slots[self.next].inputs.copy_to(encoder, first, words, view);
    }

    /// Encodes the copy of the first `words` words of `view` to word `first` of the step's results.
    pub(crate) fn copy_result(&self, encoder: &mut wgpu::CommandEncoder, view: &View, first: u64, words: u64) {
        self.slots[self.next].results.copy_from(encoder, view, 0, (first, words));
    }

    /// Ends the step with the submission of `encoder`, which has its last copies. It is in flight from here on.
    pub(crate) fn end(&mut self, encoder: &wgpu::CommandEncoder, step: T) {
        let slot = &self.slots[self.next];
        slot.inputs.map_on_submit(encoder);
        slot.results.map_on_submit(encoder);
        self.pending.push_back(Pending { slot: self.next, step, submission: None });
        self.next = (self.next + 1) % self.slots.len();
        self.has_begun = false;
    }

    /// Submits `encoder`, which ends the newest step.
    pub(crate) fn submit(&mut self, encoder: wgpu::CommandEncoder) {
        let submission = self.gpu.queue().submit([encoder.finish()]);
        if let Some(pending) = self.pending.back_mut() {
            pending.submission = Some(submission);
        }
    }

    /// Discards the step that has begun, if there is one. Its copies so far were submitted.
    ///
    /// # Errors
    /// As [`Gpu::flush`].
    pub(crate) fn discard(&mut self) -> Result<()> {
        if std::mem::take(&mut self.has_begun) {
            self.slots[self.next].inputs.map();
        }
        self.gpu.flush()
    }

    /// Waits for the oldest step in flight and returns it with what `read` makes of the words of its results; `None` if
    /// there is none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn receive<R>(&mut self, read: impl FnOnce(&[u32]) -> R) -> Result<Option<Arrived<T, R>>> {
        let Some(pending) = self.pending.pop_front() else { return Ok(None) };
        self.gpu.wait(pending.submission.clone())?;
        self.arrived(pending, read).map(Some)
    }

    /// As [`StepRing::receive`], but returns `None` without waiting if the results have not arrived.
    ///
    /// # Errors
    /// As [`StepRing::receive`].
    pub(crate) fn poll<R>(&mut self, read: impl FnOnce(&[u32]) -> R) -> Result<Option<Arrived<T, R>>> {
        let has_arrived = |pending: &Pending<T>| self.slots[pending.slot].results.is_settled();
        if !self.pending.front().is_some_and(has_arrived) {
            return Ok(None);
        }
        self.pending.pop_front().map(|pending| self.arrived(pending, read)).transpose()
    }

    fn arrived<R>(&mut self, pending: Pending<T>, read: impl FnOnce(&[u32]) -> R) -> Result<Arrived<T, R>> {
        let words = self.words[1] as usize;
        let results = self.slots[pending.slot].results.read(&self.gpu, |all| read(&all[..words]))?;
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        Ok(Arrived { step: pending.step, results, seconds })
    }
}
