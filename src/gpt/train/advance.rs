//! Steps within the frames of an application, as [`crate::vmc::Trainer::advance`].

use super::source::Source;
use super::trainer::GptTrainer;
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::GptReport;
use crate::gpu::{Frame, Slices};
use crate::vmc::Budget;

impl GptTrainer {
    /// Records launches of the next steps into `encoder`, with the contract of [`crate::vmc::Trainer::advance`]: at least
    /// one launch and then as many as fit into `budget`, nothing is submitted or waited for, and no buffer is created
    /// after the first call. The evaluation of held-out data is part of its step. Results have the same bits as those of
    /// [`GptTrainer::steps`].
    ///
    /// [`GptTrainer::poll`] returns the reports. Returns whether anything was recorded; not if all steps in flight, 2 to 8
    /// depending on the size of the batches, wait for their reports to be taken.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a trainer of [`GptTrainer::tuning`], whose steps wait for the host;
    /// [`ErrorKind::Device`] if the device was lost or an earlier step failed.
    pub fn advance(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool> {
        self.record_slice(encoder, budget, true)
    }

    /// As [`GptTrainer::advance`], but begins no step: records the rest of one that was recorded in part.
    ///
    /// # Errors
    /// As [`GptTrainer::advance`].
    pub fn complete(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget) -> Result<bool> {
        self.record_slice(encoder, budget, false)
    }

    /// Returns the report of the oldest step in flight if its results have arrived. Does not wait.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost or an earlier step failed.
    pub fn poll(&mut self) -> Result<Option<GptReport>> {
        self.known.check()?;
        self.arrived().map_err(|error| self.fail(error))
    }

    fn arrived(&mut self) -> Result<Option<GptReport>> {
        self.gpu().poll_once()?;
        while let Some(arrived) = self.ring.poll_item()? {
            let report = self.take(arrived);
            if report.is_some() {
                return Ok(report);
            }
        }
        Ok(None)
    }

    fn record_slice(&mut self, encoder: &mut wgpu::CommandEncoder, budget: Budget, begins: bool) -> Result<bool> {
        self.known.check()?;
        if matches!(self.source, Source::Reward(_)) {
            let message = "GptTrainer::advance records steps on data; call GptTrainer::steps in a thread of its own for \
                           tuning by reward";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let mut slices = match self.slices.take() {
            Some(slices) => slices,
            None => Slices::new(self.gpu())?,
        };
        let mut frame = Frame::new(encoder, &mut slices, budget.seconds());
        let recorded = self.record_in(&mut frame, begins).map(|()| frame.is_recorded());
        self.slices = Some(slices);
        recorded.map_err(|error| self.fail(error))
    }

    fn record_in(&mut self, frame: &mut Frame<'_>, begins: bool) -> Result<()> {
        while frame.has_room() {
            let next = match self.partial.take() {
                None if !((begins || self.validation.is_some()) && self.ring.is_ready()) => None,
                None => self.begin(frame.encoder)?,
                partial => partial,
            };
            let Some(mut begun) = next else { break };
            let (key, plan) = self.plan_of(&begun);
            self.partial = match frame.encode(key, plan, &mut begun.position) {
                true => self.next(frame.encoder, begun),
                false => Some(begun),
            };
        }
        Ok(())
    }

    /// Completes a step that [`Self::advance`] recorded in part, with submissions of about 100 ms.
    pub(super) fn complete_partial(&mut self) -> Result<()> {
        while self.partial.is_some() {
            let mut encoder = self.gpu().device().create_command_encoder(&Default::default());
            self.record_slice(&mut encoder, Budget::SUBMISSION, false)?;
            let submission = self.gpu().queue().submit([encoder.finish()]);
            self.gpu().wait(Some(submission))?;
        }
        Ok(())
    }
}
