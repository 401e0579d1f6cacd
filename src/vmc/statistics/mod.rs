//! MCMC diagnostics and error bars: autocorrelation time, blocking, batch means, jackknife, split R̂, V-score.
//!
//! The error bar of the energy from Markov chains uses the integrated autocorrelation time. Blocking is a second
//! estimate of it, and split R̂ shows whether the chains agree. Error bars of all other observables are batch means.

mod autocorrelation;
mod batches;
mod blocking;
mod concentration;
mod equilibrium;
mod jackknife;
#[cfg(test)]
mod process;
mod r_hat;

pub(crate) use autocorrelation::autocorrelation_time;
pub use batches::Mean;
pub(super) use batches::{BatchLayout, Batches};
use blocking::blocking;
pub use concentration::Concentration;
pub(super) use equilibrium::widening;
pub use equilibrium::{MIXED, NEEDED_LENGTH};
pub(super) use jackknife::ratio_of_means;
use r_hat::split_r_hat;

use crate::physics::Terms;

/// Diagnostics of Markov chains.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainReport {
    /// Number of chains.
    pub chains: usize,
    /// Fraction of the proposals that were accepted.
    pub acceptance: f64,
    /// Number of chains with an acceptance below [`FROZEN`]. They barely move from their start, which no error bar
    /// includes.
    pub frozen: usize,
    /// Integrated autocorrelation time τ of the local energy, in samples of a chain; ½ if samples are independent,
    /// infinite if it is not known because a chain has fewer than [`NEEDED_LENGTH`] samples.
    pub autocorrelation: f64,
    /// Effective number of independent samples: samples / 2τ / widening², which is 1 if τ is not known.
    pub effective_samples: f64,
    /// Factor ≥ 1 of all error bars because the chains drift together, or are too short to show whether they do.
    pub widening: f64,
    /// Number of samples that gives every chain [`NEEDED_LENGTH`] samples.
    pub needed_samples: usize,
    /// Standard error of the energy by blocking (Flyvbjerg & Petersen 1989). It does not use τ and is a check of
    /// √(variance · 2τ / samples).
    pub blocking_error: f64,
    /// Length of a block, in samples of a chain.
    pub block: usize,
    /// Split R̂ of the local energy (Gelman et al. 2013). It is 1 if the halves of all chains have the same
    /// distribution, and above [`MIXED`] if they differ or are too short. `None` if a chain has fewer than
    /// [`NEEDED_LENGTH`] samples.
    pub r_hat: Option<f64>,
}

/// Acceptance below which a Markov chain counts as frozen.
pub const FROZEN: f64 = 0.01;

/// Returns the V-score, N · variance / (E − E_∞)², which is 0 for an eigenstate. E_∞ is the mean energy over all
/// configurations (Wu et al., arXiv:2302.04919).
pub(super) fn v_score(terms: &Terms, energy: f64, variance: f64) -> f64 {
    terms.sites() as f64 * variance / (energy - terms.infinite_temperature_energy(None)).powi(2)
}

/// Returns the chain of sample number `at` and the index of the sample within it, for samples drawn in chunks of
/// `chunk`. Every chunk begins with the first of `chains` chains.
pub(super) fn place(at: usize, chunk: usize, chains: usize) -> [usize; 2] {
    let [before, within] = [at / chunk, at % chunk];
    [within % chains, before * chunk.div_ceil(chains) + within / chains]
}

/// Splits `numbers`, drawn in chunks of `chunk`, by chain: chain n has the numbers n, n + chains, … of every chunk.
pub(super) fn series(numbers: &[f64], chunk: usize, chains: usize) -> Vec<Vec<f64>> {
    let mut series = vec![Vec::new(); chains];
    numbers.chunks(chunk).for_each(|chunk| chunk.iter().enumerate().for_each(|(b, x)| series[b % chains].push(*x)));
    series
}

impl ChainReport {
    /// Computes the diagnostics from local energies in the order of [`series`]. Chain n accepted `accepted[n]` of
    /// `proposals` proposals. `needed_samples` give every chain [`NEEDED_LENGTH`] samples.
    pub(super) fn new(energies: &[f64], chunk: usize, accepted: &[u64], proposals: u64, needed_samples: usize) -> Self {
        let chains = accepted.len();
        let series = series(energies, chunk, chains);
        let (time, r_hat, widening) = (autocorrelation_time(&series), split_r_hat(&series), widening(&series));
        let (blocking_error, block) = blocking(&series);
        let parts: Vec<f64> = accepted.iter().map(|accepted| *accepted as f64 / proposals as f64).collect();
        Self {
            chains,
            acceptance: parts.iter().sum::<f64>() / chains as f64,
            frozen: parts.iter().filter(|part| **part < FROZEN).count(),
            autocorrelation: if r_hat.is_some() { time } else { f64::INFINITY },
            effective_samples: energies.len() as f64 / (2.0 * time) / widening.powi(2),
            widening,
            needed_samples,
            blocking_error: blocking_error * widening,
            block,
            r_hat,
        }
    }
}
