//! Markov chains that sample unnormalized wave functions and continue from step to step.
//!
//! A chain records `records` samples per batch, `sweeps` sweeps of N proposals apart. Sample r·chains + c is the r-th
//! of chain c. Chains are independent and advance in windows, whose size the memory limits.
//!
//! A chain depends only on the wave function and its index. Random words are counted by (chain, proposal, step,
//! stream), so that memory, launches and the number of chains change nothing. What a wave function stores per chain in
//! addition to the configuration is recomputed in every step.
//!
//! For a trained wave function, chains start with a power of |ψ| near 0 that increases to the final power in stages.
//! With random starts at the final power, 5 of 1024 chains of a ViT for the 6x6 J1-J2 model were stuck in
//! phase-separated configurations, which the chains of training had left while ψ was still flat: variance 3.7 and R̂
//! 3.6, compared with 0.27 and 1.000 with stages.

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::rbm::sweep::{RbmAcceptance, Stream, start_reference};
use crate::model::{ChainWindow, Metropolis, Proposal, Stretch, Unnormalized};
use crate::physics::Patching;
use crate::vmc::step::buffers::StepBuffers;

/// Markov chains of an unnormalized wave function.
pub(crate) struct Chains {
    settings: Metropolis,
    sites: u32,
    /// Number of chains.
    pub count: u32,
    /// Samples per chain and batch.
    records: u32,
    /// (chains, T) u32
    state: Buffer,
    /// (chains) u32: proposals accepted in the last batch.
    accepted: Buffer,
    /// (1): mean acceptance in the last batch.
    acceptance: Buffer,
}

/// Number of annealing stages of the burn-in for a trained wave function.
const STAGES: u32 = 10;

impl Metropolis {
    /// Number of chains for a batch of `samples`.
    pub(crate) fn chains_of(&self, samples: u32) -> u32 {
        self.chains.map_or(samples, |chains| (chains as u32).min(samples))
    }
}

impl Chains {
    pub(crate) fn new(gpu: &Gpu, settings: Metropolis, patching: &Patching, samples: u32) -> Result<Self> {
        let (count, sites) = (settings.chains_of(samples), patching.sites() as u32);
        let records = samples.div_ceil(count);
        let sweeps = (settings.sweeps as u64 * u64::from(records)).max(settings.burn_in as u64);
        if sweeps * u64::from(sites) > u64::from(u32::MAX) {
            let message = format!(
                "metropolis: chains={count} for {samples} samples are {sweeps} sweeps of {sites} proposals in a row; \
                 give more chains or fewer sweeps"
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.chains.{name}"), elements);
        Ok(Self {
            settings,
            sites,
            count,
            records,
            state: buffer("state", u64::from(count) * patching.patches() as u64)?,
            accepted: buffer("accepted", count.into())?,
            acceptance: buffer("acceptance", 1)?,
        })
    }

    /// Returns the mean acceptance of the last batch, (1).
    pub(crate) fn acceptance(&self) -> View {
        self.acceptance.view()
    }

    /// Number of proposals per chain and batch.
    pub(crate) fn proposals(&self) -> u64 {
        self.settings.sweeps as u64 * u64::from(self.sites) * u64::from(self.records)
    }

    /// Reads the number of proposals that each chain accepted in the last batch.
    pub(crate) async fn accepted(&self, gpu: &Gpu) -> Result<Vec<u32>> {
        self.accepted.read_async(gpu, self.count as usize).await
    }

    /// Returns windows of at most `most` chains.
    fn windows(&self, buffers: &StepBuffers, most: u32) -> impl Iterator<Item = ChainWindow> {
        let (count, samples) = (self.count, buffers.samples);
        let views = [&self.state, &self.accepted, &buffers.tokens, &buffers.step].map(Buffer::view);
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
                stage: 1.0,
            }
        })
    }

    /// Records the burn-in before the first batch.
    ///
    /// If ψ is far from flat, chains with random starts can get stuck around a local peak of small weight that the
    /// chains of training never visited. For a `trained` wave function, the power of |ψ| therefore increases to p in
    /// equal stages from a value near 0, for which the distribution is nearly uniform (simulated annealing: Kirkpatrick
    /// et al., Science 220, 671 (1983)).
    pub(crate) fn record_burn_in(
        &self,
        plan: &mut Plan,
        network: &dyn Unnormalized,
        buffers: &StepBuffers,
        trained: bool,
    ) -> Result<()> {
        let proposals = self.settings.burn_in as u32 * self.sites;
        let stages = if trained { STAGES } else { 1 };
        let until = |stage: u32| (u64::from(proposals) * u64::from(stage) / u64::from(stages)) as u32;
        for window in self.windows(buffers, buffers.sizes.group) {
            network.begin(plan, &window)?;
            for stage in 0..stages {
                let (first, end) = (until(stage), until(stage + 1));
                let stretch = Stretch { first, proposals: end - first, stream: Stream::BurnIn, record: None };
                let window = ChainWindow { stage: (stage + 1) as f32 / stages as f32, ..window.clone() };
                network.advance(plan, &window, &stretch)?;
            }
        }
        Ok(())
    }

    /// Writes the initial configuration of every chain for step `step` and `seed`.
    pub(crate) fn start(&self, gpu: &Gpu, patching: &Patching, seed: u64, step: u64) -> Result<()> {
        let exchange = self.settings.proposal == Proposal::Exchange;
        let start = |chain: u32| start_reference(self.sites, exchange, seed, step as u32, chain);
        let tokens: Vec<u32> = (0..self.count).flat_map(|chain| patching.tokens(&start(chain))).collect();
        self.state.write(gpu, &tokens)
    }

    /// Reads the configuration of every chain, (chains, T).
    pub(crate) async fn keep(&self, gpu: &Gpu) -> Result<Vec<u32>> {
        self.state.read_async(gpu, self.state.bytes() as usize / 4).await
    }

    /// Checks that `places` has (chains, T) elements.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] otherwise.
    pub(crate) fn check(&self, places: &[u32]) -> Result<()> {
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

    /// Restores the configuration of every chain.
    pub(crate) fn restore(&self, gpu: &Gpu, places: &[u32]) -> Result<()> {
        self.state.write(gpu, places)
    }

    /// Records the next batch.
    pub(crate) fn record_batch(
        &self,
        plan: &mut Plan,
        network: &dyn Unnormalized,
        buffers: &StepBuffers,
    ) -> Result<()> {
        let proposals = self.settings.sweeps as u32 * self.sites;
        for window in self.windows(buffers, buffers.sizes.group) {
            network.begin(plan, &window)?;
            for record in 0..self.records {
                let (first, sample) = (record * proposals, record * self.count);
                let stretch = Stretch { first, proposals, stream: Stream::Sample, record: Some(sample) };
                network.advance(plan, &window, &stretch)?;
            }
        }
        let acceptance = RbmAcceptance { accepted: self.accepted.view(), acceptance: self.acceptance() };
        acceptance.record(plan, self.count, self.proposals())
    }
}
