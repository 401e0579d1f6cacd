//! Sampler of autoregressive wave functions: draws patch by patch; log P and the phase are sums over patches.
//!
//! GPUs decode narrow transformers in one launch ([`crate::model::SequenceDecoder`]). Otherwise every position of the
//! decode loop is recorded, instead of one set of launches with a counter on the GPU: launches take microseconds to record
//! once, grids and bounds are exact, and no kernel has to count.
//!
//! There is no pass for log P before the connected configurations: decoding leaves logits and cache. The teacher-forced
//! pass only runs for the gradient.

use std::sync::Arc;

use super::Sampler;
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::GradientInto;
use crate::kernels::nn::categorical::{
    CategoricalBackward, CategoricalForward, CategoricalSample, CategoricalSampleShape, CategoricalShape,
};
use crate::kernels::nn::phase::{PhaseBackward, PhaseForward, Targets};
use crate::kernels::vmc::energy::{AmplitudeRatio, ConnectedShape};
use crate::kernels::vmc::exclusions::ExcludedRows;
use crate::kernels::vmc::rows::{RowsConnected, RowsSamples, Window};
use crate::model::{Autoregressive, LogPsi, LogPsiGradient, Outcomes, SuffixBatch};
use crate::vmc::step::buffers::{GroupViews, SampleSource, StepBuffers};
use crate::vmc::step::exclusions::{ConfigurationViews, Exclusions};
use crate::vmc::step::gradient_pass::{GradientPass, LogPsiBuffers};

/// Autoregressive network with the row metadata of its passes without gradient.
pub(crate) struct AutoregressiveSampler {
    network: Box<dyn Autoregressive>,
    head: CategoricalShape,
    /// Pairs of sites that are not occupied together, if there are any.
    exclusions: Option<Arc<Exclusions>>,
    decode_rows: Buffer,
    move_rows: Buffer,
    row_log_p: Buffer,
    row_lse: Buffer,
    /// Phases of the rows of connected configurations, if the wave function is complex.
    row_phase: Option<Buffer>,
}

impl AutoregressiveSampler {
    pub(crate) fn new(
        gpu: &Gpu,
        network: Box<dyn Autoregressive>,
        (head, exclusions): (CategoricalShape, Option<Exclusions>),
        [group, move_rows]: [u32; 2],
    ) -> Result<Self> {
        let buffer = |name: &str, elements: u32| gpu.buffer(&format!("ketformer.{name}"), elements.into());
        let complex = network.decoded().phases.is_some();
        Ok(Self {
            network,
            head,
            exclusions: exclusions.map(Arc::new),
            decode_rows: buffer("decode.rows", 4 * group)?,
            move_rows: buffer("moves.row_meta", 4 * move_rows)?,
            row_log_p: buffer("moves.log_p", move_rows)?,
            row_lse: buffer("moves.lse", move_rows)?,
            row_phase: complex.then(|| buffer("moves.phase", move_rows)).transpose()?,
        })
    }
}

impl AutoregressiveSampler {
    /// Resets the rows of the first patch, which a batch that was not drawn to its last patch leaves changed.
    pub(crate) fn reset(&self, gpu: &Gpu) -> Result<()> {
        self.decode_rows.write(gpu, &vec![0u32; self.decode_rows.bytes() as usize / 4])
    }

    /// The network.
    pub(crate) fn network(&self) -> &dyn Autoregressive {
        &*self.network
    }

    /// Records the phases of the drawn outcomes, if the wave function is complex.
    fn record_phase(
        &self,
        plan: &mut Plan,
        targets: Targets,
        phases: Option<View>,
        phase: Option<View>,
        rows: &Rows,
    ) -> Result<()> {
        match phases.zip(phase) {
            Some((phases, phase)) => PhaseForward { targets, phases, phase }.record(plan, rows, self.head.outcomes),
            None => Ok(()),
        }
    }
}

impl Sampler for AutoregressiveSampler {
    fn record_batch(&self, _: &mut Plan, _: &StepBuffers) -> Result<()> {
        Ok(())
    }

