//! What of a step depends on the kind of wave function: how samples are made, and the ratios of their moves.

use super::autoregressive::Autoregressive;
use super::chains::Chains;
use super::estimator::{Estimator, Source};
use super::gradient::GradientPass;
use super::sector::head_shape;
use crate::error::Result;
use crate::gpu::{Gpu, Plan, View};
use crate::kernels::rows::Window;
use crate::model::{LogPsi, Model, Network, WaveFunction};
use crate::physics::Patching;

/// How the samples of a batch come about.
pub(super) trait Sampler {
    /// Records what is done for the whole batch before its groups.
    fn record_batch(&self, plan: &mut Plan, estimator: &Estimator) -> Result<()>;

    /// Records the samples of group `g` with their log P, and what their moves need.
    fn record_group(&self, plan: &mut Plan, estimator: &Estimator, g: u32, source: Source) -> Result<()>;

    /// Records log ψ'/ψ of the moves of a window of group `g`'s distinct samples.
    fn record_ratios(&self, plan: &mut Plan, estimator: &Estimator, g: u32, window: &Window) -> Result<()>;

    /// The pass with gradient over a chunk of samples at a time.
    fn gradient_pass(&self, estimator: &Estimator) -> Result<Box<dyn GradientPass + '_>>;

    /// The Markov chains, where there are any.
    fn chains(&self) -> Option<&Chains> {
        None
    }

    /// The network, where it is autoregressive.
    fn network(&self) -> Option<&dyn Network> {
        None
    }
}

/// Rows of a sample in the pass with gradient, which are the numbers that its log P is the sum of: one for each patch where
/// the wave function is autoregressive, else one, log ψ².
pub(super) fn columns(model: &dyn Model, patching: &Patching) -> u32 {
    if model.chains().is_some() { 1 } else { patching.patches() as u32 }
}

/// The sampler of a wave function: `group` samples or chains at a time, `move_rows` rows of moves, `samples` in a batch,
/// and where they come from Markov chains as frequent as |ψ|^`power`.
pub(super) fn sampler(
    gpu: &Gpu,
    model: &dyn Model,
    wave_function: WaveFunction,
    patching: &Patching,
    [group, move_rows, samples]: [u32; 3],
    power: f32,
) -> Result<Box<dyn Sampler>> {
    Ok(match wave_function {
        WaveFunction::Autoregressive(network) => {
            Box::new(Autoregressive::new(gpu, network, head_shape(model, patching), [group, move_rows])?)
        }
        WaveFunction::Unnormalised(network) => {
            let settings = model.chains().cloned().unwrap_or_default();
            Box::new(Chains::new(gpu, network, settings, patching, samples, power)?)
        }
    })
}

/// What moves of a group read and make.
pub(super) struct GroupViews {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32
    pub sample_of: View,
    /// (B, columns)
    pub log_psi: LogPsi,
}

impl GroupViews {
    pub fn new(estimator: &Estimator, g: u32) -> Result<Self> {
        let of_part = |buffer, width| estimator.groups.of_part(buffer, g, width);
        Ok(Self {
            tokens: of_part(&estimator.tokens, estimator.patches())?,
            sample_of: of_part(&estimator.groups.sample_of, 1)?,
            log_psi: LogPsi {
                log_p: of_part(&estimator.log_p, estimator.columns)?,
                phase: estimator.phase.as_ref().map(|phase| of_part(phase, estimator.columns)).transpose()?,
            },
        })
    }
}
