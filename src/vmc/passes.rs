//! The passes of a wave function without a gradient as plans of their own, for measurements.

use super::estimator::{Estimator, EstimatorConfig, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows};
use crate::kernels::energy::COLUMNS;
use crate::kernels::head::HeadForward;
use crate::kernels::rows::rows_reference;
use crate::model::{Model, Packed, Parameters, Precision, Weights};
use crate::physics::{Hamiltonian, Lattice};

/// What can be recorded of a wave function on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Drawing samples patch after patch, each from what earlier patches left (keys and values, or a state).
    Sampling,
    /// The same without anything left: every patch computes all patches before it anew. The draw itself is left out.
    SamplingAnew,
    /// log P of given samples, all patches at once.
    LogProbabilities,
    /// Local energies of the samples drawn, from what drawing left: all connected configurations.
    LocalEnergies,
}

/// A wave function on a lattice with samples drawn from it, and its passes over them.
pub struct Passes {
    estimator: Estimator,
    sampling: Plan,
    sampling_anew: Plan,
    log_probabilities: Plan,
    local_energies: Plan,
    /// (B·T), of the teacher-forced pass
    log_p: Buffer,
}

/// Rows of passes over prefixes of samples.
struct Prefixes {
    /// (T) of two u32: nothing before the row's own sequence, position.
    row_table: Buffer,
    /// (B) u32
    sample_of: Buffer,
    lse: Buffer,
}

impl Passes {
    /// Draws `samples` samples and builds the passes over them.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] where they do not go through the GPU together, [`ErrorKind::Settings`] for a wave function that
    /// is not autoregressive; as [`super::Trainer::new`].
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
        if model.chains().is_some() {
            let message = format!(
                "{}: Markov chains have no passes over prefixes to measure; give an autoregressive wave function",
                model.name()
            );
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let terms = hamiltonian.terms(lattice)?;
        let parameters = Parameters::new(gpu, model.layout(lattice)?, Precision::Single)?;
        parameters.write(gpu, weights)?;
        let config = EstimatorConfig {
            samples,
            training: false,
            unique: false,
            memory: gpu.default_memory(),
            fixed: 2 * parameters.layout().elements(),
        };
        let estimator = Estimator::new(gpu, lattice, &terms, model, &parameters, config)?;
        let t = estimator.patches();
        let rows = samples * t;
        if estimator.groups.parts() > 1 || estimator.sizes.items * estimator.tables.rows_per_item() < rows {
            let message = format!("{samples} samples of {t} patches do not go through the passes together; use fewer");
            return Err(Error::new(ErrorKind::Memory, message));
        }
        let mut sampling = Plan::new(gpu);
        estimator.record_draws(&mut sampling, Source::Drawn)?;
        estimator.write_step(seed, 0)?;
        sampling.run()?;
        let tokens: Vec<u32> = estimator.tokens.read(gpu, rows as usize)?;

        let row_table: Vec<u32> = (0..t).flat_map(|position| [0, position]).collect();
        let prefixes = Prefixes {
            row_table: gpu.upload("ketformer.prefixes.row_table", &row_table)?,
            sample_of: gpu.upload("ketformer.prefixes.sample_of", &(0..samples).collect::<Vec<u32>>())?,
            lse: gpu.buffer("ketformer.prefixes.lse", rows.into())?,
        };
        let log_p = gpu.buffer("ketformer.prefixes.log_p", rows.into())?;
        let (mut sampling_anew, mut log_probabilities) = (Plan::new(gpu), Plan::new(gpu));
        for patches in 1..=t {
            let of_prefix = |sample: &[u32]| rows_reference(&sample[..patches as usize], 0);
            let descriptions: Vec<u32> = tokens.chunks(t as usize).flat_map(of_prefix).collect();
            let descriptions = gpu.upload("ketformer.prefixes.rows", &descriptions)?;
            estimator.record_prefixes(&mut sampling_anew, &descriptions, &prefixes, patches, &log_p)?;
            if patches == t {
                estimator.record_prefixes(&mut log_probabilities, &descriptions, &prefixes, patches, &log_p)?;
            }
        }
        let mut local_energies = Plan::new(gpu);
        estimator.record_local_energies(&mut local_energies)?;
        Ok(Self { estimator, sampling, sampling_anew, log_probabilities, local_energies, log_p })
    }

    /// The plan of a pass. It can be run again and again, and gives the same each time.
    pub fn plan(&self, pass: Pass) -> &Plan {
        match pass {
            Pass::Sampling => &self.sampling,
            Pass::SamplingAnew => &self.sampling_anew,
            Pass::LogProbabilities => &self.log_probabilities,
            Pass::LocalEnergies => &self.local_energies,
        }
    }

    /// Runs a pass and compares: the largest difference between its log P of a patch and that of the samples as drawn; of
    /// local energies, infinity where one is not finite, else 0.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] when the device was lost.
    pub fn error(&self, pass: Pass) -> Result<f64> {
        let Self { estimator, log_p, .. } = self;
        let (gpu, samples) = (&estimator.gpu, estimator.samples as usize);
        let rows = samples * estimator.patches() as usize;
        self.plan(pass).run()?;
        if pass == Pass::LocalEnergies {
            let values: Vec<f32> = estimator.values.read(gpu, samples * COLUMNS as usize)?;
            return Ok(if values.iter().all(|value| value.is_finite()) { 0.0 } else { f64::INFINITY });
        }
        let drawn: Vec<f32> = estimator.log_p.read(gpu, rows)?;
        let forced: Vec<f32> = match pass {
            // Drawn patches have a probability, whatever else there is to compare.
            Pass::Sampling => drawn.iter().map(|log_p| if log_p.is_finite() { *log_p } else { f32::NAN }).collect(),
            _ => log_p.read(gpu, rows)?,
        };
        let apart = drawn.iter().zip(forced).map(|(a, b)| f64::from((a - b).abs()));
        Ok(apart.fold(0.0, |worst, apart| if apart.is_nan() { f64::INFINITY } else { worst.max(apart) }))
    }
}

impl Estimator {
    /// log P of the first `patches` patches of all samples, with nothing left from before.
    fn record_prefixes(
        &self,
        plan: &mut Plan,
        descriptions: &Buffer,
        prefixes: &Prefixes,
        patches: u32,
        log_p: &Buffer,
    ) -> Result<()> {
        let packed = Packed {
            descriptions: descriptions.view(),
            items: Rows::from(self.samples),
            first_item: 0,
            rows_per_item: patches,
            row_table: prefixes.row_table.view(),
            sample_of: prefixes.sample_of.view(),
        };
        let missing = || Error::new(ErrorKind::Shape, "passes over prefixes need an autoregressive wave function");
        let network = self.sampler.network().ok_or_else(missing)?;
        let head = HeadForward {
            rows: descriptions.view(),
            logits: network.moves(plan, &packed)?,
            log_p: log_p.view(),
            lse: prefixes.lse.view(),
        };
        head.record(plan, &Rows::from(self.samples * patches), self.patching.outcomes() as u32)
    }
}
