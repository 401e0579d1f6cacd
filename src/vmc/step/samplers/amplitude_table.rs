//! Amplitudes of all configurations of an enumerated sector on the device: exact draws, and amplitude ratios by lookup.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::vmc::enumerated::{
    BLOCKS, EnumeratedCumulative, EnumeratedDraw, EnumeratedRatio, EnumeratedShape, RowsGather,
};
use crate::kernels::vmc::rows::Window;
use crate::model::{LogPsi, Unnormalized};
use crate::physics::Patching;
use crate::vmc::step::buffers::StepBuffers;
use crate::vmc::step::enumeration::Enumeration;

/// Enumerated configurations and the samples that are among them.
pub(crate) struct AmplitudeTable {
    /// R
    configurations: u32,
    /// (R, M) u32
    connected: Buffer,
    /// (B) u32: configuration of each sample
    index: Buffer,
    /// `None` if the samples are all configurations, in their order.
    draws: Option<EnumeratedDraws>,
}

/// Draws of an unnormalized wave function from all of its amplitudes.
struct EnumeratedDraws {
    /// (R, T) u32
    tokens: Buffer,
    /// (R): log |ψ|²
    log_p: Buffer,
    /// (R), if the wave function is complex
    phase: Option<Buffer>,
    /// (R)
    log_members: Buffer,
    /// (R)
    cumulative: Buffer,
    /// ([`BLOCKS`])
    totals: Buffer,
}

impl AmplitudeTable {
    /// Creates the table of `enumeration`, for `samples` samples that are drawn, or with `draws` = false are all
    /// configurations.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn new(
        gpu: &Gpu,
        (enumeration, connected): (&Enumeration, &[u32]),
        patching: &Patching,
        (samples, draws): (u32, bool),
        complex: bool,
    ) -> Result<Self> {
        let configurations = enumeration.members.len() as u32;
        let index: Vec<u32> = (0..samples).map(|sample| if draws { 0 } else { sample }).collect();
        Ok(Self {
            configurations,
            connected: gpu.upload("ketformer.enumerated.connected", connected)?,
            index: gpu.upload("ketformer.enumerated.index", &index)?,
            draws: draws.then(|| EnumeratedDraws::new(gpu, enumeration, patching, complex)).transpose()?,
        })
    }

    /// Whether samples are drawn.
    pub(crate) fn has_draws(&self) -> bool {
        self.draws.is_some()
    }

    /// Records the amplitudes of all configurations and a batch of draws, with tokens and log ψ.
    pub(crate) fn record_draws(
        &self,
        plan: &mut Plan,
        network: &dyn Unnormalized,
        buffers: &StepBuffers,
    ) -> Result<()> {
        let Some(draws) = &self.draws else { return Ok(()) };
        let (all, samples, patches) = (self.configurations, buffers.samples, buffers.patches());
        for first in (0..all).step_by(buffers.sizes.group as usize) {
            let count = buffers.sizes.group.min(all - first);
            let range = |buffer: &Buffer, width: u32| {
                buffer.range(buffer.label(), u64::from(first) * u64::from(width), u64::from(count) * u64::from(width))
            };
            let log_psi = LogPsi {
                log_p: range(&draws.log_p, 1)?,
                phase: draws.phase.as_ref().map(|phase| range(phase, 1)).transpose()?,
            };
            network.amplitudes(plan, &range(&draws.tokens, patches)?, count, &log_psi)?;
        }
        let (step, cumulative, totals) = (buffers.step.view(), draws.cumulative.view(), draws.totals.view());
        let sums = EnumeratedCumulative {
            log_p: draws.log_p.view(),
            log_members: draws.log_members.view(),
            step: step.clone(),
            cumulative: cumulative.clone(),
            totals: totals.clone(),
        };
        sums.record(plan, all)?;
        let index = self.index.view();
        EnumeratedDraw { cumulative, totals, step, index: index.clone() }.record(plan, samples, all)?;
        let phases = draws.phase.as_ref().zip(buffers.phase.as_ref()).map(|(x, y)| (x, y, 1));
        let rows = [(&draws.tokens, &buffers.tokens, patches), (&draws.log_p, &buffers.log_p, 1)];
        rows.into_iter().chain(phases).try_for_each(|(x, y, width)| {
            RowsGather { x: x.view(), index: index.clone(), y: y.view() }.record(plan, samples, width, all)
        })
    }

    /// Records log ψ'/ψ of the connected configurations, for a window of deduplicated samples of group `g`.
    pub(crate) fn record_ratios(&self, plan: &mut Plan, buffers: &StepBuffers, g: u32, window: &Window) -> Result<()> {
        let (log_p, phase) = match &self.draws {
            Some(draws) => (&draws.log_p, &draws.phase),
            None => (&buffers.log_p, &buffers.phase),
        };
        let values: [Option<&Buffer>; 2] = [Some(log_p), phase.as_ref()];
        for (part, values) in (0..).zip(values.into_iter().flatten()) {
            let ratio = EnumeratedRatio {
                sample_of: buffers.groups.of_part(&buffers.groups.sample_of, g, 1)?,
                index: self.index_of(buffers, g)?,
                connected: self.connected.view(),
                log_p: values.view(),
                ratio: buffers.ratio.view(),
            };
            let shape = EnumeratedShape {
                window: window.clone(),
                configurations: self.configurations,
                moves: buffers.tables.connected(),
                columns: buffers.columns,
                part,
                parts: buffers.parts,
            };
            ratio.record(plan, &shape)?;
        }
        Ok(())
    }

    fn index_of(&self, buffers: &StepBuffers, g: u32) -> Result<View> {
        buffers.groups.of_part(&self.index, g, 1)
    }
}

impl EnumeratedDraws {
    fn new(gpu: &Gpu, enumeration: &Enumeration, patching: &Patching, complex: bool) -> Result<Self> {
        let all = enumeration.members.len() as u64;
        let buffer = |name: &str, elements: u64| gpu.buffer(&format!("ketformer.enumerated.{name}"), elements);
        let tokens: Vec<u32> = enumeration.configurations.iter().flat_map(|c| patching.tokens(c)).collect();
        let log_members: Vec<f32> = enumeration.members.iter().map(|members| (*members as f32).ln()).collect();
        Ok(Self {
            tokens: gpu.upload("ketformer.enumerated.tokens", &tokens)?,
            log_p: buffer("log_p", all)?,
            phase: complex.then(|| buffer("phase", all)).transpose()?,
            log_members: gpu.upload("ketformer.enumerated.log_members", &log_members)?,
            cumulative: buffer("cumulative", all)?,
            totals: buffer("totals", BLOCKS.into())?,
        })
    }
}
