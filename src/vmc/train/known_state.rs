//! State of a trainer that the host knows. It remains after a step failed or the device was lost, when the state on the
//! device is unknown.

use std::cell::RefCell;

use super::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;

/// Newest state of a trainer that the host knows, and whether that on the device is known.
pub(crate) struct KnownState {
    /// Type of the trainer, for messages.
    trainer: &'static str,
    newest: RefCell<Option<Checkpoint>>,
    /// Step of the last report.
    reported: u64,
    /// Whether a step failed, after which the state on the device is unknown.
    failed: bool,
}

impl KnownState {
    /// State of a `trainer` that was not read yet.
    pub(crate) fn new(trainer: &'static str) -> Self {
        Self { trainer, newest: RefCell::new(None), reported: 0, failed: false }
    }

    /// Whether a step failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Records the report of step `step`.
    pub(crate) fn report(&mut self, step: u64) {
        self.reported = step;
    }

    /// Forgets the newest state.
    pub(crate) fn forget(&self) {
        self.newest.take();
    }

    /// Records that the trainer was restored from `checkpoint`.
    pub(crate) fn restored(&mut self, checkpoint: &Checkpoint) {
        self.newest.replace(Some(checkpoint.clone()));
        self.reported = checkpoint.step;
        self.failed = false;
    }

    /// Returns the state that `read` reads from the device, or the newest known one if that on the device is unknown.
    /// `at_rest` is whether no step is in flight.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] while steps are in flight; [`ErrorKind::Device`] if no state is known; errors of `read`.
    pub(crate) async fn checkpoint(
        &self,
        gpu: &Gpu,
        at_rest: bool,
        read: impl Future<Output = Result<Checkpoint>>,
    ) -> Result<Checkpoint> {
        if self.failed {
            return self.newest();
        }
        if !at_rest {
            let message = "checkpoint: steps are under way; complete them and take their reports first";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        match read.await {
            Ok(checkpoint) => {
                self.newest.replace(Some(checkpoint.clone()));
                Ok(checkpoint)
            }
            Err(_) if gpu.is_lost() => self.newest(),
            Err(error) => Err(error),
        }
    }

    fn newest(&self) -> Result<Checkpoint> {
        self.newest.borrow().clone().ok_or_else(|| {
            let message = "checkpoint: a step failed or the device was lost, and no state of this trainer was read before; \
                           start again from the initial weights";
            Error::new(ErrorKind::Device, message)
        })
    }

    /// Checks that no step failed.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if one did.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.failed {
            return Ok(());
        }
        let message = format!(
            "an earlier step failed, after which the state on the device is unknown; call {}::restore",
            self.trainer
        );
        Err(Error::new(ErrorKind::Device, message))
    }

    /// Records that a step failed with `error`, and returns the error to report.
    pub(crate) fn fail(&mut self, gpu: &Gpu, error: Error) -> Error {
        self.failed = true;
        if !gpu.is_lost() {
            return error;
        }
        let state = match &*self.newest.borrow() {
            Some(known) => format!("{}::checkpoint returns the state after step {}", self.trainer, known.step),
            None => "start again from the initial weights".into(),
        };
        let lost = gpu.lost_error().to_string();
        let lost = lost.split(';').next().unwrap_or_default().to_string();
        let message = format!("{lost} after step {}; {state}, for a trainer on another device", self.reported);
        Error::new(ErrorKind::Device, message)
    }
}
