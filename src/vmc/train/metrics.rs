//! Step reports and their asynchronous readback.

use std::collections::VecDeque;
use std::sync::Arc;

use web_time::Instant;

use super::replay::Replay;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Mapping, Plan, View};
use crate::kernels::vmc::energy::COLUMNS;
use crate::vmc::sr::report::ReconfigurationReport;
use crate::vmc::step::buffers::{INPUT_WORDS, StepInputs};
use crate::vmc::step::dedup::COUNTER_STRIDE;

/// Report of a training step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepReport {
    /// Number of the step, counted from 1.
    pub step: u64,
    /// Mean local energy of the whole lattice.
    pub energy: f64,
    /// Standard error of the energy, √(variance of Re E / B). Does not include the autocorrelation of Markov chains. NaN,
    /// as the variance, if all samples are one configuration, which has no spread.
    pub energy_error: f64,
    /// Unbiased variance of the local energy, ⟨|E − Ē|²⟩.
    pub variance: f64,
    /// Mean occupation ⟨n⟩.
    pub density: f64,
    /// Mean ⟨σˣ⟩ per site; NaN if the Hamiltonian does not flip every site.
    pub sigma_x: f64,
    /// Mean of |Σ (−1)^(x+y) (n − ½)| / N.
    pub staggered: f64,
    /// Mean and variance of the magnetization over the samples.
    pub magnetization: Magnetization,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Temperature of the free energy that the step minimizes; `None` if the run minimizes the energy.
    pub temperature: Option<f64>,
    /// Number of samples after deduplication, summed over spans.
    pub unique: u32,
    /// Fraction of the proposals of the Markov chains that were accepted; `None` without chains. Below
    /// [`crate::vmc::FROZEN`] the chains barely move.
    pub acceptance: Option<f64>,
    /// Whether the parameters were updated. `false` if energy, gradient or Gram matrix is not finite.
    pub accepted: bool,
    /// Diagnostics of a step of stochastic reconfiguration; `None` with another optimizer or if the step was rejected.
    pub reconfiguration: Option<ReconfigurationReport>,
    /// Wall time since the previous report in seconds.
    pub seconds: f64,
}

/// Number of deduplicated samples below which the direction of stochastic reconfiguration is unreliable.
const FEW: u32 = 32;

/// Mean and unbiased variance of magnetizations over the samples of a step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Magnetization {
    /// M = Σ (2n − 1), of the whole lattice.
    pub mean: [f64; 2],
    /// |M|.
    pub absolute: [f64; 2],
    /// M².
    pub squared: [f64; 2],
    /// Σ (−1)^(x+y) (n − ½) / N, signed.
    pub staggered: [f64; 2],
}

impl StepReport {
    /// Whether a step of stochastic reconfiguration on `sites` sites had too few samples: few deduplicated samples
    /// compared with both the useful number and the number of configurations, or few effective samples.
    pub fn lacks_samples(&self, sites: usize) -> bool {
        let configurations = 1u64.checked_shl(sites as u32).unwrap_or(u64::MAX);
        let Some(report) = self.reconfiguration else { return false };
        let few = self.unique < FEW && u64::from(self.unique) < configurations / 4;
        few || report.effective_samples < f64::from(FEW.min(self.unique))
    }
}

/// Results of a step in 32-bit words: 18 of statistics, 8 of the optimizer's state, the acceptance of Markov chains,
/// one counter for each span of samples.
const STATISTICS_WORDS: usize = 2 * COLUMNS as usize;
const STATE_WORDS: usize = 8;
const ACCEPTANCE_WORDS: usize = 1;
const COUNTERS_AT: usize = STATISTICS_WORDS + STATE_WORDS + ACCEPTANCE_WORDS;
/// Staging buffers of a step in flight: inputs and results. Both are created once; `Queue::write_buffer` would create
/// one for every step.
struct ReadbackSlot {
    inputs: Buffer,
    inputs_mapped: Arc<Mapping>,
    numbers: Buffer,
    numbers_mapped: Arc<Mapping>,
}

