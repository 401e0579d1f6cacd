//! Files of a training run in its folder: metrics, TensorBoard events, checkpoints and weights.

use ketformer::Result;
use ketformer::run::{Events, MODEL_FILE, Metrics, RunFolder, TrainingReport, save_checkpoint};
use ketformer::vmc::Checkpoint;

use super::Training;
use super::record::RunRecord;
use crate::cli::output;

/// Open files of a training run.
pub struct RunFiles<R: TrainingReport> {
    pub metrics: Metrics<R>,
    pub events: Option<Events<R>>,
    pub record: RunRecord,
    /// Declared after its files, so that they are closed before a folder that is not kept is removed.
    pub folder: RunFolder,
    /// Step of the last checkpoint.
    pub saved: u64,
}

impl<R: TrainingReport> RunFiles<R> {
    /// Writes the row of a step. If `flush`, other programs see all rows so far.
    ///
    /// # Errors
    /// `ErrorKind::File` if it cannot be written, or if the folder is no longer there.
    pub fn write(&mut self, report: &R, flush: bool) -> Result<()> {
        self.metrics.write(report)?;
        if let Some(events) = &mut self.events {
            events.write(report)?;
        }
        if flush {
            self.check()?;
            self.metrics.flush()?;
            self.events.as_mut().map_or(Ok(()), Events::flush)?;
        }
        Ok(())
    }

    /// Checks that the folder is there, and restores metrics that another program replaced.
    ///
    /// # Errors
    /// `ErrorKind::File` if the folder was deleted, moved or replaced, or if metrics cannot be written.
    pub fn check(&mut self) -> Result<()> {
        self.folder.check()?;
        if self.metrics.restore_if_replaced()? {
            output::warning(
                &"metrics.csv was deleted or replaced during the run: all rows are written again, and another file of \
                  this name is kept as metrics.old-*.csv; copy the file to edit it",
            );
        }
        Ok(())
    }

    /// Saves metrics, events, a checkpoint, its weights in a separate file, and the wall time.
    ///
    /// # Errors
    /// `ErrorKind::File` if they cannot be written, or if the folder is no longer there.
    pub fn save(&mut self, checkpoint: &Checkpoint, training: &impl Training) -> Result<()> {
        self.check()?;
        // Rows are synced before the checkpoint that needs them.
        self.metrics.sync()?;
        self.events.as_mut().map_or(Ok(()), Events::sync)?;
        save_checkpoint(self.folder.path(), checkpoint)?;
        self.saved = checkpoint.step;
        training.save_weights(&checkpoint.weights, &self.folder.file(MODEL_FILE))?;
        self.record.save()
    }
}
