//! Passes of a wave function without gradient as separate plans, for measurements.
//!
//! Sampling without a cache is the pass over connected configurations with an empty prefix, so models need no code for
//! it. The draw itself is not part of it.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Plan, Rows};
use crate::kernels::nn::categorical::{CategoricalForward, CategoricalShape};
use crate::kernels::nn::large_patch::LargeTables;
use crate::kernels::vmc::energy::COLUMNS;
use crate::kernels::vmc::rows::rows_reference;
use crate::model::{Autoregressive, LargeRows, SuffixBatch};
use crate::physics::Hamiltonian;
use crate::vmc::state::State;
use crate::vmc::step::buffers::{SampleSource, StepInputs};
use crate::vmc::step::local_energy::LocalEnergyPipeline;
use crate::vmc::step::sector::head_shape;

/// Kind of a [`RecordedPass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Drawing samples: patch by patch from the cache of earlier patches (keys and values, or a state), or by Markov
    /// chains that continue from their present configurations.
    Sampling,
    /// Sampling without a cache: every patch recomputes all patches before it. The draw itself is left out. For
    /// autoregressive wave functions only.
    SamplingUncached,
    /// log P of fixed samples, all patches at once; log |ψ|² if the wave function is unnormalized.
    LogProbabilities,
    /// Local energies of the drawn samples, from all connected configurations and the cache of sampling.
    LocalEnergies,
}

/// Wave function on a lattice with samples drawn from it, and its passes over them.
pub(crate) struct Passes {
    pipeline: LocalEnergyPipeline,
    head: CategoricalShape,
    parameters: u64,
    /// (B·T) u32, as drawn
    tokens: Vec<u32>,
    prefixes: Prefixes,
}

/// Buffers of passes over prefixes of samples.
struct Prefixes {
    /// (T) of two u32: 0 (no shared prefix), position.
    row_table: Buffer,
    /// (group) u32: 0, 1, …
    sample_of: Buffer,
    /// (B·T)
    log_p: Buffer,
    /// (B·T)
    lse: Buffer,
}

/// Plan of a pass over some of the samples. It can be run repeatedly, with the same results except for Markov chains.
pub(crate) struct RecordedPass<'a> {
    passes: &'a Passes,
    pass: Pass,
    samples: u32,
    plan: Plan,
}

impl Passes {
    /// Draws `samples` samples.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if the samples do not fit into one group and pass; as [`crate::vmc::Trainer::new`].
    pub(crate) fn new(state: &State<'_>, hamiltonian: &dyn Hamiltonian, samples: u32, seed: u64) -> Result<Self> {
        let State { gpu, lattice, model, .. } = *state;
        let pipeline = state.pipeline(hamiltonian, samples as usize, false)?;
        let t = pipeline.patches();
        let rows = samples * t;
        let room = pipeline.sizes.items * pipeline.tables.rows_per_item();
        if pipeline.groups.parts() > 1 || pipeline.sampler.network().is_some() && room < rows {
            let message = format!("{samples} samples of {t} patches do not fit into one pass; use fewer samples");
            return Err(Error::new(ErrorKind::Memory, message));
        }
        gpu.block_on(pipeline.restart(seed, 0, false))?;
        pipeline.write_step(StepInputs::of_samples(seed, 0))?;
        let mut sampling = Plan::new(gpu);
        pipeline.record_draws(&mut sampling, SampleSource::Drawn)?;
        sampling.run()?;
        let tokens: Vec<u32> = pipeline.tokens.read(gpu, rows as usize)?;

        let row_table: Vec<u32> = (0..t).flat_map(|position| [0, position]).collect();
        let prefixes = Prefixes {
            row_table: gpu.upload("ketformer.prefixes.row_table", &row_table)?,
            sample_of: gpu.upload("ketformer.prefixes.sample_of", &(0..pipeline.sizes.group).collect::<Vec<u32>>())?,
            log_p: gpu.buffer("ketformer.prefixes.log_p", rows.into())?,
            lse: gpu.buffer("ketformer.prefixes.lse", rows.into())?,
        };
        let head = head_shape(model, &pipeline.patching);
        Ok(Self { pipeline, head, parameters: model.layout(lattice)?.parameters(), tokens, prefixes })
    }

