//! Samples of wave functions that are known up to a factor: Markov chains, which go on from step to step.
//!
//! A chain leaves `records` samples in a batch, `sweeps` sweeps of N proposals apart; sample r·chains + c is the r-th of
//! chain c. Windows of chains, as many as memory allows, go on one after another; no chain depends on the others.

use super::estimator::{Estimator, Source};
use super::gradient::{GradientPass, LogPsiBuffers};
use super::sampler::{GroupViews, Sampler};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::metropolis::{MetropolisAcceptance, Stream, start_reference};
use crate::kernels::rows::Window;
use crate::model::{
    ChainWindow, ConnectedMoves, LogPsi, LogPsiGradient, Metropolis, Outcomes, Proposal, Stretch, Unnormalised,
};
use crate::physics::Patching;

/// Markov chains of a wave function with the network that moves them.
pub(super) struct Chains {
    network: Box<dyn Unnormalised>,
    settings: Metropolis,
    sites: u32,
    /// How many chains.
    pub count: u32,
    /// Samples of a chain in a batch.
    records: u32,
    /// p: samples are as frequent as |ψ|^p says.
    power: f32,
    /// (chains, T) u32
    state: Buffer,
    /// (chains) u32: proposals accepted in the last batch.
    accepted: Buffer,
    /// (1): mean acceptance in the last batch.
    acceptance: Buffer,
}

/// Stages in which chains of a trained wave function come to its own distribution.
const STAGES: u32 = 10;

impl Metropolis {
    /// Chains of a batch of `samples`.
    pub(super) fn chains_of(&self, samples: u32) -> u32 {
        self.chains.map_or(samples, |chains| (chains as u32).min(samples))
    }
}

impl Chains {
    /// Elements of its buffers for batches of `samples` samples of `patches` patches.
    pub fn elements(settings: &Metropolis, samples: u32, patches: u64) -> u64 {
        u64::from(settings.chains_of(samples)) * (patches + 1) + 8
    }