struct Pending {
    slot: usize,
    step: u64,
    learning_rate: f64,
    /// Submission of the step; unknown if the caller submits it.
    submission: Option<wgpu::SubmissionIndex>,
}

/// Ring of staging buffers for the inputs and results of steps.
pub(crate) struct MetricsRing {
    gpu: Gpu,
    slots: Vec<ReadbackSlot>,
    pending: VecDeque<Pending>,
    counter_words: u64,
    next: usize,
    last: Instant,
}

/// Where the results of a step are on the device.
pub(crate) struct StepResults<'a> {
    pub statistics: &'a View,
    pub state: &'a View,
    /// Number of deduplicated samples of each span.
    pub counters: &'a View,
    /// Acceptance of Markov chains, if there are any.
    pub acceptance: Option<View>,
}

/// Results of a step.
pub(crate) struct StepNumbers {
    pub step: u64,
    pub learning_rate: f64,
    pub statistics: [f32; STATISTICS_WORDS],
    pub state: [f32; STATE_WORDS],
    /// 0 without Markov chains.
    pub acceptance: f32,
    pub unique: u32,
    pub seconds: f64,
}

impl MetricsRing {
    /// Creates a ring for at most `depth` steps in flight, each with `counters` counters.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(gpu: &Gpu, depth: usize, counters: u32) -> Result<Self> {
        let counter_words = COUNTER_STRIDE * u64::from(counters);
        let words = COUNTERS_AT as u64 + counter_words;
        let slot = |_| {
            Ok(ReadbackSlot {
                inputs: gpu.buffer_to_device("ketformer.step.inputs", INPUT_WORDS)?,
                inputs_mapped: Arc::new(Mapping::mapped()),
                numbers: gpu.buffer_to_host("ketformer.step.numbers", words)?,
                numbers_mapped: Arc::default(),
            })
        };
        let slots = (0..depth).map(slot).collect::<Result<_>>()?;
        let pending = VecDeque::with_capacity(depth);
        Ok(Self { gpu: gpu.clone(), slots, pending, counter_words, next: 0, last: Instant::now() })
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
        self.pending.len() < self.slots.len() && self.slots[self.next].inputs_mapped.outcome().is_some()
    }

    /// Forgets all steps in flight, with buffers as if none had been submitted.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn reset(&mut self) -> Result<()> {
        let counters = (self.counter_words / COUNTER_STRIDE) as u32;
        *self = Self::new(&self.gpu.clone(), self.slots.len(), counters)?;
        Ok(())
    }

    /// Restarts the clock of the next report.
    pub(crate) fn restart_clock(&mut self) {
        self.last = Instant::now();
    }

    /// Submits a step: copies its inputs into `step`, runs `plan`, copies its results and requests their mapping.
    /// Returns `false` if the plan was stopped, in which case there are no results.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn submit(
        &mut self,
        (plan, replay): (&Plan, &Replay),
        inputs: StepInputs,
        step: &View,
        results: StepResults<'_>,
    ) -> Result<bool> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.begin(&mut encoder, inputs, step)?;
        if replay.is_in_pieces() {
            self.gpu.queue().submit([encoder.finish()]);
            if !replay.run(plan)? {
                return Ok(false);
            }
            encoder = self.gpu.device().create_command_encoder(&Default::default());
        } else {
            plan.encode_pass(&mut encoder);
        }
        self.end(&mut encoder, inputs, results);
        let submission = self.gpu.queue().submit([encoder.finish()]);
        if let Some(pending) = self.pending.back_mut() {
            pending.submission = Some(submission);
        }
        Ok(true)
    }

    /// Encodes the start of a step: the copy of its inputs into `step`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn begin(&self, encoder: &mut wgpu::CommandEncoder, inputs: StepInputs, step: &View) -> Result<()> {
        let slot = &self.slots[self.next];
        self.write(slot, inputs)?;
        encoder.copy_buffer_to_buffer(slot.inputs.wgpu(), 0, step.wgpu(), step.offset(), 4 * INPUT_WORDS);
        slot.inputs_mapped.ask_on_submit(encoder, &slot.inputs, wgpu::MapMode::Write);
        Ok(())
    }

    /// Encodes the end of the step of [`Self::begin`]: the copies of its results. The step is in flight from here on.
    pub(crate) fn end(&mut self, encoder: &mut wgpu::CommandEncoder, inputs: StepInputs, results: StepResults<'_>) {
        let slot = &self.slots[self.next];
        let mut copy = |view: &View, to: usize, words: u64| {
            encoder.copy_buffer_to_buffer(view.wgpu(), view.offset(), slot.numbers.wgpu(), 4 * to as u64, 4 * words);
        };
        copy(results.statistics, 0, STATISTICS_WORDS as u64);
        copy(results.state, STATISTICS_WORDS, STATE_WORDS as u64);
        copy(results.counters, COUNTERS_AT, self.counter_words);
        if let Some(acceptance) = &results.acceptance {
            copy(acceptance, STATISTICS_WORDS + STATE_WORDS, ACCEPTANCE_WORDS as u64);
        }
        slot.numbers_mapped.ask_on_submit(encoder, &slot.numbers, wgpu::MapMode::Read);
        let StepInputs { step, learning_rate, .. } = inputs;
        self.pending.push_back(Pending { slot: self.next, step, learning_rate, submission: None });
        self.next = (self.next + 1) % self.slots.len();
    }

    /// Writes the inputs of a step into the buffer of its slot. The previous step of this slot has been received.
    fn write(&self, slot: &ReadbackSlot, inputs: StepInputs) -> Result<()> {
        let lost = || self.gpu.device_error("the inputs of a step could not be written; start again");
        if !slot.inputs_mapped.is_mapped() {
            return Err(lost());
        }
        let mut mapped = slot.inputs.wgpu().get_mapped_range_mut(..).map_err(|e| lost().caused_by(e))?;
        mapped.copy_from_slice(bytemuck::cast_slice(&inputs.words()));
        drop(mapped);
        slot.inputs.wgpu().unmap();
        Ok(())
    }

    /// Waits for the oldest step in flight and returns its results; `None` if there is none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn receive(&mut self) -> Result<Option<StepNumbers>> {
        let Some(pending) = self.pending.pop_front() else { return Ok(None) };
        self.gpu.wait(pending.submission.clone())?;
        self.numbers(pending).map(Some)
    }

    /// Returns the results of the oldest step in flight if they have arrived.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn poll(&mut self) -> Result<Option<StepNumbers>> {
        let has_arrived = |pending: &Pending| self.slots[pending.slot].numbers_mapped.outcome().is_some();
        if !self.pending.front().is_some_and(has_arrived) {
            return Ok(None);
        }
        self.pending.pop_front().map(|pending| self.numbers(pending)).transpose()
    }

    /// Reads the results of a step that has ended.
    fn numbers(&mut self, Pending { slot, step, learning_rate, .. }: Pending) -> Result<StepNumbers> {
        let slot = &self.slots[slot];
        let lost = || self.gpu.device_error("the results of a step could not be read back; start again");
        if !slot.numbers_mapped.is_mapped() {
            return Err(lost());
        }
        let (mut statistics, mut state) = ([0; STATISTICS_WORDS], [0; STATE_WORDS]);
        let (acceptance, unique) = {
            let mapped = slot.numbers.wgpu().get_mapped_range(..).map_err(|e| lost().caused_by(e))?;
            let words: &[u32] = bytemuck::cast_slice(&mapped);
            statistics.copy_from_slice(&words[..STATISTICS_WORDS]);
            state.copy_from_slice(&words[STATISTICS_WORDS..STATISTICS_WORDS + STATE_WORDS]);
            let counters = &words[COUNTERS_AT..][..self.counter_words as usize];
            let unique = counters.iter().step_by(COUNTER_STRIDE as usize).sum();
            (f32::from_bits(words[STATISTICS_WORDS + STATE_WORDS]), unique)
        };
        slot.numbers.wgpu().unmap();
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let (statistics, state) = (statistics.map(f32::from_bits), state.map(f32::from_bits));
        Ok(StepNumbers { step, learning_rate, statistics, state, acceptance, unique, seconds })
    }
}
