//! What a step reports, read back without waiting for the GPU.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, View};

/// One training step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: u64,
    /// Mean local energy, of the whole lattice.
    pub energy: f64,
    /// Standard error of that mean, √(variance / B).
    pub energy_error: f64,
    /// Unbiased variance of the local energy.
    pub variance: f64,
    /// Mean occupation ⟨n⟩.
    pub density: f64,
    /// Mean ⟨σˣ⟩ per site; NaN where the Hamiltonian does not flip every site.
    pub sigma_x: f64,
    /// Mean of |Σ (−1)^(x+y) (n − ½)| / N.
    pub staggered: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Distinct configurations among the samples.
    pub unique: u32,
    /// Whether the parameters were updated; not where energy or gradient were not finite.
    pub accepted: bool,
    /// Wall time since the report before.
    pub seconds: f64,
}

/// Words that a step leaves: 16 of statistics, 8 of the optimiser's state, one counter per group.
pub(super) const STATISTICS_WORDS: u64 = 16;
pub(super) const STATE_WORDS: u64 = 8;

struct Slot {
    buffer: wgpu::Buffer,
    sender: mpsc::Sender<bool>,
    receiver: mpsc::Receiver<bool>,
}

struct Pending {
    slot: usize,
    step: u64,
    learning_rate: f64,
    submission: wgpu::SubmissionIndex,
}

/// A ring of small buffers into which each step copies its numbers.
pub(super) struct MetricsRing {
    gpu: Gpu,
    slots: Vec<Slot>,
    pending: VecDeque<Pending>,
    counters: u64,
    next: usize,
    last: Instant,
}

/// What one step left, as words.
pub(super) struct StepNumbers {
    pub step: u64,
    pub learning_rate: f64,
    pub statistics: Vec<f32>,
    pub state: Vec<f32>,
    pub unique: u32,
    pub seconds: f64,
}

impl MetricsRing {
    pub fn new(gpu: &Gpu, depth: usize, groups: u32) -> Self {
        let counters = 64 * u64::from(groups);
        let slot = |_| {
            let (sender, receiver) = mpsc::channel();
            let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("ketformer.metrics"),
                size: 4 * (STATISTICS_WORDS + STATE_WORDS + counters),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            Slot { buffer, sender, receiver }
        };
        let slots = (0..depth).map(slot).collect();
        Self { gpu: gpu.clone(), slots, pending: VecDeque::new(), counters, next: 0, last: Instant::now() }
    }

    /// Whether every slot waits for its numbers.
    pub fn is_full(&self) -> bool {
        self.pending.len() == self.slots.len()
    }

    /// Whether no step is under way.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Starts the clock of the next report now.
    pub fn restart_clock(&mut self) {
        self.last = Instant::now();
    }

    /// Encodes the copy of a step's numbers, submits `encoder` and asks for them.
    pub fn submit(
        &mut self,
        mut encoder: wgpu::CommandEncoder,
        [statistics, state, live]: [&View; 3],
        step: u64,
        learning_rate: f64,
    ) {
        let slot = self.next;
        self.next = (self.next + 1) % self.slots.len();
        let Slot { buffer, sender, .. } = &self.slots[slot];
        let mut at = 0;
        for (view, words) in [(statistics, STATISTICS_WORDS), (state, STATE_WORDS), (live, self.counters)] {
            encoder.copy_buffer_to_buffer(view.wgpu(), view.offset(), buffer, at, 4 * words);
            at += 4 * words;
        }
        let submission = self.gpu.queue().submit([encoder.finish()]);
        let sender = sender.clone();
        // The receiver may be gone when the trainer was dropped; then nobody wants the numbers.
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = sender.send(result.is_ok());
        });
        self.pending.push_back(Pending { slot, step, learning_rate, submission });
    }

    /// Waits for the oldest step under way and returns its numbers; `None` when there is none.
    pub fn receive(&mut self) -> Result<Option<StepNumbers>> {
        let Some(Pending { slot, step, learning_rate, submission }) = self.pending.pop_front() else {
            return Ok(None);
        };
        self.gpu.wait(Some(submission))?;
        let Slot { buffer, receiver, .. } = &self.slots[slot];
        let lost = || Error::new(ErrorKind::Device, "the numbers of a step could not be read back; start again");
        if !receiver.recv().unwrap_or(false) {
            return Err(lost());
        }
        let words: Vec<u32> = {
            let mapped = buffer.get_mapped_range(..).map_err(|e| lost().caused_by(e))?;
            bytemuck::pod_collect_to_vec(&mapped[..])
        };
        buffer.unmap();
        let floats = |range: std::ops::Range<u64>| {
            words[range.start as usize..range.end as usize].iter().map(|w| f32::from_bits(*w)).collect()
        };
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        Ok(Some(StepNumbers {
            step,
            learning_rate,
            statistics: floats(0..STATISTICS_WORDS),
            state: floats(STATISTICS_WORDS..STATISTICS_WORDS + STATE_WORDS),
            unique: words[(STATISTICS_WORDS + STATE_WORDS) as usize..].iter().step_by(64).sum(),
            seconds,
        }))
    }
}