    pub fn new(
        gpu: &Gpu,
        network: Box<dyn Unnormalised>,
        settings: Metropolis,
        patching: &Patching,
        samples: u32,
        power: f32,
    ) -> Result<Self> {
        let (count, sites) = (settings.chains_of(samples), patching.sites() as u32);
        let records = samples.div_ceil(count);
        let sweeps = (settings.sweeps as u64 * u64::from(records)).max(settings.burn_in as u64);
        if sweeps * u64::from(sites) > u64::from(u32::MAX) {
            let message = format!(
                "metropolis: chains={count} for {samples} samples are {sweeps} sweeps of {sites} proposals in a row; give \
                 more chains or fewer sweeps"
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.chains.{name}"), elements);
        Ok(Self {
            network,
            settings,
            sites,
            count,
            records,
            power,
            state: buffer("state", u64::from(count) * patching.patches() as u64)?,
            accepted: buffer("accepted", count.into())?,
            acceptance: buffer("acceptance", 1)?,
        })
    }

    /// Mean acceptance of the last batch, (1).
    pub fn acceptance(&self) -> View {
        self.acceptance.view()
    }

    /// Proposals of each chain in a batch.
    pub fn proposals(&self) -> u64 {
        self.settings.sweeps as u64 * u64::from(self.sites) * u64::from(self.records)
    }

    /// Proposals that each chain accepted in the last batch.
    pub fn accepted(&self, gpu: &Gpu) -> Result<Vec<u32>> {
        self.accepted.read(gpu, self.count as usize)
    }

    /// Chain windows of at most `most` chains.
    fn windows(&self, estimator: &Estimator, most: u32) -> impl Iterator<Item = ChainWindow> {
        let (count, samples, power) = (self.count, estimator.samples, self.power);
        let views = [&self.state, &self.accepted, &estimator.tokens, &estimator.step].map(Buffer::view);
        (0..count).step_by(most as usize).map(move |first| {
            let [state, accepted, tokens, step] = views.clone();
            ChainWindow {
                state,
                accepted,
                tokens,
                step,
                all: count,
                first,
                chains: most.min(count - first),
                samples,
                power,
            }
        })
    }

    /// Records the burn-in, which ends where the first batch begins.
    ///
    /// Chains that begin at random where ψ is far from flat may be caught where it is small: around a peak of its own, which
    /// none of the chains of training ever saw. So of a wave function that is `trained` they begin with a power near 0, for
    /// which all configurations are alike, and come to their own by equal stages (Kirkpatrick et al., Science 220, 671
    /// (1983)).
    pub fn record_burn_in(&self, plan: &mut Plan, estimator: &Estimator, trained: bool) -> Result<()> {
        let proposals = self.settings.burn_in as u32 * self.sites;
        let stages = if trained { STAGES } else { 1 };
        let until = |stage: u32| (u64::from(proposals) * u64::from(stage) / u64::from(stages)) as u32;
        for window in self.windows(estimator, estimator.sizes.group) {
            self.network.begin(plan, &window)?;
            for stage in 0..stages {
                let power = self.power * (stage + 1) as f32 / stages as f32;
                let (first, end) = (until(stage), until(stage + 1));
                let stretch = Stretch { first, proposals: end - first, stream: Stream::BurnIn, record: None };
                self.network.advance(plan, &ChainWindow { power, ..window.clone() }, &stretch)?;
            }
        }
        Ok(())
    }

    /// Puts every chain where it begins in step `step` of `seed`.
    pub fn start(&self, gpu: &Gpu, patching: &Patching, seed: u64, step: u64) -> Result<()> {
        let exchange = self.settings.proposal == Proposal::Exchange;
        let start = |chain: u32| start_reference(self.sites, exchange, seed, step as u32, chain);
        let tokens: Vec<u32> = (0..self.count).flat_map(|chain| patching.tokens(&start(chain))).collect();
        self.state.write(gpu, &tokens)
    }

    /// Where every chain stands, (chains, T).
    pub fn keep(&self, gpu: &Gpu) -> Result<Vec<u32>> {
        self.state.read(gpu, self.state.bytes() as usize / 4)
    }

    /// Whether these are places of as many chains.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] otherwise.
    pub fn check(&self, places: &[u32]) -> Result<()> {
        let words = self.state.bytes() as usize / 4;
        match places.len() == words {
            true => Ok(()),
            false => {
                let message = format!(
                    "the checkpoint has {} words of Markov chains, {words} are needed; give the settings of its run",
                    places.len()
                );
                Err(Error::new(ErrorKind::Weights, message))
            }
        }
    }

    /// Puts every chain where it stood.
    pub fn restore(&self, gpu: &Gpu, places: &[u32]) -> Result<()> {
        self.state.write(gpu, places)
    }
}

impl Sampler for Chains {
    fn record_batch(&self, plan: &mut Plan, estimator: &Estimator) -> Result<()> {
        let proposals = self.settings.sweeps as u32 * self.sites;
        for window in self.windows(estimator, estimator.sizes.group) {
            self.network.begin(plan, &window)?;
            for record in 0..self.records {
                let (first, sample) = (record * proposals, record * self.count);
                let stretch = Stretch { first, proposals, stream: Stream::Sample, record: Some(sample) };
                self.network.advance(plan, &window, &stretch)?;
            }
        }
        let acceptance = MetropolisAcceptance { accepted: self.accepted.view(), acceptance: self.acceptance() };
        acceptance.record(plan, self.count, self.proposals())
    }

    fn record_group(&self, plan: &mut Plan, estimator: &Estimator, g: u32, _: Source) -> Result<()> {
        let GroupViews { tokens, log_psi, .. } = GroupViews::new(estimator, g)?;
        self.network.amplitudes(plan, &tokens, estimator.groups.samples_of(g), &log_psi)
    }

    fn record_ratios(&self, plan: &mut Plan, estimator: &Estimator, g: u32, window: &Window) -> Result<()> {
        let tables = &estimator.tables;
        let GroupViews { tokens, sample_of, .. } = GroupViews::new(estimator, g)?;
        let connected = ConnectedMoves {
            tokens,
            sample_of,
            moves: tables.moves.view(),
            starts: tables.starts.view(),
            ratio: estimator.ratio.view(),
            parts: estimator.parts,
            count: tables.moves(),
            pairs: tables.host.moves_pairs(),
            total: estimator.live.range(estimator.live.label(), estimator.own_counter, 1)?,
            counters: estimator.live.view(),
        };
        self.network.ratios(plan, window, &connected)
    }

    fn gradient_pass(&self, estimator: &Estimator) -> Result<Box<dyn GradientPass + '_>> {
        let (samples, complex) = (estimator.sizes.training, estimator.phase.is_some());
        Ok(Box::new(UnnormalisedPass::new(&estimator.gpu, &*self.network, samples, complex)?))
    }

    fn chains(&self) -> Option<&Chains> {
        Some(self)
    }
}

/// The pass with gradient of a wave function that is known up to a factor.
pub(super) struct UnnormalisedPass<'a> {
    network: &'a dyn Unnormalised,
    /// (samples)
    log_psi: LogPsiBuffers,
}

impl<'a> UnnormalisedPass<'a> {
    pub fn new(gpu: &Gpu, network: &'a dyn Unnormalised, samples: u32, complex: bool) -> Result<Self> {
        Ok(Self { network, log_psi: LogPsiBuffers::new(gpu, samples.into(), complex)? })
    }
}

impl GradientPass for UnnormalisedPass<'_> {
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
