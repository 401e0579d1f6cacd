//! Estimates from fresh samples of fixed weights.

use super::estimator::{Estimator, EstimatorConfig, Source};
use super::observables::{Accumulator, ObservableEstimates};
use super::statistics::{ChainReport, Division, place, v_score};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Plan};
use crate::kernels::energy::{COLUMNS, IMAGINARY};
use crate::model::{Model, Parameters, Precision, Weights};
use crate::physics::{Hamiltonian, Lattice};

/// How to estimate.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateConfig {
    /// Samples; at least 2.
    pub samples: usize,
    /// Seed of the samples.
    pub seed: u64,
    /// Bytes of GPU memory at most; `None`: [`Gpu::default_memory`].
    pub memory: Option<u64>,
    /// What drawing and moves store: whether this is the wave function of the weights or of their f16.
    pub precision: Precision,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { samples: 10_000, seed: 1, memory: None, precision: Precision::Single }
    }
}

impl EvaluateConfig {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], with what to change.
    pub(super) fn check(&self) -> Result<()> {
        if self.samples < 2 {
            let message = format!("{} samples give no error bar; give samples=2 or more", self.samples);
            return Err(Error::new(ErrorKind::Settings, message));
        }
        Ok(())
    }
}

/// The error of local energies that are not finite.
pub(super) fn diverged() -> Error {
    let message = "a local energy is not finite; the weights are from a diverged run, use earlier ones";
    Error::new(ErrorKind::NotFinite, message)
}

/// Estimates over samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Samples drawn.
    pub samples: usize,
    /// Energy of the whole lattice.
    pub energy: f64,
    /// Standard error of the energy, √(s² / samples) with s² the variance of Re E; of Markov chains √(s² · 2τ / samples).
    pub energy_error: f64,
    /// Unbiased variance of the local energy, ⟨|E − Ē|²⟩.
    pub variance: f64,
    /// V-score, N · variance / (energy − E_∞)², with the energy at infinite temperature E_∞ = tr H / 2^N: 0 for an
    /// eigenstate, and to compare across Hamiltonians and sizes (Wu et al., Science 386, 296 (2024), arXiv:2302.04919).
    pub v_score: f64,
    /// Magnetisations, densities and correlations.
    pub observables: ObservableEstimates,
    /// How good the Markov chains are that the samples come from; `None` where samples are independent.
    pub chains: Option<ChainReport>,
}

/// Samples that go through the GPU together.
const CHUNK: usize = 1024;

/// Samples that go through the GPU together of `samples`: whole records of all chains, where there are chains.
pub(super) fn chunk_of(model: &dyn Model, samples: usize) -> usize {
    let most = samples.min(CHUNK);
    match model.chains().and_then(|metropolis| metropolis.chains) {
        Some(chains) if chains < most => most / chains * chains,
        _ => most,
    }
}

