//! Sampler and gradient pass of an unnormalized wave function.

use super::Sampler;
use super::chains::Chains;
use crate::error::Result;
use crate::gpu::{Gpu, Plan, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::vmc::rows::Window;
use crate::model::{ConnectedMoves, LogPsi, LogPsiGradient, Outcomes, Unnormalized};
use crate::vmc::step::buffers::{GroupViews, SampleSource, StepBuffers};
use crate::vmc::step::gradient_pass::{GradientPass, LogPsiBuffers};

/// Unnormalized wave function with the Markov chains that sample it.
pub(crate) struct UnnormalizedSampler {
    network: Box<dyn Unnormalized>,
    /// `None` if all configurations are fixed.
    chains: Option<Chains>,
}

impl UnnormalizedSampler {
    pub(crate) fn new(network: Box<dyn Unnormalized>, chains: Option<Chains>) -> Self {
        Self { network, chains }
    }

    /// The network.
    pub(crate) fn network(&self) -> &dyn Unnormalized {
        &*self.network
    }

    /// The Markov chains.
    pub(crate) fn chains(&self) -> Option<&Chains> {
        self.chains.as_ref()
    }
}

impl Sampler for UnnormalizedSampler {
    fn record_batch(&self, plan: &mut Plan, buffers: &StepBuffers) -> Result<()> {
        self.chains.as_ref().map_or(Ok(()), |chains| chains.record_batch(plan, self.network(), buffers))
    }

    fn record_group(&self, plan: &mut Plan, buffers: &StepBuffers, g: u32, _: SampleSource) -> Result<()> {
        let GroupViews { tokens, log_psi, .. } = buffers.group(g)?;
        self.network.amplitudes(plan, &tokens, buffers.groups.samples_of(g), &log_psi)
    }

    fn record_ratios(&self, plan: &mut Plan, buffers: &StepBuffers, g: u32, window: &Window) -> Result<()> {
        let tables = &buffers.tables;
        let GroupViews { tokens, sample_of, .. } = buffers.group(g)?;
        let connected = ConnectedMoves {
            tokens,
            sample_of,
            moves: tables.moves.view(),
            starts: tables.starts.view(),
            ratio: buffers.ratio.view(),
            parts: buffers.parts,
            count: tables.connected(),
            pairs: tables.host.moves_pairs(),
            total: buffers.live.range(buffers.live.label(), buffers.own_counter, 1)?,
            counters: buffers.live.view(),
        };
        self.network.ratios(plan, window, &connected)
    }

    fn gradient_pass(&self, buffers: &StepBuffers) -> Result<Box<dyn GradientPass + '_>> {
        let (samples, complex) = (buffers.sizes.training, buffers.phase.is_some());
        Ok(Box::new(UnnormalizedPass::new(&buffers.gpu, &*self.network, samples, complex)?))
    }
}

/// Gradient pass of an unnormalized wave function.
pub(crate) struct UnnormalizedPass<'a> {
    network: &'a dyn Unnormalized,
    /// (samples)
    log_psi: LogPsiBuffers,
}

impl<'a> UnnormalizedPass<'a> {
    pub(crate) fn new(gpu: &Gpu, network: &'a dyn Unnormalized, samples: u32, complex: bool) -> Result<Self> {
        Ok(Self { network, log_psi: LogPsiBuffers::new(gpu, samples.into(), complex)? })
    }
}

impl GradientPass for UnnormalizedPass<'_> {
    fn forward(&self, plan: &mut Plan, window: &Window, tokens: &View, sample_of: &View) -> Result<Outcomes> {
        let log_psi = self.log_psi();
        self.network.forward(plan, window, tokens, sample_of, &log_psi)?;
        Ok(Outcomes { logits: log_psi.log_p, phases: log_psi.phase })
    }

    fn backward(
        &self,
        plan: &mut Plan,
        window: &Window,
        _: Outcomes,
        d_log_psi: &LogPsiGradient,
        into: GradientInto<'_>,
    ) -> Result<()> {
        self.network.backward(plan, window, d_log_psi, into)
    }

    fn log_psi(&self) -> LogPsi {
        self.log_psi.views()
    }
}
