//! Vision transformer on a device: amplitudes, chains, amplitude ratios and gradient.

use super::super::{
    Capacity, ChainWindow, ConnectedMoves, LogPsi, LogPsiGradient, Metropolis, Parameters, Stretch, Unnormalized,
};
use super::chains::Chains;
use super::encoder::Encoder;
use super::parameters::VitViews;
use super::sizes::VitSizes;
use super::training::Training;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, DynamicRows, Gpu, Plan, Rows, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::vmc::connected::{Connected, ConnectedList, ConnectedRatio};
use crate::kernels::vmc::rows::Window;
use crate::kernels::vmc::spins::RowsSpins;
use crate::model::layers::affine::ParameterViews;

/// Connected configurations of a window: pairs of a deduplicated sample and a move whose condition holds.
struct Moves {
    /// (items) u32
    counts: Buffer,
    /// (items) u32
    offsets: Buffer,
    /// (pairs) of two u32
    pairs: Buffer,
}

/// Vision transformer with the buffers of its passes.
pub(super) struct VitNetwork {
    sizes: VitSizes,
    parameters: ParameterViews<VitViews>,
    encoder: Encoder,
    chains: Chains,
    moves: Moves,
    /// Maximum number of connected configurations in one pass.
    move_rows: u32,
    /// (samples) log ψ² and (samples) phase of the group whose amplitude ratios are computed next
    group: [Buffer; 2],
    training: Option<Training>,
}

/// Words for each pair.
const OF_PAIR: u64 = 2;

impl VitNetwork {
    pub(super) fn new(
        gpu: &Gpu,
        sizes: VitSizes,
        metropolis: &Metropolis,
        changes: &[[u32; 4]],
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<Self> {
        let (samples, move_rows) = (capacity.samples, capacity.move_rows.max(1));
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.vit.{name}"), elements);
        let training = capacity.training_samples;
        Ok(Self {
            parameters: VitViews::find_all(parameters, &sizes)?,
            encoder: Encoder::new(gpu, &sizes, samples.max(move_rows), capacity.hidden_rows)?,
            chains: Chains::new(gpu, changes, metropolis.proposal, sizes.patches(), samples)?,
            moves: Moves {
                counts: buffer("moves.counts", samples.into())?,
                offsets: buffer("moves.offsets", samples.into())?,
                pairs: buffer("moves.pairs", OF_PAIR * u64::from(move_rows))?,
            },
            move_rows,
            group: [buffer("group.log_p", samples.into())?, buffer("group.phase", samples.into())?],
            training: (training > 0).then(|| Training::new(gpu, &sizes, parameters, training)).transpose()?,
            sizes,
        })
    }

    fn training(&self) -> Result<&Training> {
        let message = "vit: the network was made without room for gradients; give it training_samples";
        self.training.as_ref().ok_or_else(|| Error::new(ErrorKind::Shape, message))
    }

    /// Records the spins of a window of configurations of `tokens`.
    fn spins(
        &self,
        plan: &mut Plan,
        window: &Window,
        (tokens, sample_of): (&View, Option<&View>),
        spins: &Buffer,
    ) -> Result<()> {
        let made = RowsSpins { tokens: tokens.clone(), sample_of: sample_of.cloned(), spins: spins.view() };
        made.record(plan, window, self.sizes.sites_per_patch)
    }

    /// Records the pass over configurations `first .. first + count` of `all` in `tokens`, up to its units.
    fn pass(&self, plan: &mut Plan, tokens: &View, [first, count, all]: [u32; 3]) -> Result<Rows> {
        let rows = Rows::from(count);
        let patches = self.sizes.patches();
        let window = Window { items: rows.clone(), first, capacity: count, samples: all, patches };
        self.spins(plan, &window, (tokens, None), &self.encoder.spins)?;
        self.encoder.forward(plan, &self.sizes, &self.parameters.sampled, &rows)?;
        Ok(rows)
    }

    /// Records log ψ² of a pass; its phases are not used and go to scratch.
    fn amplitude(&self, plan: &mut Plan, rows: &Rows, log_p: &View) -> Result<()> {
        self.encoder.amplitude(plan, &self.sizes, rows, [log_p, &self.encoder.phase])
    }
}

/// Returns the phase buffer of `log_psi`.
fn phase_of(log_psi: &LogPsi) -> Result<&View> {
    let message = "vit: a complex wave function needs room for phases";
    log_psi.phase.as_ref().ok_or_else(|| Error::new(ErrorKind::Shape, message))
}

impl Unnormalized for VitNetwork {
    fn begin(&self, plan: &mut Plan, chains: &ChainWindow) -> Result<()> {
        let rows = self.pass(plan, &chains.state, [chains.first, chains.chains, chains.all])?;
        self.amplitude(plan, &rows, &self.chains.log_p)
    }