/// Draws samples in chunks and estimates energy and observables; sums in f64. Markov chains go on from chunk to chunk.
///
/// # Errors
/// As [`super::Trainer::new`]; [`ErrorKind::NotFinite`] when a local energy is not finite.
pub fn evaluate(
    gpu: &Gpu,
    lattice: &Lattice,
    hamiltonian: &dyn Hamiltonian,
    model: &dyn Model,
    weights: &Weights,
    config: EvaluateConfig,
) -> Result<Estimate> {
    config.check()?;
    let chunk = chunk_of(model, config.samples);
    let estimator =
        estimator(gpu, lattice, hamiltonian, model, weights, &EvaluateConfig { samples: chunk, ..config.clone() })?;
    let mut plan = Plan::new(gpu);
    estimator.record(&mut plan, Source::Drawn)?;
    // Re E, σˣ and Im E of every sample, and its configuration.
    let mut rows: Vec<[f64; 3]> = Vec::with_capacity(config.samples);
    let mut configurations: Vec<u8> = Vec::with_capacity(config.samples * lattice.sites());
    let patches = estimator.patches() as usize;
    let mut accepted: Vec<u64> = Vec::new();
    let mut proposals = 0;
    estimator.restart(config.seed, 0, true)?;
    for step in 0.. {
        let left = config.samples - rows.len();
        if left == 0 {
            break;
        }
        estimator.write_step(config.seed, step)?;
        plan.run()?;
        if let Some(chains) = estimator.sampler.chains() {
            accepted.resize(chains.count as usize, 0);
            accepted.iter_mut().zip(chains.accepted(gpu)?).for_each(|(all, these)| *all += u64::from(these));
            proposals += chains.proposals();
        }
        let values = sample_values(&estimator)?;
        rows.extend(values.iter().take(left).map(|v| [v[0], v[7], v[IMAGINARY]].map(f64::from)));
        let tokens: Vec<u32> = estimator.tokens.read(gpu, left.min(chunk) * patches)?;
        configurations.extend(tokens.chunks(patches).flat_map(|row| estimator.patching.config(row)));
    }
    if rows.iter().any(|row| !(row[0].is_finite() && row[2].is_finite())) {
        return Err(diverged());
    }
    let count = rows.len() as f64;
    let mean = |k: usize| rows.iter().map(|row| row[k]).sum::<f64>() / count;
    let energy = mean(0);
    let variance_of = |k: usize| {
        let mean = mean(k);
        rows.iter().map(|row| (row[k] - mean).powi(2)).sum::<f64>() / (count - 1.0)
    };
    let real_variance = variance_of(0);
    let chains = (!accepted.is_empty()).then(|| {
        let energies: Vec<f64> = rows.iter().map(|row| row[0]).collect();
        ChainReport::new(&energies, chunk, &accepted, proposals)
    });
    let independent = chains.as_ref().map_or(count, |chains| chains.effective_samples);
    let division = Division::new(rows.len(), chains.as_ref().map(|report| (report.chains, report.autocorrelation)));
    let mut accumulator = Accumulator::new(lattice, division);
    let of_chains = chains.as_ref().map_or(1, |report| report.chains);
    for (at, (row, configuration)) in rows.iter().zip(configurations.chunks(lattice.sites())).enumerate() {
        accumulator.add(place(at, chunk, of_chains), configuration, row[1]);
    }
    let variance = real_variance + variance_of(2);
    Ok(Estimate {
        samples: rows.len(),
        energy,
        energy_error: (real_variance / independent).sqrt(),
        variance,
        v_score: v_score(&hamiltonian.terms(lattice)?, energy, variance),
        observables: accumulator.estimates(estimator.tables.host.flips_every_site),
        chains,
    })
}

/// An estimator of `config.samples` samples at a time for fixed weights.
pub(super) fn estimator(
    gpu: &Gpu,
    lattice: &Lattice,
    hamiltonian: &dyn Hamiltonian,
    model: &dyn Model,
    weights: &Weights,
    config: &EvaluateConfig,
) -> Result<Estimator> {
    model.check(lattice)?;
    let terms = hamiltonian.terms(lattice)?;
    let parameters = Parameters::new(gpu, model.layout(lattice)?, config.precision)?;
    parameters.write(gpu, weights)?;
    let config = EstimatorConfig {
        samples: config.samples as u32,
        training: false,
        unique: true,
        memory: config.memory.unwrap_or(gpu.default_memory()),
        fixed: 2 * parameters.layout().elements(),
        power: 2.0,
        chunk: [0, 1],
    };
    Estimator::new(gpu, lattice, &terms, model, &parameters, config)
}

/// The values of every sample, repeats included: `COLUMNS` numbers each.
pub(super) fn sample_values(estimator: &Estimator) -> Result<Vec<Vec<f32>>> {
    let group = estimator.sizes.group as usize;
    let padded = estimator.sizes.groups(estimator.samples) as usize * group;
    let columns = COLUMNS as usize;
    let values: Vec<f32> = estimator.values.read(&estimator.gpu, padded * columns)?;
    let unique_of: Vec<u32> = estimator.groups.unique_of.read(&estimator.gpu, estimator.samples as usize)?;
    let row = |(b, u): (usize, &u32)| {
        let at = (b - b % group + *u as usize) * columns;
        values[at..at + columns].to_vec()
    };
    Ok(unique_of.iter().enumerate().map(row).collect())
}