    fn record_group(&self, plan: &mut Plan, buffers: &StepBuffers, g: u32, source: SampleSource) -> Result<()> {
        let GroupViews { tokens, log_psi: LogPsi { log_p, phase }, .. } = buffers.group(g)?;
        let (samples, head, given) = (buffers.sizes.group, self.head, source == SampleSource::Fixed);
        let first_sample = g * samples;
        // The decoder of whole sequences does not exclude outcomes.
        match self.network.sequence_decoder().filter(|_| self.exclusions.is_none()) {
            Some(decoder) => {
                if g == 0 {
                    decoder.record_pack(plan)?;
                }
                decoder.record(plan, [&buffers.step, &tokens, &log_p], (head, first_sample, given))?;
            }
            None => {
                for patch in 0..head.patches {
                    self.network.decode(plan, &self.decode_rows, &tokens, patch)?;
                    if let Some(exclusions) = &self.exclusions {
                        let (tokens, logits) = (tokens.clone(), self.network.decoded().logits);
                        let views = ConfigurationViews { tokens, sample_of: None, table: None, moves: None, logits };
                        exclusions.record(plan, views, &ExcludedRows::Drawn { patch, samples })?;
                    }
                    let sample = CategoricalSample {
                        logits: self.network.decoded().logits,
                        step: buffers.step.view(),
                        tokens: tokens.clone(),
                        log_p: log_p.clone(),
                        rows: self.decode_rows.view(),
                    };
                    let shape = CategoricalSampleShape { samples, head, patch, first_sample, given };
                    sample.record(plan, &shape)?;
                }
            }
        }
        let rows = Rows::from(buffers.sizes.group * self.head.patches);
        self.record_phase(plan, Targets::Tokens(tokens), self.network.decoded().phases, phase, &rows)
    }

    fn record_ratios(&self, plan: &mut Plan, buffers: &StepBuffers, g: u32, window: &Window) -> Result<()> {
        let tables = &buffers.tables;
        let GroupViews { tokens, sample_of, log_psi } = buffers.group(g)?;
        // A lattice of one patch has no rows to recompute: connected configurations are other outcomes of the same
        // logits.
        if tables.rows_per_item() > 0 {
            let rows = RowsConnected {
                tokens: tokens.clone(),
                sample_of: sample_of.clone(),
                table: tables.rows.view(),
                moves: tables.moves.view(),
                rows: self.move_rows.view(),
                counts: self.head.excitations.is_some(),
            };
            rows.record(plan, window, tables.rows_per_item(), tables.connected())?;
            let packed = SuffixBatch {
                row_meta: self.move_rows.view(),
                items: window.items.clone(),
                first_item: window.first,
                rows_per_item: tables.rows_per_item(),
                row_table: tables.row_table.view(),
                positions: tables.positions.clone(),
                sample_of: sample_of.clone(),
                tokens: tokens.clone(),
                large: tables.large.clone(),
            };
            let Outcomes { logits, phases } = self.network.connected(plan, &packed)?;
            if let Some(exclusions) = &self.exclusions {
                let views = ConfigurationViews {
                    tokens: tokens.clone(),
                    sample_of: Some(sample_of.clone()),
                    table: Some(tables.rows.view()),
                    moves: Some(tables.moves.view()),
                    logits: logits.clone(),
                };
                let (rows_per_item, moves) = (tables.rows_per_item(), tables.connected());
                let rows = ExcludedRows::Connected { window: window.clone(), rows_per_item, moves };
                exclusions.record(plan, views, &rows)?;
            }
            let rows = window.items.times(tables.rows_per_item());
            let head = CategoricalForward {
                rows: self.move_rows.view(),
                logits,
                log_p: self.row_log_p.view(),
                lse: self.row_lse.view(),
            };
            head.record(plan, &rows, &self.head)?;
            let row_phase = self.row_phase.as_ref().map(|phase| phase.view());
            self.record_phase(plan, Targets::Rows(self.move_rows.view()), phases, row_phase, &rows)?;
        }
        let decoded = self.network.decoded();
        let logarithms = (decoded.logits, log_psi.log_p, self.row_log_p.view());
        let row_phase = self.row_phase.as_ref().map(|phase| phase.view());
        let phases = decoded.phases.zip(log_psi.phase).zip(row_phase);
        let phases = phases.map(|((phases, phase), row_phase)| (phases, phase, row_phase));
        for (part, (logits, log_p, row_log_p)) in std::iter::once(logarithms).chain(phases).enumerate() {
            let ratio = AmplitudeRatio {
                tokens: tokens.clone(),
                sample_of: sample_of.clone(),
                logits,
                log_p,
                row_log_p,
                moves: tables.moves.view(),
                starts: tables.starts.view(),
                ratio: buffers.ratio.view(),
            };
            let shape = ConnectedShape {
                window: window.clone(),
                moves: tables.connected(),
                rows_per_item: tables.rows_per_item(),
                outcomes: self.head.outcomes,
                part: part as u32,
                parts: buffers.parts,
            };
            ratio.record(plan, &shape)?;
        }
        Ok(())
    }

