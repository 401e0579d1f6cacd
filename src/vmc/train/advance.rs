//! Steps within the frames of an application: recorded in slices into its encoders, without submitting and waiting.

use super::metrics::{ArrivedStep, StepReport};
use super::trainer::{Method, Trainer, results};
use crate::error::Result;
use crate::gpu::{Frame, Plan, Position, Slices};
use crate::vmc::sr::frames::{StepInFrames, Transfers};
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

    /// Slice of the blocking API that completes a step which was recorded in part.
    pub(crate) const SUBMISSION: Self = Self { seconds: 0.1 };

    /// Seconds.
    pub(crate) fn seconds(self) -> f64 {
        self.seconds
    }
}

/// Step that is partly recorded.
pub(super) struct PartialStep {
    inputs: StepInputs,
    part: Part,
}

/// Part of a step that is being recorded.
enum Part {
    /// Burn-in of Markov chains, from a launch on.
    BurnIn(Plan, Position),
    /// Plan of the step, from a launch on.
    Plan(Position),
    /// What follows the local energies in stochastic reconfiguration; results of the plan if they have arrived.
    Reconfiguration(StepInFrames, Option<ArrivedStep>),
}

/// Keys of the times of the launches of plans.
const BURN_IN: usize = 0;
const STEP: usize = 1;
const RECONFIGURATION: usize = 2;