    fn reset(&self, gpu: &Gpu) -> Result<()> {
        self.chains.reset(gpu)
    }

    fn advance(&self, plan: &mut Plan, chains: &ChainWindow, stretch: &Stretch) -> Result<()> {
        if stretch.proposals == 0 {
            return Ok(());
        }
        let shape = Chains::shape(chains, stretch, self.sizes.patches());
        plan.repeat(stretch.proposals, |plan| {
            self.chains.propose(chains).record(plan, &shape)?;
            let rows = self.pass(plan, &self.chains.proposed, [0, chains.chains, chains.chains])?;
            self.amplitude(plan, &rows, &self.encoder.log_p)?;
            self.chains.accept(chains, self.encoder.log_p.view()).record(plan, &shape)
        })
    }

    fn amplitudes(&self, plan: &mut Plan, tokens: &View, samples: u32, log_psi: &LogPsi) -> Result<()> {
        let rows = self.pass(plan, tokens, [0, samples, samples])?;
        // Once for the caller, and once for the ratios of connected configurations.
        let [own_log_p, own_phase] = &self.group;
        for made in [[&log_psi.log_p, phase_of(log_psi)?], [own_log_p, own_phase]] {
            self.encoder.amplitude(plan, &self.sizes, &rows, made)?;
        }
        Ok(())
    }

    fn ratios(&self, plan: &mut Plan, window: &Window, connected: &ConnectedMoves) -> Result<()> {
        let moves = Connected {
            tokens: connected.tokens.clone(),
            sample_of: connected.sample_of.clone(),
            moves: connected.moves.clone(),
            starts: connected.starts.clone(),
            count: connected.count,
        };
        let Moves { counts, offsets, pairs } = &self.moves;
        let total = connected.total.clone();
        let list = ConnectedList { counts: counts.view(), offsets: offsets.view(), pairs: pairs.view(), total };
        moves.list(plan, window, &list, &connected.ratio)?;
        plan.write_indirect_args(&connected.counters)?;
        let all = window.capacity * connected.count;
        for first in (0..all).step_by(self.move_rows as usize) {
            let most = self.move_rows.min(all - first);
            let rows = Rows::from(DynamicRows::new(connected.total.clone(), first, most, 1));
            let part = (&rows, first);
            moves.spins(plan, window, pairs, part, self.sizes.sites_per_patch, &self.encoder.spins)?;
            self.encoder.forward(plan, &self.sizes, &self.parameters.sampled, &rows)?;
            self.encoder.amplitude(plan, &self.sizes, &rows, [&self.encoder.log_p, &self.encoder.phase])?;
            let ratio = ConnectedRatio {
                pairs: pairs.view(),
                total: connected.total.clone(),
                sample_of: connected.sample_of.clone(),
                moved: [self.encoder.log_p.view(), self.encoder.phase.view()],
                own: [self.group[0].view(), self.group[1].view()],
                ratio: connected.ratio.clone(),
            };
            ratio.record(plan, part, window.samples, connected.count)?;
        }
        Ok(())
    }

    fn forward(
        &self,
        plan: &mut Plan,
        window: &Window,
        tokens: &View,
        sample_of: &View,
        log_psi: &LogPsi,
    ) -> Result<()> {
        let training = self.training()?;
        self.spins(plan, window, (tokens, Some(sample_of)), &training.spins)?;
        let made = [&log_psi.log_p, phase_of(log_psi)?];
        training.forward(plan, &self.sizes, &self.parameters.values, &window.items, made)
    }

    fn backward(
        &self,
        plan: &mut Plan,
        window: &Window,
        d_log_psi: &LogPsiGradient,
        into: GradientInto<'_>,
    ) -> Result<()> {
        self.training()?.backward(plan, &self.sizes, &self.parameters, &window.items, d_log_psi, into)
    }

    fn attention(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        self.training()?.attention_weights(plan, &self.sizes, samples, layers)
    }
}
