//! Step reports and their asynchronous readback.

use super::replay::Replay;
use crate::error::Result;
use crate::gpu::{Arrived, Gpu, Plan, StepRing, View};
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
    /// Whether the update took half of the previous one back, because that raised the energy by more than its noise; with
    /// stochastic reconfiguration only.
    pub is_shortening: bool,
    /// p: the samples were drawn from |ψ|^p; `None` if p is fixed.
    pub sampling_power: Option<f64>,
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

/// Ring of the inputs and results of steps in flight.
pub(crate) type MetricsRing = StepRing<StepInputs>;

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
    pub statistics: [f32; STATISTICS_WORDS],
    pub state: [f32; STATE_WORDS],
    /// 0 without Markov chains.
    pub acceptance: f32,
    pub unique: u32,
}

impl StepNumbers {
    /// Results from their words.
    fn of(words: &[u32]) -> Self {
        let float = |at: usize| f32::from_bits(words[at]);
        Self {
            statistics: std::array::from_fn(float),
            state: std::array::from_fn(|at| float(STATISTICS_WORDS + at)),
            acceptance: float(STATISTICS_WORDS + STATE_WORDS),
            unique: words[COUNTERS_AT..].iter().step_by(COUNTER_STRIDE as usize).sum(),
        }
    }
}

/// Step whose results have arrived.
pub(crate) type ArrivedStep = Arrived<StepInputs, StepNumbers>;

impl MetricsRing {
    /// Creates a ring for at most `depth` steps in flight, each with `counters` counters.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn of_steps(gpu: &Gpu, depth: usize, counters: u32) -> Result<Self> {
        Self::new(gpu, depth, [INPUT_WORDS, COUNTERS_AT as u64 + COUNTER_STRIDE * u64::from(counters)])
    }

    /// Submits a step: copies its inputs into `step`, runs `plan`, copies its results and requests their mapping.
    /// Returns `false` if the plan was stopped, in which case there are no results.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn submit_step(
        &mut self,
        (plan, replay): (&Plan, &Replay),
        inputs: StepInputs,
        step: &View,
        results: StepResults<'_>,
    ) -> Result<bool> {
        let new_encoder = |gpu: &Gpu| gpu.device().create_command_encoder(&Default::default());
        let mut encoder = new_encoder(self.gpu());
        self.begin_step(&mut encoder, inputs, step)?;
        if replay.is_in_pieces() {
            self.gpu().queue().submit([encoder.finish()]);
            if !replay.run(plan)? {
                return Ok(false);
            }
            encoder = new_encoder(self.gpu());
        } else {
            plan.encode_pass(&mut encoder);
        }
        self.end_step(&mut encoder, inputs, results);
        self.submit(encoder);
        Ok(true)
    }

    /// Encodes the start of a step: the copy of its inputs into `step`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn begin_step(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: StepInputs,
        step: &View,
    ) -> Result<()> {
        self.begin(&[&inputs.words()])?;
        self.copy_input(encoder, 0, INPUT_WORDS, step);
        Ok(())
    }

    /// Encodes the end of the step of [`Self::begin_step`]: the copies of its results.
    pub(crate) fn end_step(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: StepInputs,
        results: StepResults<'_>,
    ) {
        self.copy_result(encoder, results.statistics, 0, STATISTICS_WORDS as u64);
        self.copy_result(encoder, results.state, STATISTICS_WORDS as u64, STATE_WORDS as u64);
        self.copy_result(encoder, results.counters, COUNTERS_AT as u64, self.result_words() - COUNTERS_AT as u64);
        if let Some(acceptance) = &results.acceptance {
            let at = STATISTICS_WORDS + STATE_WORDS;
            self.copy_result(encoder, acceptance, at as u64, ACCEPTANCE_WORDS as u64);
        }
        self.end(encoder, inputs);
    }

    /// Waits for the oldest step in flight and returns its results; `None` if there is none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn receive_step(&mut self) -> Result<Option<ArrivedStep>> {
        self.receive(StepNumbers::of)
    }

    /// Returns the results of the oldest step in flight if they have arrived.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if the device was lost.
    pub(crate) fn poll_step(&mut self) -> Result<Option<ArrivedStep>> {
        self.poll(StepNumbers::of)
    }
}
