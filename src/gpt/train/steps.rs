//! Iterator over the steps of a trainer.

use super::trainer::GptTrainer;
use crate::error::Result;
use crate::gpt::GptReport;

/// Iterator of [`GptTrainer::steps`].
pub struct GptSteps<'a> {
    pub(super) trainer: &'a mut GptTrainer,
    pub(super) left: u64,
    pub(super) failed: bool,
}

impl GptSteps<'_> {
    /// Stops submitting steps. Steps in flight are still reported.
    pub fn stop(&mut self) {
        self.left = 0;
    }

    fn next_report(&mut self) -> Result<Option<GptReport>> {
        let trainer = &mut *self.trainer;
        trainer.known.check()?;
        trainer.complete_partial()?;
        loop {
            // Held-out data is evaluated before the next step.
            while (trainer.validation.is_some() || self.left > 0) && trainer.has_room() {
                if trainer.validation.is_some() {
                    trainer.submit()?;
                } else if trainer.is_stopped() || !trainer.submit()? {
                    self.left = 0;
                } else {
                    self.left -= 1;
                }
            }
            let is_last = trainer.ring.is_empty();
            let report = trainer.receive()?;
            if is_last || report.is_some() {
                return Ok(report);
            }
        }
    }
}

impl Iterator for GptSteps<'_> {
    type Item = Result<GptReport>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.next_report() {
            Ok(Some(report)) => Some(Ok(report)),
            Ok(None) => self.trainer.source_fault().map(Err),
            Err(error) => {
                self.failed = true;
                Some(Err(self.trainer.fail(error)))
            }
        }
    }
}
