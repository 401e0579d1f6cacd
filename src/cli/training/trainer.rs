//! Trainers of runs.

use ketformer::Result;
use ketformer::gpt::{GptReport, GptSteps, GptTrainer};
use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::vmc::{Checkpoint, StepReport, Steps, Trainer};

/// Trainer of a run, whose steps have reports of type `R`.
pub trait RunTrainer<R> {
    /// Reports of the next `steps` steps.
    fn steps(&mut self, steps: u64) -> impl RunSteps<R>;

    /// State that later steps depend on. After the device was lost, the newest state that the host has.
    ///
    /// # Errors
    /// Errors of the device.
    fn checkpoint(&self) -> Result<Checkpoint>;

    /// Resumes after the step of `checkpoint`.
    ///
    /// # Errors
    /// Errors of weights and of the device.
    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()>;

    /// Replaces the weights.
    ///
    /// # Errors
    /// Errors of weights.
    fn set_weights(&mut self, weights: &Weights) -> Result<()>;

    /// The device.
    fn gpu(&self) -> &Gpu;

    /// Bytes of the buffers on the device.
    fn memory(&self) -> u64;

    /// Number of parameters.
    fn parameters(&self) -> usize;
}

/// Iterator over the reports of steps.
pub trait RunSteps<R>: Iterator<Item = Result<R>> {
    /// Stops submitting steps. Steps in flight are still reported.
    fn stop(&mut self);
}

/// Implements both traits by the methods of the same names.
macro_rules! run_trainer {
    ($trainer:ty, $steps:ident, $report:ty) => {
        impl RunTrainer<$report> for $trainer {
            fn steps(&mut self, steps: u64) -> impl RunSteps<$report> {
                self.steps(steps)
            }

            fn checkpoint(&self) -> Result<Checkpoint> {
                self.checkpoint()
            }

            fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
                self.restore(checkpoint)
            }

            fn set_weights(&mut self, weights: &Weights) -> Result<()> {
                self.set_weights(weights)
            }

            fn gpu(&self) -> &Gpu {
                self.gpu()
            }

            fn memory(&self) -> u64 {
                self.memory()
            }

            fn parameters(&self) -> usize {
                self.parameters()
            }
        }

        impl RunSteps<$report> for $steps<'_> {
            fn stop(&mut self) {
                self.stop();
            }
        }
    };
}

run_trainer!(Trainer, Steps, StepReport);
run_trainer!(GptTrainer, GptSteps, GptReport);
