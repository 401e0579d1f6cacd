//! The passes of a wave function without a gradient as plans of their own, for measurements.

use std::sync::Arc;

use super::estimator::{Estimator, EstimatorConfig, Source};
use super::sector::head_shape;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows};
use crate::kernels::energy::COLUMNS;
use crate::kernels::head::{HeadForward, HeadShape};
use crate::kernels::nested::LargeTables;
use crate::kernels::rows::rows_reference;
use crate::model::{LargeRows, Model, Network, Packed, Parameters, Precision, Weights};
use crate::physics::{Hamiltonian, Lattice};

/// What can be recorded of a wave function on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Drawing samples: patch after patch, each from what earlier patches left (keys and values, or a state), or by Markov
    /// chains that go on from where they stand.
    Sampling,
    /// Patch after patch without anything left: every patch computes all patches before it anew. The draw itself is left out.
    /// Of autoregressive wave functions only.
    SamplingAnew,
    /// log P of given samples, all patches at once; log ψ² where the wave function is not normalised.
    LogProbabilities,
    /// Local energies of the samples drawn, from what drawing left: all connected configurations.
    LocalEnergies,
}

/// A wave function on a lattice with samples drawn from it, and its passes over them.
pub struct Passes {
    estimator: Estimator,
    head: HeadShape,
    parameters: u64,
    /// (B·T) u32, as drawn
    tokens: Vec<u32>,
    prefixes: Prefixes,
}

/// What passes over prefixes of samples read and make.
struct Prefixes {
    /// (T) of two u32: nothing before the row's own sequence, position.
    row_table: Buffer,
    /// (B) u32, as long as a group
    sample_of: Buffer,
    /// (B·T)
    log_p: Buffer,
    /// (B·T)
    lse: Buffer,
}

/// A pass as a plan over some of the samples. It can be run again and again; all but Markov chains give the same each time.
pub struct RecordedPass<'a> {
    passes: &'a Passes,
    pass: Pass,
    samples: u32,
    plan: Plan,
}

impl Passes {
    /// Draws `samples` samples.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] where they do not go through the GPU together; as [`super::Trainer::new`].
    pub fn new(
        gpu: &Gpu,
        lattice: &Lattice,
        hamiltonian: &dyn Hamiltonian,
        model: &dyn Model,
        weights: &Weights,
        samples: u32,
        seed: u64,
    ) -> Result<Self> {
        model.check(lattice)?;
        let terms = hamiltonian.terms(lattice)?;
        let parameters = Parameters::new(gpu, model.layout(lattice)?, Precision::Single)?;
        parameters.write(gpu, weights)?;
        let config = EstimatorConfig {
            samples,
            training: false,
            unique: false,
            memory: gpu.default_memory(),
            fixed: 2 * parameters.layout().elements(),
            power: 2.0,
            chunk: [0, 1],
        };
        let estimator = Estimator::new(gpu, lattice, &terms, model, &parameters, config)?;
        let t = estimator.patches();
        let rows = samples * t;
        let room = estimator.sizes.items * estimator.tables.rows_per_item();
        if estimator.groups.parts() > 1 || estimator.sampler.network().is_some() && room < rows {
            let message = format!("{samples} samples of {t} patches do not go through the passes together; use fewer");
            return Err(Error::new(ErrorKind::Memory, message));
        }
        estimator.restart(seed, 0, false)?;
        estimator.write_step(seed, 0)?;
        let mut sampling = Plan::new(gpu);
        estimator.record_draws(&mut sampling, Source::Drawn)?;
        sampling.run()?;
        let tokens: Vec<u32> = estimator.tokens.read(gpu, rows as usize)?;

        let row_table: Vec<u32> = (0..t).flat_map(|position| [0, position]).collect();
        let prefixes = Prefixes {
            row_table: gpu.upload("ketformer.prefixes.row_table", &row_table)?,
            sample_of: gpu.upload("ketformer.prefixes.sample_of", &(0..estimator.sizes.group).collect::<Vec<u32>>())?,
            log_p: gpu.buffer("ketformer.prefixes.log_p", rows.into())?,
            lse: gpu.buffer("ketformer.prefixes.lse", rows.into())?,
        };
        let head = head_shape(model, &estimator.patching);
        Ok(Self { estimator, head, parameters: parameters.layout().parameters(), tokens, prefixes })
    }

