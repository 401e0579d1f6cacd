//! What the numbers that Markov chains leave are worth.

mod autocorrelation;
mod batches;
mod blocking;
mod jackknife;
#[cfg(test)]
mod process;
mod r_hat;

pub(super) use autocorrelation::autocorrelation_time;
pub use batches::Mean;
pub(super) use batches::{Batches, Division};
use blocking::blocking;
pub(super) use jackknife::ratio_of_means;
use r_hat::split_r_hat;

use crate::physics::Terms;

/// How good Markov chains are.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainReport {
    /// How many.
    pub chains: usize,
    /// Part of the proposals that were accepted.
    pub acceptance: f64,
    /// Chains that accepted fewer than [`FROZEN`] of their proposals: they hardly leave where they began, and no error bar
    /// knows of it.
    pub frozen: usize,
    /// Integrated autocorrelation time τ of the local energy, in samples of a chain; ½ where samples are independent.
    pub autocorrelation: f64,
    /// Independent samples that these are worth, samples / 2τ.
    pub effective_samples: f64,
    /// Standard error of the energy by blocking (Flyvbjerg & Petersen 1989), which knows of τ only what blocks of the chains
    /// show: a second opinion on √(variance · 2τ / samples).
    pub blocking_error: f64,
    /// Samples of a chain in a block of it.
    pub block: usize,
    /// Split R̂ of the local energy (Gelman et al. 2013): 1 where the halves of all chains have one distribution, above
    /// [`MIXED`] where they do not, or are too short to show it. `None` where a chain left fewer than 4 samples.
    pub r_hat: Option<f64>,
}

/// Acceptance below which Markov chains are taken for frozen.
pub const FROZEN: f64 = 0.01;

/// Split R̂ up to which Markov chains are taken for mixed.
pub const MIXED: f64 = 1.05;

/// N · variance / (E − E_∞)² of a wave function for a Hamiltonian of these terms, which is 0 for an eigenstate; E_∞ is the mean
/// over all configurations (Wu et al., arXiv:2302.04919).
pub(super) fn v_score(terms: &Terms, energy: f64, variance: f64) -> f64 {
    terms.sites() as f64 * variance / (energy - terms.infinite_temperature_energy(None)).powi(2)
}

/// The chain of sample number `at`, and its number among those of the chain, where samples are made `chunk` at a time: every
/// chunk begins with the first of `chains` chains.
pub(super) fn place(at: usize, chunk: usize, chains: usize) -> [usize; 2] {
    let [before, within] = [at / chunk, at % chunk];
    [within % chains, before * chunk.div_ceil(chains) + within / chains]
}

/// `numbers`, made `chunk` at a time, by chain: the n-th of `chains` left the numbers n, n + chains, … of every chunk.
pub(super) fn series(numbers: &[f64], chunk: usize, chains: usize) -> Vec<Vec<f64>> {
    let mut series = vec![Vec::new(); chains];
    numbers.chunks(chunk).for_each(|chunk| chunk.iter().enumerate().for_each(|(b, x)| series[b % chains].push(*x)));
    series
}

impl ChainReport {
    /// Of the local energies `energies` of a [`series`] of chains, of which the n-th had `accepted[n]` of `proposals` accepted.
    pub(super) fn new(energies: &[f64], chunk: usize, accepted: &[u64], proposals: u64) -> Self {
        let chains = accepted.len();
        let series = series(energies, chunk, chains);
        let autocorrelation = autocorrelation_time(&series);
        let (blocking_error, block) = blocking(&series);
        let parts: Vec<f64> = accepted.iter().map(|accepted| *accepted as f64 / proposals as f64).collect();
        Self {
            chains,
            acceptance: parts.iter().sum::<f64>() / chains as f64,
            frozen: parts.iter().filter(|part| **part < FROZEN).count(),
            autocorrelation,
            effective_samples: energies.len() as f64 / (2.0 * autocorrelation),
            blocking_error,
            block,
            r_hat: split_r_hat(&series),
        }
    }
}
