//! Kind of a wave function, autoregressive or sampled by Markov chains: its sampler and gradient pass.

use std::ops::Deref;
use std::sync::Arc;

use super::exclusions::Exclusions;
use super::gradient_pass::GradientPass;
use super::samplers::Sampler;
use super::samplers::autoregressive::{AutoregressiveSampler, ForcedPass};
use super::samplers::chains::Chains;
use super::samplers::unnormalized::{UnnormalizedPass, UnnormalizedSampler};
use super::sector::head_shape;
use crate::error::Result;
use crate::gpu::{Gpu, Plan, View};
use crate::model::{Autoregressive, Model, Unnormalized, WaveFunction};
use crate::physics::Patching;

/// Number of rows per sample in the gradient pass, which is the number of terms of log P: one per patch if the wave
/// function is autoregressive, otherwise one, log |ψ|².
pub(crate) fn columns(model: &dyn Model, patching: &Patching) -> u32 {
    if model.chains().is_some() { 1 } else { patching.patches() as u32 }
}

/// Draws of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Draws {
    /// From |ψ|² by an autoregressive wave function, or from |ψ|^p by Markov chains.
    Own,
    /// From |ψ|^p by the amplitudes of all configurations of an unnormalized wave function.
    Enumerated,
    /// None: all configurations are fixed.
    None,
}

/// Sampler of one of the two kinds.
pub(crate) enum SamplerKind {
    Autoregressive(AutoregressiveSampler),
    Unnormalized(UnnormalizedSampler),
}

impl SamplerKind {
    /// Returns the Markov chains and the network that they sample, if there are chains.
    pub(crate) fn chains(&self) -> Option<(&Chains, &dyn Unnormalized)> {
        match self {
            Self::Autoregressive(_) => None,
            Self::Unnormalized(sampler) => sampler.chains().map(|chains| (chains, sampler.network())),
        }
    }

    /// Makes the next batch independent of one that was stopped while it was drawn, apart from the configurations of
    /// Markov chains.
    ///
    /// # Errors
    /// As [`crate::gpu::View::write`].
    pub(crate) fn reset(&self, gpu: &Gpu) -> Result<()> {
        match self {
            Self::Autoregressive(sampler) => sampler.reset(gpu),
            Self::Unnormalized(sampler) => sampler.network().reset(gpu),
        }
    }

    /// Records the attention weights, averaged over the `samples` samples of the last pass of
    /// [`GradientPass::forward`].
    ///
    /// # Errors
    /// As [`Autoregressive::attention`].
    pub(crate) fn record_attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        match self {
            Self::Autoregressive(sampler) => sampler.network().attention(plan, samples, layers),
            Self::Unnormalized(sampler) => sampler.network().attention(plan, samples, layers),
        }
    }

    /// Returns the network; `None` if the wave function is autoregressive.
    pub(crate) fn unnormalized(&self) -> Option<&dyn Unnormalized> {
        match self {
            Self::Autoregressive(_) => None,
            Self::Unnormalized(sampler) => Some(sampler.network()),
        }
    }

    /// Returns the network; `None` if the wave function is not autoregressive.
    pub(crate) fn network(&self) -> Option<&dyn Autoregressive> {
        match self {
            Self::Autoregressive(sampler) => Some(sampler.network()),
            Self::Unnormalized(_) => None,
        }
    }
}

impl Deref for SamplerKind {
    type Target = dyn Sampler;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Autoregressive(sampler) => sampler,
            Self::Unnormalized(sampler) => sampler,
        }
    }
}

/// Creates the sampler of a wave function for groups of `group` samples or chains, `move_rows` rows of connected
/// configurations, and batches of `samples` samples.
pub(crate) fn sampler(
    gpu: &Gpu,
    model: &dyn Model,
    wave_function: WaveFunction,
    patching: &Patching,
    [group, move_rows, samples]: [u32; 3],
    draws: Draws,
) -> Result<SamplerKind> {
    Ok(match wave_function {
        WaveFunction::Autoregressive(network) => SamplerKind::Autoregressive(AutoregressiveSampler::new(
            gpu,
            network,
            (head_shape(model, patching), Exclusions::new(gpu, model, patching)?),
            [group, move_rows],
        )?),
        WaveFunction::Unnormalized(network) => {
            let settings = model.chains().cloned().unwrap_or_default();
            let chains = match draws {
                Draws::Own => Some(Chains::new(gpu, settings, patching, samples)?),
                Draws::Enumerated | Draws::None => None,
            };
            SamplerKind::Unnormalized(UnnormalizedSampler::new(network, chains))
        }
    })
}

/// Creates the gradient pass of a wave function over at most `samples` samples.
pub(crate) fn gradient_pass<'a>(
    gpu: &Gpu,
    model: &dyn Model,
    wave_function: &'a WaveFunction,
    patching: &Patching,
    samples: u32,
) -> Result<Box<dyn GradientPass + 'a>> {
    let complex = model.is_complex();
    Ok(match wave_function {
        WaveFunction::Autoregressive(network) => {
            let exclusions = Exclusions::new(gpu, model, patching)?.map(Arc::new);
            Box::new(ForcedPass::new(gpu, &**network, (head_shape(model, patching), exclusions), samples, complex)?)
        }
        WaveFunction::Unnormalized(network) => Box::new(UnnormalizedPass::new(gpu, &**network, samples, complex)?),
    })
}