    /// Trained numbers of the wave function.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// A pass over the first `samples` samples, or over all where there are fewer. Sampling is always of all, and so is
    /// log ψ² of a wave function that is not normalised.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for [`Pass::SamplingAnew`] of a wave function that is not autoregressive; as
    /// [`Plan::launch`].
    pub fn record(&self, pass: Pass, samples: u32) -> Result<RecordedPass<'_>> {
        let estimator = &self.estimator;
        let network = estimator.sampler.network();
        let samples = match (pass, network) {
            (Pass::Sampling, _) | (Pass::LogProbabilities, None) => estimator.samples,
            _ => samples.min(estimator.samples),
        };
        let mut plan = Plan::new(&estimator.gpu);
        match (pass, network) {
            (Pass::Sampling, _) => estimator.record_draws(&mut plan, Source::Drawn)?,
            (Pass::LocalEnergies, _) => estimator.record_local_energies(&mut plan, samples)?,
            (Pass::LogProbabilities, None) => estimator.record_draws(&mut plan, Source::Given)?,
            (Pass::LogProbabilities, Some(network)) => {
                self.record_prefixes(&mut plan, network, estimator.patches(), samples)?;
            }
            (Pass::SamplingAnew, Some(network)) => {
                let mut patches = 1..=estimator.patches();
                patches.try_for_each(|patches| self.record_prefixes(&mut plan, network, patches, samples))?;
            }
            (Pass::SamplingAnew, None) => {
                let message = "passes: Markov chains keep nothing that they could do without; measure their sampling";
                return Err(Error::new(ErrorKind::Settings, message));
            }
        }
        Ok(RecordedPass { passes: self, pass, samples, plan })
    }

    /// log P of the first `patches` patches of the first `samples` samples, with nothing left from before.
    fn record_prefixes(&self, plan: &mut Plan, network: &dyn Network, patches: u32, samples: u32) -> Result<()> {
        let Self { estimator, head, prefixes, tokens, .. } = self;
        let of_prefix = |sample: &[u32]| rows_reference(&sample[..patches as usize], 0, head.excitations.is_some());
        let of_samples = tokens.chunks(estimator.patches() as usize).take(samples as usize);
        let descriptions: Vec<u32> = of_samples.flat_map(of_prefix).collect();
        let descriptions = estimator.gpu.upload("ketformer.prefixes.rows", &descriptions)?;
        let tables = estimator.patching.sub_patches().map(|sub| LargeTables::whole(patches, sub as u32));
        let packed = Packed {
            descriptions: descriptions.view(),
            items: Rows::from(samples),
            first_item: 0,
            rows_per_item: patches,
            row_table: prefixes.row_table.view(),
            positions: (0..patches).map(|position| [0, position]).collect(),
            sample_of: prefixes.sample_of.view(),
            tokens: estimator.tokens.view(),
            large: tables.map(|tables| LargeRows::new(&estimator.gpu, &tables).map(Arc::new)).transpose()?,
        };
        let probabilities = HeadForward {
            rows: descriptions.view(),
            logits: network.moves(plan, &packed)?.logits,
            log_p: prefixes.log_p.view(),
            lse: prefixes.lse.view(),
        };
        probabilities.record(plan, &Rows::from(samples * patches), head)
    }
}

impl RecordedPass<'_> {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Samples that it is over.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// Runs the pass and compares: the largest difference between its log P of a patch and that of the samples as drawn,
    /// or between log ψ² and what it was before; of local energies and of drawn log P, infinity where one is not finite,
    /// else 0.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device was lost.
    pub fn error(&self) -> Result<f64> {
        let Passes { estimator, prefixes, .. } = self.passes;
        let (gpu, samples) = (&estimator.gpu, self.samples as usize);
        let numbers = samples * estimator.columns as usize;
        let drawn: Vec<f32> = estimator.log_p.read(gpu, numbers)?;
        self.plan.run()?;
        let finite = |values: &[f32]| if values.iter().all(|value| value.is_finite()) { 0.0 } else { f64::INFINITY };
        let again: Vec<f32> = match (self.pass, estimator.sampler.network()) {
            (Pass::LocalEnergies, _) => return Ok(finite(&estimator.values.read(gpu, samples * COLUMNS as usize)?)),
            (Pass::Sampling, _) => return Ok(finite(&estimator.log_p.read(gpu, numbers)?)),
            (_, Some(_)) => prefixes.log_p.read(gpu, numbers)?,
            (_, None) => estimator.log_p.read(gpu, numbers)?,
        };
        let apart = drawn.iter().zip(again).map(|(a, b)| f64::from((a - b).abs()));
        Ok(apart.fold(0.0, |worst, apart| if apart.is_nan() { f64::INFINITY } else { worst.max(apart) }))
    }
}
