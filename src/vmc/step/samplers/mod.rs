//! Samplers: the parts of a step that depend on the kind of wave function, and exact draws from an enumerated sector.
//!
//! Everything else in a step is the same for all kinds: deduplication, diagonal energies, statistics, weights of the
//! gradient, optimizer, memory plan.

pub(super) mod amplitude_table;
pub(super) mod autoregressive;
pub(super) mod chains;
pub(super) mod unnormalized;

use crate::error::Result;
use crate::gpu::Plan;
use crate::kernels::vmc::rows::Window;
use crate::vmc::step::buffers::{SampleSource, StepBuffers};
use crate::vmc::step::gradient_pass::GradientPass;

/// Sampler of a batch, with amplitude ratios and the gradient pass of its wave function.
pub(crate) trait Sampler {
    /// Records the work for the whole batch that precedes its groups.
    fn record_batch(&self, plan: &mut Plan, buffers: &StepBuffers) -> Result<()>;

    /// Records the samples of group `g` with their log P, and the data that their amplitude ratios need.
    fn record_group(&self, plan: &mut Plan, buffers: &StepBuffers, g: u32, source: SampleSource) -> Result<()>;

    /// Records log ψ'/ψ of the connected configurations, for a window of deduplicated samples of group `g`.
    fn record_ratios(&self, plan: &mut Plan, buffers: &StepBuffers, g: u32, window: &Window) -> Result<()>;

    /// Creates the gradient pass over a chunk of samples.
    fn gradient_pass(&self, buffers: &StepBuffers) -> Result<Box<dyn GradientPass + '_>>;
}
