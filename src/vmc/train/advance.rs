//! Steps within the frames of an application: recorded in slices into its encoders, without submitting and waiting.

use super::metrics::StepReport;
use super::trainer::{Method, Trainer, results};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Plan, Position, Slices};
use crate::vmc::step::buffers::StepInputs;

/// Time that the launches of a call of [`Trainer::advance`] may take on the device.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Budget {
    seconds: f64,
}

impl Budget {
    /// Budget in milliseconds. Zero, negative numbers and NaN mean a single launch.
    pub fn milliseconds(milliseconds: f64) -> Self {
        Self { seconds: (1e-3 * milliseconds).max(0.0) }
    }
}

/// Step that is partly recorded.
pub(super) struct PartialStep {
    inputs: StepInputs,
    /// Burn-in of Markov chains before it.
    burn_in: Option<(Plan, Slices)>,
    position: Position,
}

/// Slice of the blocking API that completes a step which was recorded in part.
const SLICE: Budget = Budget { seconds: 0.1 };

impl Trainer {
    /// Records launches of the next steps into `encoder`, at least one and then as many as fit into `budget`. The caller
    /// submits the encoder, before the next call. Nothing is submitted or waited for here, and no buffer is created after
    /// the first call.
    ///
    /// A step may take several calls, and a call may contain several steps, of which at most 8 are in flight. How long
    /// launches take is measured in earlier calls, so the first steps take more calls than later ones. A single launch
    /// may exceed the budget. Results have the same bits as those of [`Trainer::steps`].
    ///
    /// [`Trainer::poll`] returns the reports. Returns whether anything was recorded; not if all steps in flight wait for
    /// their reports to be taken.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with stochastic reconfiguration, whose steps wait for the host; [`ErrorKind::Device`] if
    /// the device was lost or an earlier step failed.
    pub fn advance(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool> {
        self.known.check()?;
        if matches!(self.method, Method::Reconfiguration(_)) {
            let message = "Trainer::advance records steps of Adam; call Trainer::steps in a thread of its own for \
                           stochastic reconfiguration";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        self.record_slice(encoder, budget).map_err(|error| self.known.fail(&self.gpu, error))
    }

    /// Returns the report of the oldest step in flight if its results have arrived. Does not wait.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost or an earlier step failed.
    pub fn poll(&mut self) -> Result<Option<StepReport>> {
        self.known.check()?;
        self.arrived().map_err(|error| self.known.fail(&self.gpu, error))
    }

    fn arrived(&mut self) -> Result<Option<StepReport>> {
        self.gpu.poll_once()?;
        let Some(numbers) = self.ring.poll()? else { return Ok(None) };
        let report = self.report(&numbers);
        self.replay.took(report.seconds);
        self.known.report(report.step);
        Ok(Some(report))
    }

    fn record_slice(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool> {
        if self.slices.is_none() {
            self.slices = Some(Slices::new(&self.plan)?);
        }
        let mut left = budget.seconds;
        let mut is_recorded = false;
        while !is_recorded || left > 0.0 {
            let mut step = match self.partial.take() {
                Some(step) => step,
                None if !self.ring.is_ready() => break,
                None => self.begin_partial(encoder)?,
            };
            let (plan, slices) = match (&mut step.burn_in, &mut self.slices) {
                (Some((plan, slices)), _) => (&*plan, slices),
                (None, Some(slices)) => (&self.plan, slices),
                (None, None) => unreachable!("created above"),
            };
            slices.collect(plan);
            left -= slices.encode(plan, encoder, &mut step.position, left);
            is_recorded = true;
            match (plan.is_end(step.position), step.burn_in.is_some()) {
                (false, _) => {
                    self.partial = Some(step);
                    break;
                }
                (true, true) => {
                    self.begins = false;
                    self.partial = Some(PartialStep { burn_in: None, position: Position::default(), ..step });
                }
                (true, false) => self.end_partial(encoder, &step.inputs),
            }
        }
        Ok(is_recorded)
    }

    fn begin_partial(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<PartialStep> {
        let inputs = self.inputs_of(self.submitted + 1);
        let burn_in = match self.begins {
            true => self.pipeline.burn_in(self.config.seed, inputs.step, false)?,
            false => None,
        };
        let burn_in = burn_in.map(|plan| Slices::new(&plan).map(|slices| (plan, slices))).transpose()?;
        self.begins &= burn_in.is_some();
        self.ring.begin(encoder, inputs, &self.pipeline.step)?;
        Ok(PartialStep { inputs, burn_in, position: Position::default() })
    }

    fn end_partial(&mut self, encoder: &mut wgpu::CommandEncoder, inputs: &StepInputs) {
        self.ring.end(encoder, *inputs, results(&self.pipeline, &self.method, &self.counters));
        self.submitted = inputs.step;
        self.has_samples = true;
    }

    /// Completes a step that [`Self::advance`] recorded in part, with submissions of about 100 ms.
    pub(super) fn complete_partial(&mut self) -> Result<()> {
        while self.partial.is_some() {
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            self.record_slice(&mut encoder, SLICE)?;
            let submission = self.gpu.queue().submit([encoder.finish()]);
            self.gpu.wait(Some(submission))?;
        }
        Ok(())
    }
}
