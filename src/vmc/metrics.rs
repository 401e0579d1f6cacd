//! What a step reports, read back without waiting for the GPU.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::distinct::COUNTER_STRIDE;
use super::reconfiguration::ReconfigurationReport;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::energy::COLUMNS;

/// One training step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: u64,
    /// Mean local energy, of the whole lattice.
    pub energy: f64,
    /// Standard error of that mean, √(variance of Re E / B): what samples of one Markov chain have in common is not in it.
    pub energy_error: f64,
    /// Unbiased variance of the local energy, ⟨|E − Ē|²⟩.
    pub variance: f64,
    /// Mean occupation ⟨n⟩.
    pub density: f64,
    /// Mean ⟨σˣ⟩ per site; NaN where the Hamiltonian does not flip every site.
    pub sigma_x: f64,
    /// Mean of |Σ (−1)^(x+y) (n − ½)| / N.
    pub staggered: f64,
    /// Mean and variance of the magnetisation over the samples.
    pub magnetisation: Magnetisation,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Distinct configurations among the samples.
    pub unique: u32,
    /// Part of the proposals of the Markov chains that were accepted, where the samples come from such. Below
    /// [`super::FROZEN`] the chains hardly move.
    pub acceptance: Option<f64>,
    /// Whether the parameters were updated; not where energy, gradient or the matrix of a reconfiguration were not finite.
    pub accepted: bool,
    /// What a step of stochastic reconfiguration says of itself, where it was taken.
    pub reconfiguration: Option<ReconfigurationReport>,
    /// Wall time since the report before.
    pub seconds: f64,
}

/// Distinct samples below which a step of stochastic reconfiguration says little of where to go.
const FEW: u32 = 32;

/// Mean and unbiased variance over the samples of a step, which do not weigh the phase of ψ.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Magnetisation {
    /// Of M = Σ (2n − 1), in total.
    pub mean: [f64; 2],
    /// Of |M|.
    pub absolute: [f64; 2],
    /// Of M².
    pub squared: [f64; 2],
    /// Of Σ (−1)^(x+y) (n − ½) / N, with its sign.
    pub staggered: [f64; 2],
}

impl StepReport {
    /// Whether a step of stochastic reconfiguration on `sites` sites had far fewer distinct samples than are useful, and
    /// than there are configurations.
    pub fn lacks_samples(&self, sites: usize) -> bool {
        let configurations = 1u64.checked_shl(sites as u32).unwrap_or(u64::MAX);
        let Some(report) = self.reconfiguration else { return false };
        let few = self.unique < FEW && u64::from(self.unique) < configurations / 4;
        few || report.effective_samples < f64::from(FEW.min(self.unique))
    }
}

/// Words that a step leaves: 18 of statistics, 8 of the optimiser's state, the acceptance of Markov chains where there are
/// any, one counter for each span of samples.
const STATISTICS_WORDS: usize = 2 * COLUMNS as usize;
const STATE_WORDS: usize = 8;
const ACCEPTANCE_WORDS: usize = 1;
const COUNTERS_AT: usize = STATISTICS_WORDS + STATE_WORDS + ACCEPTANCE_WORDS;
/// Words that a step is given: seed (2), step number, learning rate.
const INPUT_WORDS: u64 = 4;

/// What a step under way needs of its own: words on their way in, and numbers on their way out. Both buffers are made
/// once; wgpu's own way of writing into a buffer would make one for every step.
struct Slot {
    inputs: Buffer,
    inputs_mapped: Arc<Mapping>,
    numbers: Buffer,
    numbers_mapped: Arc<Mapping>,
}

struct Pending {
    slot: usize,
    step: u64,
    learning_rate: f64,
    submission: wgpu::SubmissionIndex,
}

/// A ring of small buffers through which steps get their words and give their numbers.
pub(super) struct MetricsRing {
    gpu: Gpu,
    slots: Vec<Slot>,
    pending: VecDeque<Pending>,
    counter_words: u64,
    next: usize,
    last: Instant,
}

/// The words that a step is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepInputs {
    pub seed: u64,
    pub step: u64,
    pub learning_rate: f64,
}

impl StepInputs {
    /// As the kernels read them.
    pub fn words(&self) -> [u32; INPUT_WORDS as usize] {
        [self.seed as u32, (self.seed >> 32) as u32, self.step as u32, (self.learning_rate as f32).to_bits()]
    }
}

/// What one step left.
pub(super) struct StepNumbers {
    pub step: u64,
    pub learning_rate: f64,
    pub statistics: [f32; STATISTICS_WORDS],
    pub state: [f32; STATE_WORDS],
    /// 0 where there are no Markov chains.
    pub acceptance: f32,
    pub unique: u32,
    pub seconds: f64,
}

/// Whether a buffer is mapped. Another thread that waits for the same device may be the one that is told, and tell it on
/// later than the wait for the step ends.
#[derive(Default)]
struct Mapping {
    mapped: Mutex<Option<bool>>,
    told: Condvar,
}

