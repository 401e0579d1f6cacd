//! Energy and observables from new samples with fixed weights.

use super::observables::{Accumulator, ObservableEstimates};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Plan};
use crate::kernels::vmc::energy::{COLUMNS, IMAGINARY};
use crate::model::{Model, Parameters, Precision, Weights};
use crate::physics::{Hamiltonian, Lattice};
use crate::vmc::statistics::{BatchLayout, ChainReport, place, v_score};
use crate::vmc::step::local_energy::{LocalEnergyConfig, LocalEnergyPipeline, SampleSource};

/// Settings of [`evaluate()`].
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateConfig {
    /// Number of samples, at least 2.
    pub samples: usize,
    /// Seed of the samples.
    pub seed: u64,
    /// Maximum GPU memory in bytes; `None` for [`Gpu::default_memory`].
    pub memory: Option<u64>,
    /// Storage precision of sampling and of connected configurations. [`Precision::Mixed`] evaluates the wave function
    /// of the weights cast to f16.
    pub precision: Precision,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { samples: 10_000, seed: 1, memory: None, precision: Precision::Single }
    }
}

impl EvaluateConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the remedy if a setting is invalid.
    pub(crate) fn check(&self) -> Result<()> {
        if self.samples < 2 {
            let message = format!("{} samples give no error bar; give samples=2 or more", self.samples);
            return Err(Error::new(ErrorKind::Settings, message));
        }
        Ok(())
    }
}

/// Error for local energies that are not finite.
pub(crate) fn diverged() -> Error {
    let message = "a local energy is not finite; the weights are from a diverged run, use earlier ones";
    Error::new(ErrorKind::NotFinite, message)
}

/// Estimates of energy and observables from samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Number of samples drawn.
    pub samples: usize,
    /// Energy of the whole lattice.
    pub energy: f64,
    /// Standard error of the energy, √(s² / samples) with s² the variance of Re E; √(s² · 2τ / samples) for Markov
    /// chains.
    pub energy_error: f64,
    /// Unbiased variance of the local energy, ⟨|E − Ē|²⟩.
    pub variance: f64,
    /// V-score, N · variance / (energy − E_∞)², with the energy at infinite temperature E_∞ = tr H / 2^N. It is 0 for
    /// an eigenstate and comparable across Hamiltonians and sizes (Wu et al., Science 386, 296 (2024),
    /// arXiv:2302.04919).
    pub v_score: f64,
    /// Magnetizations, densities and correlations.
    pub observables: ObservableEstimates,
    /// Diagnostics of the Markov chains; `None` if samples are independent.
    pub chains: Option<ChainReport>,
}

/// Maximum number of samples per chunk.
const CHUNK: usize = 1024;

/// Number of samples per chunk if `samples` are drawn in total. It is a multiple of the number of chains where that is
/// set and smaller than the chunk.
pub(crate) fn chunk_of(model: &dyn Model, samples: usize) -> usize {
    let most = samples.min(CHUNK);
    match model.chains().and_then(|metropolis| metropolis.chains) {
        Some(chains) if chains < most => most / chains * chains,
        _ => most,
    }
}

/// Draws samples in chunks and estimates energy and observables. Sums are in f64. Markov chains continue from chunk to
/// chunk.
///
/// # Errors
/// As [`crate::vmc::Trainer::new`]; [`ErrorKind::NotFinite`] if a local energy is not finite.
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
    let pipeline = pipeline(gpu, lattice, hamiltonian, model, weights, &EvaluateConfig { samples: chunk, ..config })?;
    let mut plan = Plan::new(gpu);
    pipeline.record(&mut plan, SampleSource::Drawn)?;
    // Re E, σˣ and Im E of each sample, and its configuration.
    let mut rows: Vec<[f64; 3]> = Vec::with_capacity(config.samples);
    let mut configurations: Vec<u8> = Vec::with_capacity(config.samples * lattice.sites());
    let patches = pipeline.patches() as usize;
    let mut accepted: Vec<u64> = Vec::new();
    let mut proposals = 0;
    pipeline.restart(config.seed, 0, true)?;
    for step in 0.. {
        let left = config.samples - rows.len();
        if left == 0 {
            break;
        }
        pipeline.write_step(config.seed, step)?;
        plan.run()?;
        if let Some(chains) = pipeline.sampler.chains() {
            accepted.resize(chains.count as usize, 0);
            accepted.iter_mut().zip(chains.accepted(gpu)?).for_each(|(all, these)| *all += u64::from(these));
            proposals += chains.proposals();
        }
        let values = sample_values(&pipeline)?;
        rows.extend(values.iter().take(left).map(|v| [v[0], v[7], v[IMAGINARY]].map(f64::from)));
        let tokens: Vec<u32> = pipeline.tokens.read(gpu, left.min(chunk) * patches)?;
        configurations.extend(tokens.chunks(patches).flat_map(|row| pipeline.patching.config(row)));
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
    let division = BatchLayout::new(rows.len(), chains.as_ref().map(|report| (report.chains, report.autocorrelation)));
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
        observables: accumulator.estimates(pipeline.tables.host.flips_every_site),
        chains,
    })
}

/// Creates a local-energy pipeline for batches of `config.samples` samples with fixed weights.
pub(crate) fn pipeline(
    gpu: &Gpu,
    lattice: &Lattice,
    hamiltonian: &dyn Hamiltonian,
    model: &dyn Model,
    weights: &Weights,
    config: &EvaluateConfig,
) -> Result<LocalEnergyPipeline> {
    model.check(lattice)?;
    let terms = hamiltonian.terms(lattice)?;
    let parameters = Parameters::new(gpu, model.layout(lattice)?, config.precision)?;
    parameters.write(gpu, weights)?;
    let config = LocalEnergyConfig {
        samples: config.samples as u32,
        training: false,
        unique: true,
        memory: config.memory.unwrap_or(gpu.default_memory()),
        power: 2.0,
        least_chunk: 1,
    };
    LocalEnergyPipeline::new(gpu, lattice, &terms, model, &parameters, config)
}

/// Returns the values of each sample, repeats included, `COLUMNS` numbers per sample.
pub(crate) fn sample_values(pipeline: &LocalEnergyPipeline) -> Result<Vec<Vec<f32>>> {
    let group = pipeline.sizes.group as usize;
    let padded = pipeline.sizes.groups(pipeline.samples) as usize * group;
    let columns = COLUMNS as usize;
    let values: Vec<f32> = pipeline.values.read(&pipeline.gpu, padded * columns)?;
    let unique_of: Vec<u32> = pipeline.groups.unique_of.read(&pipeline.gpu, pipeline.samples as usize)?;
    let row = |(b, u): (usize, &u32)| {
        let at = (b - b % group + *u as usize) * columns;
        values[at..at + columns].to_vec()
    };
    Ok(unique_of.iter().enumerate().map(row).collect())
}
