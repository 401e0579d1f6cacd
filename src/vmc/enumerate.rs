//! Given configurations: log-probabilities, moves and local energies of each, and of all 2^N.

use super::evaluate::EvaluateConfig;
use super::given::Given;
use super::sector::{check_configurations, excitations};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::{Model, Precision, Weights};
use crate::physics::{Hamiltonian, Lattice, Terms};

/// What is known of given configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalEnergies {
    /// log P of each; log ψ² where the wave function is known up to a factor.
    pub log_p: Vec<f64>,
    /// Whether that is the log P of probabilities which add up to one.
    pub normalised: bool,
    /// Phase of each in radians, 0 where the wave function is real.
    pub phase: Vec<f64>,
    /// Local energy of each, its real part.
    pub energy: Vec<f64>,
    /// Its imaginary part.
    pub energy_imaginary: Vec<f64>,
    /// For each configuration log P (or log ψ²) of every connected one, in the order of the Hamiltonian's moves sorted by the first
    /// patch they change; very negative where a move's condition does not hold.
    pub moved_log_p: Vec<Vec<f64>>,
    /// The same of phases; the configuration's own where a condition does not hold.
    pub moved_phase: Vec<Vec<f64>>,
}

/// Sites of which all configurations can be enumerated.
const MAX_SITES: usize = 16;

/// log-probabilities, those of all connected configurations, and local energies of `configurations`, each of N
/// occupations 0 or 1 in site order, all of the network as `precision` stores it.
///
/// # Errors
/// As [`super::Trainer::new`]; [`ErrorKind::Settings`] for a configuration of another length, or one that the wave function is
/// not over.
pub fn local_energies(
    gpu: &Gpu,
    lattice: &Lattice,
    hamiltonian: &dyn Hamiltonian,
    model: &dyn Model,
    weights: &Weights,
    configurations: &[Vec<u8>],
    precision: Precision,
) -> Result<LocalEnergies> {
    check_configurations(model, lattice, configurations)?;
    let config = EvaluateConfig { precision, ..EvaluateConfig::default() };
    let given = Given::new(gpu, lattice, hamiltonian, model, weights, configurations.len(), &config)?;
    let mut all = LocalEnergies {
        log_p: Vec::new(),
        normalised: model.chains().is_none(),
        phase: Vec::new(),
        energy: Vec::new(),
        energy_imaginary: Vec::new(),
        moved_log_p: Vec::new(),
        moved_phase: Vec::new(),
    };
    for part in configurations.chunks(given.chunk) {
        let values = given.run(part)?;
        all.energy.extend(values.energy.iter().map(|[real, _]| real));
        all.energy_imaginary.extend(values.energy.iter().map(|[_, imaginary]| imaginary));
        for (b, row) in given.ratios(part.len())?.into_iter().enumerate() {
            let moved = row.into_iter().map(|[log, phase]| (values.log_p[b] + 2.0 * log, values.phase[b] + phase));
            let (moved_log_p, moved_phase) = moved.unzip();
            all.moved_log_p.push(moved_log_p);
            all.moved_phase.push(moved_phase);
        }
        all.log_p.extend(values.log_p);
        all.phase.extend(values.phase);
    }
    Ok(all)
}

/// No interactions and no moves: for log-probabilities alone.
pub(super) struct Free;

impl Hamiltonian for Free {
    fn name(&self) -> &'static str {
        "free"
    }

    fn terms(&self, lattice: &Lattice) -> Result<Terms> {
        Ok(Terms { constant: 0.0, field: vec![0.0; lattice.sites()], pairs: Vec::new(), moves: Vec::new() })
    }
}

/// All 2^N amplitudes of a wave function; bit i of the index is the occupation of site i.
#[derive(Debug, Clone, PartialEq)]
pub struct Amplitudes {
    /// log P = log |ψ|² of each; −∞ of configurations that the wave function is not over, by its sector or by how chains move.
    pub log_p: Vec<f64>,
    /// Phase of each in radians, 0 where the wave function is real.
    pub phase: Vec<f64>,
}

/// All 2^N amplitudes of the network as `precision` stores it. A wave function that is known up to a factor is normalised by
/// the sum over those that it is over.
///
/// # Errors
/// [`ErrorKind::Settings`] beyond 16 sites; as [`super::evaluate()`].
pub fn enumerate(
    gpu: &Gpu,
    lattice: &Lattice,
    model: &dyn Model,
    weights: &Weights,
    precision: Precision,
) -> Result<Amplitudes> {
    let sites = lattice.sites();
    if sites > MAX_SITES {
        let message = format!("{sites} sites have too many configurations to enumerate; {MAX_SITES} are the most");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    let configuration = |index: u32| (0..sites).map(|site| (index >> site & 1) as u8).collect();
    let excitations = excitations(model, sites);
    let is_over = |index: &u32| excitations.is_none_or(|excitations| index.count_ones() == excitations);
    let states: Vec<u32> = (0..1 << sites).filter(is_over).collect();
    let configurations: Vec<Vec<u8>> = states.iter().copied().map(configuration).collect();
    let LocalEnergies { mut log_p, phase, normalised, .. } =
        local_energies(gpu, lattice, &Free, model, weights, &configurations, precision)?;
    if !normalised {
        let top = log_p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = top + log_p.iter().map(|log_p| (log_p - top).exp()).sum::<f64>().ln();
        log_p.iter_mut().for_each(|log_p| *log_p -= log_sum);
    }
    let of_all = |values: Vec<f64>, elsewhere: f64| {
        let mut all = vec![elsewhere; 1 << sites];
        states.iter().zip(values).for_each(|(state, value)| all[*state as usize] = value);
        all
    };
    Ok(Amplitudes { log_p: of_all(log_p, f64::NEG_INFINITY), phase: of_all(phase, 0.0) })
}