/// Time within which a buffer is mapped whose step has ended.
const PATIENCE: Duration = Duration::from_secs(60);

impl Mapping {
    /// Asks for `buffer` to be mapped.
    fn ask(self: &Arc<Self>, buffer: &Buffer, mode: wgpu::MapMode) {
        self.tell(None);
        let asked = self.clone();
        buffer.wgpu().map_async(mode, .., move |result| asked.tell(Some(result.is_ok())));
    }

    fn tell(&self, mapped: Option<bool>) {
        *self.mapped.lock().unwrap_or_else(PoisonError::into_inner) = mapped;
        self.told.notify_all();
    }

    /// Waits until the buffer is mapped, or it is certain that it will not be.
    fn is_mapped(&self) -> bool {
        let waiting = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        let told = self.told.wait_timeout_while(waiting, PATIENCE, |mapped| mapped.is_none());
        told.is_ok_and(|(mapped, _)| *mapped == Some(true))
    }
}

impl MetricsRing {
    /// A ring for `depth` steps under way at most, each with `counters` counters.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn new(gpu: &Gpu, depth: usize, counters: u32) -> Result<Self> {
        let counter_words = COUNTER_STRIDE * u64::from(counters);
        let words = COUNTERS_AT as u64 + counter_words;
        let slot = |_| {
            Ok(Slot {
                inputs: gpu.buffer_to_device("ketformer.step.inputs", INPUT_WORDS)?,
                inputs_mapped: Arc::new(Mapping { mapped: Mutex::new(Some(true)), ..Mapping::default() }),
                numbers: gpu.buffer_to_host("ketformer.step.numbers", words)?,
                numbers_mapped: Arc::default(),
            })
        };
        let slots = (0..depth).map(slot).collect::<Result<_>>()?;
        let pending = VecDeque::with_capacity(depth);
        Ok(Self { gpu: gpu.clone(), slots, pending, counter_words, next: 0, last: Instant::now() })
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

    /// Submits a step: its words into `step`, then what `plan` holds, then a copy of its numbers, which are asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device was lost.
    pub fn submit(
        &mut self,
        plan: &Plan,
        inputs: StepInputs,
        step: &View,
        [statistics, state, live]: [&View; 3],
        acceptance: Option<&View>,
    ) -> Result<()> {
        let at = self.next;
        let slot = &self.slots[at];
        self.write(slot, inputs)?;
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(slot.inputs.wgpu(), 0, step.wgpu(), step.offset(), 4 * INPUT_WORDS);
        plan.encode_pass(&mut encoder);
        let mut copy = |view: &View, to: usize, words: u64| {
            encoder.copy_buffer_to_buffer(view.wgpu(), view.offset(), slot.numbers.wgpu(), 4 * to as u64, 4 * words);
        };
        copy(statistics, 0, STATISTICS_WORDS as u64);
        copy(state, STATISTICS_WORDS, STATE_WORDS as u64);
        copy(live, COUNTERS_AT, self.counter_words);
        if let Some(acceptance) = acceptance {
            copy(acceptance, STATISTICS_WORDS + STATE_WORDS, ACCEPTANCE_WORDS as u64);
        }
        let submission = self.gpu.queue().submit([encoder.finish()]);
        slot.inputs_mapped.ask(&slot.inputs, wgpu::MapMode::Write);
        slot.numbers_mapped.ask(&slot.numbers, wgpu::MapMode::Read);
        let StepInputs { step, learning_rate, .. } = inputs;
        self.pending.push_back(Pending { slot: at, step, learning_rate, submission });
        self.next = (at + 1) % self.slots.len();
        Ok(())
    }

    /// Writes a step's words into the buffer of its slot, which the step before in this slot has been read of.
    fn write(&self, slot: &Slot, inputs: StepInputs) -> Result<()> {
        let lost = || Error::new(ErrorKind::Device, "the words of a step could not be written; start again");
        if !slot.inputs_mapped.is_mapped() {
            return Err(lost());
        }
        let mut mapped = slot.inputs.wgpu().get_mapped_range_mut(..).map_err(|e| lost().caused_by(e))?;
        mapped.copy_from_slice(bytemuck::cast_slice(&inputs.words()));
        drop(mapped);
        slot.inputs.wgpu().unmap();
        Ok(())
    }

    /// Waits for the oldest step under way and returns its numbers; `None` when there is none.
    pub fn receive(&mut self) -> Result<Option<StepNumbers>> {
        let Some(Pending { slot, step, learning_rate, submission }) = self.pending.pop_front() else {
            return Ok(None);
        };
        self.gpu.wait(Some(submission))?;
        let slot = &self.slots[slot];
        let lost = || Error::new(ErrorKind::Device, "the numbers of a step could not be read back; start again");
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
        Ok(Some(StepNumbers { step, learning_rate, statistics, state, acceptance, unique, seconds }))
    }
}