    /// Number of parameters of the wave function.
    pub(crate) fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Records a pass over the first `samples` samples, or over all if there are fewer. Sampling, and log |ψ|² of an
    /// unnormalized wave function, are always over all samples.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for [`Pass::SamplingUncached`] of a wave function that is not autoregressive; as
    /// [`Plan::launch`].
    pub(crate) fn record(&self, pass: Pass, samples: u32) -> Result<RecordedPass<'_>> {
        let pipeline = &self.pipeline;
        let network = pipeline.sampler.network();
        let samples = match (pass, network) {
            (Pass::Sampling, _) | (Pass::LogProbabilities, None) => pipeline.samples,
            _ => samples.min(pipeline.samples),
        };
        let mut plan = Plan::new(&pipeline.gpu);
        match (pass, network) {
            (Pass::Sampling, _) => pipeline.record_draws(&mut plan, SampleSource::Drawn)?,
            (Pass::LocalEnergies, _) => pipeline.record_local_energies(&mut plan, samples)?,
            (Pass::LogProbabilities, None) => pipeline.record_draws(&mut plan, SampleSource::Fixed)?,
            (Pass::LogProbabilities, Some(network)) => {
                self.record_prefixes(&mut plan, network, pipeline.patches(), samples)?;
            }
            (Pass::SamplingUncached, Some(network)) => {
                let mut patches = 1..=pipeline.patches();
                patches.try_for_each(|patches| self.record_prefixes(&mut plan, network, patches, samples))?;
            }
            (Pass::SamplingUncached, None) => {
                let message = "passes: SamplingUncached needs an autoregressive wave function; use Sampling";
                return Err(Error::new(ErrorKind::Settings, message));
            }
        }
        Ok(RecordedPass { passes: self, pass, samples, plan })
    }

    /// Records log P of the first `patches` patches of the first `samples` samples without a cache.
    fn record_prefixes(&self, plan: &mut Plan, network: &dyn Autoregressive, patches: u32, samples: u32) -> Result<()> {
        let Self { pipeline, head, prefixes, tokens, .. } = self;
        let of_prefix = |sample: &[u32]| rows_reference(&sample[..patches as usize], 0, head.excitations.is_some());
        let of_samples = tokens.chunks(pipeline.patches() as usize).take(samples as usize);
        let row_meta: Vec<u32> = of_samples.flat_map(of_prefix).collect();
        let row_meta = pipeline.gpu.upload("ketformer.prefixes.rows", &row_meta)?;
        let tables = pipeline.patching.sub_patches().map(|sub| LargeTables::whole(patches, sub as u32));
        let packed = SuffixBatch {
            row_meta: row_meta.view(),
            items: Rows::from(samples),
            first_item: 0,
            rows_per_item: patches,
            row_table: prefixes.row_table.view(),
            positions: (0..patches).map(|position| [0, position]).collect(),
            sample_of: prefixes.sample_of.view(),
            tokens: pipeline.tokens.view(),
            large: tables.map(|tables| LargeRows::new(&pipeline.gpu, &tables).map(Arc::new)).transpose()?,
        };
        let probabilities = CategoricalForward {
            rows: row_meta.view(),
            logits: network.connected(plan, &packed)?.logits,
            log_p: prefixes.log_p.view(),
            lse: prefixes.lse.view(),
        };
        probabilities.record(plan, &Rows::from(samples * patches), head)
    }
}

impl RecordedPass<'_> {
    /// Returns the plan.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Number of samples.
    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }

    /// Runs the pass and returns its error.
    ///
    /// For log P of fixed samples and for [`Pass::SamplingUncached`], this is the largest difference from the log P of a
    /// patch at sampling, or from log |ψ|² before the run. For [`Pass::Sampling`] and [`Pass::LocalEnergies`] it is
    /// infinity if a result is not finite, otherwise 0.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if the device was lost.
    pub(crate) fn error(&self) -> Result<f64> {
        let Passes { pipeline, prefixes, .. } = self.passes;
        let (gpu, samples) = (&pipeline.gpu, self.samples as usize);
        let numbers = samples * pipeline.columns as usize;
        let drawn: Vec<f32> = pipeline.log_p.read(gpu, numbers)?;
        self.plan.run()?;
        let finite = |values: &[f32]| if values.iter().all(|value| value.is_finite()) { 0.0 } else { f64::INFINITY };
        let again: Vec<f32> = match (self.pass, pipeline.sampler.network()) {
            (Pass::LocalEnergies, _) => return Ok(finite(&pipeline.values.read(gpu, samples * COLUMNS as usize)?)),
            (Pass::Sampling, _) => return Ok(finite(&pipeline.log_p.read(gpu, numbers)?)),
            (_, Some(_)) => prefixes.log_p.read(gpu, numbers)?,
            (_, None) => pipeline.log_p.read(gpu, numbers)?,
        };
        let apart = drawn.iter().zip(again).map(|(a, b)| f64::from((a - b).abs()));
        Ok(apart.fold(0.0, |worst, apart| if apart.is_nan() { f64::INFINITY } else { worst.max(apart) }))
    }
}