impl Trainer {
    /// Records launches of the next steps into `encoder`, at least one and then as many as fit into `budget`. The caller
    /// submits the encoder, before the next call. Nothing is submitted or waited for here, and no buffer is created after
    /// the first call.
    ///
    /// A step may take several calls, and a call may contain several steps, of which at most 8 are in flight. How long
    /// launches take is measured in earlier calls, so the first steps take more calls than later ones. A single launch
    /// may exceed the budget. Results have the same bits as those of [`Trainer::steps`].
    ///
    /// A step of stochastic reconfiguration alternates between the device and the host, which continues with calls of
    /// [`Trainer::poll`]; the linear system is solved on a thread of its own, or in a browser by such a call. There is one
    /// such step in flight.
    ///
    /// [`Trainer::poll`] returns the reports. Returns whether launches were recorded; not while all steps in flight wait
    /// for the host or for their reports to be taken.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost or an earlier step failed.
    ///
    /// [`ErrorKind::Device`]: crate::ErrorKind::Device
    pub fn advance(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool> {
        self.record_slice(encoder, budget, true)
    }

    /// As [`Trainer::advance`], but begins no step: records the rest of one that was recorded in part. When its report and
    /// those before it were taken, the trainer [is at rest](Trainer::is_at_rest).
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub fn complete(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool> {
        self.record_slice(encoder, budget, false)
    }

    /// Returns the report of the oldest step in flight if its results have arrived. Does not wait.
    ///
    /// # Errors
    /// As [`Trainer::advance`]; [`crate::ErrorKind::Memory`] if this machine has too little memory for the linear system of
    /// stochastic reconfiguration.
    pub fn poll(&mut self) -> Result<Option<StepReport>> {
        self.known.check()?;
        self.arrived().map_err(|error| self.known.fail(&self.gpu, error))
    }

    fn arrived(&mut self) -> Result<Option<StepReport>> {
        self.gpu.poll_once()?;
        let report = match self.method {
            Method::Adam(_) => self.ring.poll_step()?.map(|arrived| self.report(&arrived)),
            Method::Reconfiguration(_) => {
                self.continue_on_host(false)?;
                self.finished.take()
            }
        };
        Ok(report.inspect(|report| self.reported(report)))
    }

    fn record_slice(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget, begins: bool) -> Result<bool> {
        self.known.check()?;
        let mut slices = match self.slices.take() {
            Some(slices) => slices,
            None => Slices::new(&self.gpu)?,
        };
        let mut frame = Frame::new(encoder, &mut slices, budget.seconds());
        let recorded = self.record_in(&mut frame, begins).map(|()| frame.is_recorded());
        self.slices = Some(slices);
        recorded.map_err(|error| self.known.fail(&self.gpu, error))
    }

    fn record_in(&mut self, frame: &mut Frame<'_>, begins: bool) -> Result<()> {
        while frame.has_room() {
            let step = match self.partial.take() {
                Some(step) => step,
                None if begins && self.finished.is_none() && self.ring.is_ready() => {
                    self.begin_partial(frame.encoder)?
                }
                None => break,
            };
            let PartialStep { inputs, part } = step;
            let (part, is_waiting) = match part {
                Part::BurnIn(plan, mut position) => match frame.encode(BURN_IN, &plan, &mut position) {
                    true => {
                        self.begins = false;
                        (Some(Part::Plan(Position::default())), false)
                    }
                    false => (Some(Part::BurnIn(plan, position)), false),
                },
                Part::Plan(mut position) => match frame.encode(STEP, &self.plan, &mut position) {
                    true => (self.end_plan(frame.encoder, inputs), false),
                    false => (Some(Part::Plan(position)), false),
                },
                Part::Reconfiguration(step, arrived) => self.record_reconfiguration(frame, step, arrived)?,
            };
            self.partial = part.map(|part| PartialStep { inputs, part });
            if is_waiting {
                break;
            }
        }
        Ok(())
    }

    fn begin_partial(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<PartialStep> {
        let inputs = self.inputs_of(self.submitted + 1);
        let burn_in = match self.begins {
            true => self.pipeline.burn_in(inputs, false)?,
            false => None,
        };
        self.begins &= burn_in.is_some();
        self.ring.begin_step(encoder, inputs, &self.pipeline.step)?;
        let position = Position::default();
        let part = burn_in.map_or(Part::Plan(position), |plan| Part::BurnIn(plan, position));
        Ok(PartialStep { inputs, part })
    }

    /// Ends the plan of a step. Returns what follows it.
    fn end_plan(&mut self, encoder: &mut wgpu::CommandEncoder, inputs: StepInputs) -> Option<Part> {
        self.ring.end_step(encoder, inputs, results(&self.pipeline, &self.method, &self.counters));
        self.has_samples = true;
        match self.method {
            Method::Adam(_) => {
                self.submitted = inputs.step;
                None
            }
            Method::Reconfiguration(_) => Some(Part::Reconfiguration(StepInFrames::new(inputs), None)),
        }
    }

    /// Records what follows the local energies. Returns what is left of the step, and whether the host continues.
    fn record_reconfiguration(
        &mut self,
        frame: &mut Frame<'_>,
        step: StepInFrames,
        arrived: Option<ArrivedStep>,
    ) -> Result<(Option<Part>, bool)> {
        let Method::Reconfiguration(method) = &self.method else { return Ok((None, false)) };
        let transfers = match &mut self.transfers {
            Some(transfers) => transfers,
            none => none.insert(Transfers::new(method, &self.pipeline)?),
        };
        let (step, is_waiting) = step.record(frame, transfers, (method, RECONFIGURATION), &self.pipeline)?;
        Ok((self.finished_or(step, arrived), is_waiting))
    }

    /// Continues a step of stochastic reconfiguration on the host, if what that needs is there. With `waits`, waits for
    /// the solution of the linear system.
    fn continue_on_host(&mut self, waits: bool) -> Result<()> {
        let (inputs, step, arrived) = match self.partial.take() {
            Some(PartialStep { inputs, part: Part::Reconfiguration(step, arrived) }) => (inputs, step, arrived),
            partial => {
                self.partial = partial;
                return Ok(());
            }
        };
        let arrived = match arrived {
            Some(arrived) => Some(arrived),
            None => self.ring.poll_step()?,
        };
        let step = match (&self.method, &mut self.transfers, &arrived) {
            (Method::Reconfiguration(method), Some(transfers), Some(_)) => {
                step.poll(transfers, method, &self.pipeline, waits)?
            }
            _ => step,
        };
        self.partial = self.finished_or(step, arrived).map(|part| PartialStep { inputs, part });
        Ok(())
    }

    /// Ends a step of stochastic reconfiguration if it is complete. Returns what is left of it otherwise.
    fn finished_or(&mut self, step: StepInFrames, arrived: Option<ArrivedStep>) -> Option<Part> {
        match (step, arrived) {
            (StepInFrames::Done(outcome), Some(arrived)) => {
                self.submitted = arrived.step.step;
                self.finished = Some(self.report_of_outcome(arrived, &outcome));
                None
            }
            (step, arrived) => Some(Part::Reconfiguration(step, arrived)),
        }
    }

    /// Discards the step that was recorded in part, if there is one, and whatever is in flight of it.
    ///
    /// # Errors
    /// As [`crate::gpu::Gpu::buffer`].
    pub(super) fn discard_partial(&mut self) -> Result<()> {
        match self.partial.take() {
            None => return Ok(()),
            Some(PartialStep { part: Part::Reconfiguration(..), .. }) => {
                self.transfers = None;
                self.ring.reset()?;
            }
            Some(_) => self.ring.discard()?,
        }
        self.pipeline.sampler.reset(&self.gpu)
    }

    /// Completes a step that [`Self::advance`] recorded in part, with submissions of about 100 ms.
    pub(super) fn complete_partial(&mut self) -> Result<()> {
        while self.partial.is_some() {
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            self.record_slice(&mut encoder, Budget::SUBMISSION, false)?;
            let submission = self.gpu.queue().submit([encoder.finish()]);
            self.gpu.wait(Some(submission))?;
            self.continue_on_host(true)?;
        }
        Ok(())
    }
}