    fn gradient_pass(&self, buffers: &StepBuffers) -> Result<Box<dyn GradientPass + '_>> {
        let (gpu, samples) = (&buffers.gpu, buffers.sizes.training);
        let head = (self.head, self.exclusions.clone());
        Ok(Box::new(ForcedPass::new(gpu, &*self.network, head, samples, buffers.phase.is_some())?))
    }
}

/// Teacher-forced pass over a window of samples, with its categorical head.
pub(crate) struct ForcedPass<'a> {
    network: &'a dyn Autoregressive,
    head: CategoricalShape,
    exclusions: Option<Arc<Exclusions>>,
    /// (samples·T) of four u32
    row_meta: Buffer,
    /// (samples, T)
    log_psi: LogPsiBuffers,
    /// (samples·T)
    lse: Buffer,
}

impl<'a> ForcedPass<'a> {
    pub(crate) fn new(
        gpu: &Gpu,
        network: &'a dyn Autoregressive,
        (head, exclusions): (CategoricalShape, Option<Arc<Exclusions>>),
        samples: u32,
        complex: bool,
    ) -> Result<Self> {
        let rows = u64::from(samples) * u64::from(head.patches);
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.training.{name}"), elements);
        Ok(Self {
            network,
            head,
            exclusions,
            row_meta: buffer("row_meta", 4 * rows)?,
            log_psi: LogPsiBuffers::new(gpu, rows, complex)?,
            lse: buffer("lse", rows)?,
        })
    }
}

impl GradientPass for ForcedPass<'_> {
    fn forward(&self, plan: &mut Plan, window: &Window, tokens: &View, sample_of: &View) -> Result<Outcomes> {
        let rows = window.items.times(self.head.patches);
        let describe = RowsSamples {
            tokens: tokens.clone(),
            sample_of: sample_of.clone(),
            rows: self.row_meta.view(),
            counts: self.head.excitations.is_some(),
        };
        describe.record(plan, window)?;
        let outcomes = self.network.forward(plan, &self.row_meta, &rows)?;
        if let Some(exclusions) = &self.exclusions {
            let (tokens, logits) = (tokens.clone(), outcomes.logits.clone());
            let sample_of = Some(sample_of.clone());
            let views = ConfigurationViews { tokens, sample_of, table: None, moves: None, logits };
            exclusions.record(plan, views, &ExcludedRows::Samples(window.clone()))?;
        }
        let head = CategoricalForward {
            rows: self.row_meta.view(),
            logits: outcomes.logits.clone(),
            log_p: self.log_psi().log_p,
            lse: self.lse.view(),
        };
        head.record(plan, &rows, &self.head)?;
        if let (Some(phases), Some(phase)) = (&outcomes.phases, self.log_psi().phase) {
            let targets = Targets::Rows(self.row_meta.view());
            PhaseForward { targets, phases: phases.clone(), phase }.record(plan, &rows, self.head.outcomes)?;
        }
        Ok(outcomes)
    }

    fn backward(
        &self,
        plan: &mut Plan,
        window: &Window,
        Outcomes { logits, phases }: Outcomes,
        d_log_psi: &LogPsiGradient,
        into: GradientInto<'_>,
    ) -> Result<()> {
        let rows = window.items.times(self.head.patches);
        let LogPsiGradient { d_log_p, d_phase, first } = d_log_psi.clone();
        let head = CategoricalBackward { rows: self.row_meta.view(), lse: self.lse.view(), d_log_p, logits };
        head.record(plan, &rows, &self.head, first)?;
        if let (Some(phases), Some(d_phase)) = (phases, d_phase) {
            PhaseBackward { rows: self.row_meta.view(), d_phase, phases }.record(plan, &rows, &self.head, first)?;
        }
        self.network.backward(plan, &self.row_meta, &rows, into)
    }

    fn log_psi(&self) -> LogPsi {
        self.log_psi.views()
    }
}
