//! Log-probabilities and local energies of fixed configurations, and the full sum over all 2^N configurations.

use crate::error::{Error, ErrorKind, Result};
use crate::physics::{Hamiltonian, Lattice, Terms};
use crate::vmc::state::State;
use crate::vmc::step::fixed_configurations::FixedConfigurations;
use crate::vmc::step::sector::{check_configurations, is_in_sector, occupations};

/// Log-probabilities, phases and local energies of fixed configurations and their connected configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalEnergies {
    /// log P of each configuration; log |ψ|² if the wave function is unnormalized.
    pub log_p: Vec<f64>,
    /// Whether `log_p` is that of probabilities that add up to 1.
    pub normalized: bool,
    /// Phase of each configuration in radians, 0 if the wave function is real.
    pub phase: Vec<f64>,
    /// Real part of the local energy of each configuration.
    pub energy: Vec<f64>,
    /// Imaginary part of the local energy of each configuration.
    pub energy_imaginary: Vec<f64>,
    /// For each configuration, log P (or log |ψ|²) of every connected configuration. They are in the order of the
    /// Hamiltonian's moves, sorted by the first patch that a move changes. A large negative number (about −2e30) where
    /// the condition of a move does not hold.
    pub moved_log_p: Vec<Vec<f64>>,
    /// Phases of the connected configurations in the same order; the phase of the configuration where the condition of
    /// a move does not hold.
    pub moved_phase: Vec<Vec<f64>>,
}

/// Maximum number of sites of a full sum.
const MAX_SITES: usize = 16;

/// Hamiltonian without terms, for passes that need log-probabilities only.
pub(crate) struct Free;

impl Hamiltonian for Free {
    fn name(&self) -> &'static str {
        "free"
    }

    fn terms(&self, lattice: &Lattice) -> Result<Terms> {
        Ok(Terms { field: vec![0.0; lattice.sites()], ..Terms::default() })
    }
}

/// All 2^N amplitudes of a wave function. Bit i of the index is the occupation of site i.
#[derive(Debug, Clone, PartialEq)]
pub struct Amplitudes {
    /// log P = log |ψ|² of each configuration; −∞ outside of the sector of the wave function or of its Markov chains.
    pub log_p: Vec<f64>,
    /// Phase of each configuration in radians; 0 if the wave function is real, and outside of the sector.
    pub phase: Vec<f64>,
}

impl State<'_> {
    /// Returns log-probabilities and local energies of `configurations`, and the log-probabilities of all connected
    /// configurations. Each configuration has N occupations, 0 or 1, in site order.
    ///
    /// # Errors
    /// As [`crate::vmc::Trainer::new`]; [`ErrorKind::Settings`] for a configuration of another length or outside of the
    /// sector of the wave function.
    pub fn local_energies(&self, hamiltonian: &dyn Hamiltonian, configurations: &[Vec<u8>]) -> Result<LocalEnergies> {
        check_configurations(self.model, self.lattice, configurations)?;
        let given = FixedConfigurations::new(self, hamiltonian, configurations.len())?;
        let mut all = LocalEnergies {
            log_p: Vec::new(),
            normalized: self.model.chains().is_none(),
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

    /// Returns all 2^N amplitudes. An unnormalized wave function is normalized by the sum over all configurations of its
    /// sector.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for more than 16 sites; as [`State::expect`].
    pub fn full_sum(&self) -> Result<Amplitudes> {
        let sites = self.lattice.sites();
        if sites > MAX_SITES {
            let message =
                format!("full sum: {sites} sites have too many configurations; use at most {MAX_SITES} sites");
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let is_inside = is_in_sector(self.model, self.lattice)?;
        let states: Vec<usize> = (0..1 << sites).filter(|state| is_inside(*state)).collect();
        let configurations: Vec<Vec<u8>> = states.iter().map(|state| occupations(*state, sites)).collect();
        let LocalEnergies { mut log_p, phase, normalized, .. } = self.local_energies(&Free, &configurations)?;
        if !normalized {
            let top = log_p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = top + log_p.iter().map(|log_p| (log_p - top).exp()).sum::<f64>().ln();
            log_p.iter_mut().for_each(|log_p| *log_p -= log_sum);
        }
        let of_all = |values: Vec<f64>, elsewhere: f64| {
            let mut all = vec![elsewhere; 1 << sites];
            states.iter().zip(values).for_each(|(state, value)| all[*state] = value);
            all
        };
        Ok(Amplitudes { log_p: of_all(log_p, f64::NEG_INFINITY), phase: of_all(phase, 0.0) })
    }
}
