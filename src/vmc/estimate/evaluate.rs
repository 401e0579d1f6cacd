//! Energy and observables from new samples with fixed weights.

use super::observables::{Accumulator, ObservableEstimates};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Plan;
use crate::host_memory;
use crate::kernels::vmc::energy::Column;
use crate::model::Model;
use crate::physics::Hamiltonian;
use crate::vmc::state::{SampleConfig, State};
use crate::vmc::statistics::{BatchLayout, ChainReport, Concentration, NEEDED_LENGTH, place, v_score};
use crate::vmc::step::buffers::{SampleSource, StepInputs};

/// Checks that there are enough samples for an error bar.
///
/// # Errors
/// [`ErrorKind::Settings`] for fewer than 2 samples.
pub(crate) fn check_samples(samples: usize) -> Result<()> {
    if samples < 2 {
        let message = format!("{samples} samples give no error bar; give samples=2 or more");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    Ok(())
}

/// Checks that `samples` of `bytes` bytes each, and their values, fit into the memory of this machine.
///
/// # Errors
/// [`ErrorKind::Memory`].
pub(crate) fn check_host(samples: usize, bytes: u64) -> Result<()> {
    let bytes = (samples as u64).saturating_mul(bytes + VALUE_BYTES);
    host_memory::check(&format!("{samples} samples"), bytes, "give fewer samples")
}

/// Bytes of the values of a sample and of its entry in lists.
const VALUE_BYTES: u64 = 64;

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
    /// Standard error of the energy, √(s² / samples) with s² the variance of Re E; √(s² / effective samples) for Markov
    /// chains ([`ChainReport::effective_samples`]). NaN if it cannot be estimated, because all samples are one
    /// configuration that is not an eigenstate; so are then the variance, the V-score and the errors of the observables.
    pub energy_error: f64,
    /// Unbiased variance of the local energy, ⟨|E − Ē|²⟩.
    pub variance: f64,
    /// V-score, N · variance / (energy − E_∞)², with the energy at infinite temperature E_∞ = tr H / 2^N. It is 0 for
    /// an eigenstate and comparable across Hamiltonians and sizes (Wu et al., Science 386, 296 (2024),
    /// arXiv:2302.04919).
    pub v_score: f64,
    /// Magnetizations, densities and correlations.
    pub observables: ObservableEstimates,
    /// On how few configurations and local energies the estimates rest.
    pub concentration: Concentration,
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

/// Number of samples that gives every chain [`NEEDED_LENGTH`] samples.
pub(crate) fn needed_samples(model: &dyn Model) -> usize {
    let chains = model.chains().and_then(|metropolis| metropolis.chains).map_or(CHUNK, |chains| chains.min(CHUNK));
    NEEDED_LENGTH * chains
}

impl State<'_> {
    /// Draws samples in chunks and estimates the energy of `hamiltonian` and the observables. Sums are in f64. Markov
    /// chains continue from chunk to chunk.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for fewer than 2 samples; as [`crate::vmc::Trainer::new`]; [`ErrorKind::NotFinite`] if a
    /// local energy is not finite.
    pub fn expect(&self, hamiltonian: &dyn Hamiltonian, config: SampleConfig) -> Result<Estimate> {
        self.gpu.block_on(self.expect_async(hamiltonian, config))
    }

    /// As [`State::expect`], without blocking.
    ///
    /// # Errors
    /// As [`State::expect`].
    pub async fn expect_async(&self, hamiltonian: &dyn Hamiltonian, config: SampleConfig) -> Result<Estimate> {
        let SampleConfig { samples, seed } = config;
        check_samples(samples)?;
        let (gpu, lattice) = (self.gpu, self.lattice);
        check_host(samples, lattice.sites() as u64)?;
        let chunk = chunk_of(self.model, samples);
        let pipeline = self.pipeline(hamiltonian, chunk, true)?;
        let mut plan = Plan::new(gpu);
        pipeline.record(&mut plan, SampleSource::Drawn)?;
        let columns = [Column::Energy, Column::SigmaX, Column::ImaginaryEnergy];
        // These columns of each sample, and its configuration.
        let mut rows: Vec<[f64; 3]> = Vec::with_capacity(samples);
        let mut configurations: Vec<u8> = Vec::with_capacity(samples * lattice.sites());
        let patches = pipeline.patches() as usize;
        let mut accepted: Vec<u64> = Vec::new();
        let mut proposals = 0;
        pipeline.restart(seed, 0, true).await?;
        for step in 0.. {
            let left = samples - rows.len();
            if left == 0 {
                break;
            }
            pipeline.write_step(StepInputs::of_samples(seed, step))?;
            plan.run_async().await?;
            if let Some((chains, _)) = pipeline.sampler.chains() {
                accepted.resize(chains.count as usize, 0);
                let of_chunk = chains.accepted(gpu).await?;
                accepted.iter_mut().zip(of_chunk).for_each(|(all, these)| *all += u64::from(these));
                proposals += chains.proposals();
            }
            let values = pipeline.read_values().await?;
            rows.extend(values.iter().take(left).map(|row| columns.map(|column| column.of(row))));
            let tokens: Vec<u32> = pipeline.tokens.read_async(gpu, left.min(chunk) * patches).await?;
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
            ChainReport::new(&energies, chunk, &accepted, proposals, needed_samples(self.model))
        });
        let independent = chains.as_ref().map_or(count, |chains| chains.effective_samples);
        let division =
            BatchLayout::new(rows.len(), chains.as_ref().map(|report| (report.chains, report.autocorrelation)));
        let mut accumulator = Accumulator::new(lattice, division);
        let of_chains = chains.as_ref().map_or(1, |report| report.chains);
        for (at, (row, configuration)) in rows.iter().zip(configurations.chunks(lattice.sites())).enumerate() {
            accumulator.add(place(at, chunk, of_chains), configuration, row[1]);
        }
        let terms = hamiltonian.terms(lattice)?;
        let energies: Vec<[f64; 2]> = rows.iter().map(|row| [row[0], row[2]]).collect();
        let concentration = Concentration::new(&configurations, &energies, &terms);
        let flips_every_site = pipeline.tables.host.flips_every_site;
        let observables = accumulator.estimates(flips_every_site, terms.is_flip_symmetric(), hamiltonian.order());
        let (mut error, mut variance) = ((real_variance / independent).sqrt(), real_variance + variance_of(2));
        let mut widening = chains.as_ref().map_or(1.0, |report| report.widening);
        if concentration.is_collapsed() {
            (error, variance, widening) = (f64::NAN, f64::NAN, f64::NAN);
        }
        Ok(Estimate {
            samples: rows.len(),
            energy,
            energy_error: error,
            variance,
            v_score: v_score(&terms, energy, variance),
            observables: observables.widened(widening),
            concentration,
            chains,
        })
    }
}
