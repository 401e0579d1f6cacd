//! Sampler interface: the parts of a step that depend on the kind of wave function.
//!
//! Everything else in a step is the same for all kinds: deduplication, diagonal energies, statistics, weights of the
//! gradient, optimizer, memory plan.

use super::autoregressive::AutoregressiveSampler;
use super::chains::Chains;
use super::gradient::GradientPass;
use super::local_energy::{LocalEnergyPipeline, SampleSource};
use super::sector::head_shape;
use crate::error::Result;
use crate::gpu::{Gpu, Plan, View};
use crate::kernels::vmc::rows::Window;
use crate::model::{Autoregressive, LogPsi, Model, WaveFunction};
use crate::physics::Patching;

/// Sampler of a batch, with amplitude ratios and the gradient pass of its wave function.
pub(crate) trait Sampler {
    /// Records the work for the whole batch that precedes its groups.
    fn record_batch(&self, plan: &mut Plan, pipeline: &LocalEnergyPipeline) -> Result<()>;

    /// Records the samples of group `g` with their log P, and the data that their amplitude ratios need.
    fn record_group(&self, plan: &mut Plan, pipeline: &LocalEnergyPipeline, g: u32, source: SampleSource)
    -> Result<()>;

    /// Records log ψ'/ψ of the connected configurations, for a window of deduplicated samples of group `g`.
    fn record_ratios(&self, plan: &mut Plan, pipeline: &LocalEnergyPipeline, g: u32, window: &Window) -> Result<()>;

    /// Creates the gradient pass over a chunk of samples.
    fn gradient_pass(&self, pipeline: &LocalEnergyPipeline) -> Result<Box<dyn GradientPass + '_>>;

    /// Returns the Markov chains; `None` if the wave function is autoregressive.
    fn chains(&self) -> Option<&Chains> {
        None
    }

    /// Returns the network; `None` if the wave function is not autoregressive.
    fn network(&self) -> Option<&dyn Autoregressive> {
        None
    }
}

/// Number of rows per sample in the gradient pass, which is the number of terms of log P: one per patch if the wave
/// function is autoregressive, otherwise one, log |ψ|².
pub(crate) fn columns(model: &dyn Model, patching: &Patching) -> u32 {
    if model.chains().is_some() { 1 } else { patching.patches() as u32 }
}

/// Creates the sampler of a wave function for groups of `group` samples or chains, `move_rows` rows of connected
/// configurations, and batches of `samples` samples. Markov chains sample |ψ|^`power`.
pub(crate) fn sampler(
    gpu: &Gpu,
    model: &dyn Model,
    wave_function: WaveFunction,
    patching: &Patching,
    [group, move_rows, samples]: [u32; 3],
    power: f32,
) -> Result<Box<dyn Sampler>> {
    Ok(match wave_function {
        WaveFunction::Autoregressive(network) => {
            Box::new(AutoregressiveSampler::new(gpu, network, head_shape(model, patching), [group, move_rows])?)
        }
        WaveFunction::Unnormalized(network) => {
            let settings = model.chains().cloned().unwrap_or_default();
            Box::new(Chains::new(gpu, network, settings, patching, samples, power)?)
        }
    })
}

/// Views of the tokens, deduplicated samples and log ψ of a group.
pub(crate) struct GroupViews {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32
    pub sample_of: View,
    /// (B, columns)
    pub log_psi: LogPsi,
}

impl GroupViews {
    pub(crate) fn new(pipeline: &LocalEnergyPipeline, g: u32) -> Result<Self> {
        let of_part = |buffer, width| pipeline.groups.of_part(buffer, g, width);
        Ok(Self {
            tokens: of_part(&pipeline.tokens, pipeline.patches())?,
            sample_of: of_part(&pipeline.groups.sample_of, 1)?,
            log_psi: LogPsi {
                log_p: of_part(&pipeline.log_p, pipeline.columns)?,
                phase: pipeline.phase.as_ref().map(|phase| of_part(phase, pipeline.columns)).transpose()?,
            },
        })
    }
}
