//! Samples drawn patch after patch, and log P as a sum over patches.

use super::estimator::{Estimator, Source};
use super::gradient::{GradientPass, LogPsiBuffers};
use super::sampler::{GroupViews, Sampler};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::energy::{MovesRatio, MovesShape};
use crate::kernels::head::{HeadBackward, HeadForward, HeadSample, HeadSampleShape};
use crate::kernels::linear::GradientInto;
use crate::kernels::rows::{RowsMoves, RowsSamples, Window};
use crate::model::{LogPsi, LogPsiGradient, Network, Outcomes, Packed};
use crate::physics::Patching;

/// A network with the rows of its passes without gradient.
pub(super) struct Autoregressive {
    network: Box<dyn Network>,
    decode_rows: Buffer,
    move_rows: Buffer,
    row_log_p: Buffer,
    row_lse: Buffer,
}

impl Autoregressive {
    pub fn new(gpu: &Gpu, network: Box<dyn Network>, group: u32, move_rows: u32) -> Result<Self> {
        let buffer = |name: &str, elements: u32| gpu.buffer(&format!("ketformer.{name}"), elements.into());
        Ok(Self {
            network,
            decode_rows: buffer("decode.rows", 4 * group)?,
            move_rows: buffer("moves.descriptions", 4 * move_rows)?,
            row_log_p: buffer("moves.log_p", move_rows)?,
            row_lse: buffer("moves.lse", move_rows)?,
        })
    }
}

impl Sampler for Autoregressive {
    fn record_batch(&self, _: &mut Plan, _: &Estimator) -> Result<()> {
        Ok(())
    }

    fn record_group(&self, plan: &mut Plan, estimator: &Estimator, g: u32, source: Source) -> Result<()> {
        let GroupViews { tokens, log_psi: LogPsi { log_p, .. }, .. } = GroupViews::new(estimator, g)?;
        let patches = estimator.patches();
        for position in 0..patches {
            self.network.decode(plan, &self.decode_rows, &tokens, position)?;
            let sample = HeadSample {
                logits: self.network.decoded().logits,
                step: estimator.step.view(),
                tokens: tokens.clone(),
                log_p: log_p.clone(),
                rows: self.decode_rows.view(),
            };
            let shape = HeadSampleShape {
                samples: estimator.sizes.group,
                outcomes: estimator.patching.outcomes() as u32,
                patches,
                patch: position,
                first_sample: g * estimator.sizes.group,
                given: source == Source::Given,
            };
            sample.record(plan, &shape)?;
        }
        Ok(())
    }

    fn record_ratios(&self, plan: &mut Plan, estimator: &Estimator, g: u32, window: &Window) -> Result<()> {
        let tables = &estimator.tables;
        let outcomes = estimator.patching.outcomes() as u32;
        let GroupViews { tokens, sample_of, log_psi } = GroupViews::new(estimator, g)?;
        // A lattice of one patch has no rows to compute anew: its moves are other outcomes of the same logits.
        if tables.rows_per_item() > 0 {
            let rows = RowsMoves {
                tokens: tokens.clone(),
                sample_of: sample_of.clone(),
                table: tables.rows.view(),
                moves: tables.moves.view(),
                rows: self.move_rows.view(),
            };
            rows.record(plan, window, tables.rows_per_item(), tables.moves())?;
            let packed = Packed {
                descriptions: self.move_rows.view(),
                items: window.items.clone(),
                first_item: window.first,
                rows_per_item: tables.rows_per_item(),
                row_table: tables.row_table.view(),
                positions: tables.positions.clone(),
                sample_of: sample_of.clone(),
                tokens: tokens.clone(),
                large: tables.large.clone(),
            };
            let head = HeadForward {
                rows: self.move_rows.view(),
                logits: self.network.moves(plan, &packed)?.logits,
                log_p: self.row_log_p.view(),
                lse: self.row_lse.view(),
            };
            head.record(plan, &window.items.times(tables.rows_per_item()), outcomes)?;
        }
        let ratio = MovesRatio {
            tokens,
            sample_of,
            logits: self.network.decoded().logits,
            log_p: log_psi.log_p,
            row_log_p: self.row_log_p.view(),
            moves: tables.moves.view(),
            starts: tables.starts.view(),
            ratio: estimator.ratio.view(),
        };
        let shape = MovesShape {
            window: window.clone(),
            moves: tables.moves(),
            rows_per_item: tables.rows_per_item(),
            outcomes,
            part: 0,
            parts: estimator.parts,
        };
        ratio.record(plan, &shape)
    }

    fn gradient_pass(&self, estimator: &Estimator) -> Result<Box<dyn GradientPass + '_>> {
        let (gpu, samples) = (&estimator.gpu, estimator.sizes.training);
        Ok(Box::new(ForcedPass::new(gpu, &*self.network, &estimator.patching, samples, estimator.phase.is_some())?))
    }

    fn network(&self) -> Option<&dyn Network> {
        Some(&*self.network)
    }
}

/// The teacher-forced pass over a window of samples with its head.
pub(super) struct ForcedPass<'a> {
    network: &'a dyn Network,
    patches: u32,
    outcomes: u32,
    /// (samples·T) of four u32
    descriptions: Buffer,
    /// (samples, T)
    log_psi: LogPsiBuffers,
    /// (samples·T)
    lse: Buffer,
}

impl<'a> ForcedPass<'a> {
    pub fn new(gpu: &Gpu, network: &'a dyn Network, patching: &Patching, samples: u32, complex: bool) -> Result<Self> {
        let patches = patching.patches() as u32;
        let rows = u64::from(samples) * u64::from(patches);
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.training.{name}"), elements);
        Ok(Self {
            network,
            patches,
            outcomes: patching.outcomes() as u32,
            descriptions: buffer("descriptions", 4 * rows)?,
            log_psi: LogPsiBuffers::new(gpu, rows, complex)?,
            lse: buffer("lse", rows)?,
        })
    }
}

impl GradientPass for ForcedPass<'_> {
    fn forward(&self, plan: &mut Plan, window: &Window, tokens: &View, sample_of: &View) -> Result<Outcomes> {
        let rows = window.items.times(self.patches);
        let describe =
            RowsSamples { tokens: tokens.clone(), sample_of: sample_of.clone(), rows: self.descriptions.view() };
        describe.record(plan, window)?;
        let outcomes = self.network.forward(plan, &self.descriptions, &rows)?;
        let head = HeadForward {
            rows: self.descriptions.view(),
            logits: outcomes.logits.clone(),
            log_p: self.log_psi().log_p,
            lse: self.lse.view(),
        };
        head.record(plan, &rows, self.outcomes)?;
        Ok(outcomes)
    }

    fn backward(
        &self,
        plan: &mut Plan,
        window: &Window,
        Outcomes { logits, .. }: Outcomes,
        d_log_psi: &LogPsiGradient,
        into: GradientInto<'_>,
    ) -> Result<()> {
        let rows = window.items.times(self.patches);
        let LogPsiGradient { d_log_p, first, .. } = d_log_psi.clone();
        let head = HeadBackward { rows: self.descriptions.view(), lse: self.lse.view(), d_log_p, logits };
        head.record(plan, &rows, self.outcomes, self.patches, first)?;
        self.network.backward(plan, &self.descriptions, &rows, into)
    }

    fn log_psi(&self) -> LogPsi {
        self.log_psi.views()
    }
}
