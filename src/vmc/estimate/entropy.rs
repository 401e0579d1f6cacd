//! Rényi-2 entropy of a part of the lattice by the swap estimator.
//!
//! ```text
//! S₂ = −ln tr ρ_A² = −ln ⟨ ψ(σ_A η_B) ψ(η_A σ_B) / (ψ(σ) ψ(η)) ⟩          σ, η independent samples of |ψ|²
//! ```
//!
//! σ_A η_B equals σ in the part A and η elsewhere. The mean is real. The spread of its terms grows like e^(S₂), so a
//! large part needs many samples. Source: Hastings, González, Kallin and Melko, Phys. Rev. Lett. 104, 157201 (2010),
//! arXiv:1001.2335.

use super::evaluate::chunk_of;
use super::full_sum::Free;
use crate::error::{Error, ErrorKind, Result};
use crate::vmc::state::{SampleConfig, State};
use crate::vmc::statistics::{BatchLayout, Batches, Mean, autocorrelation_time, place};
use crate::vmc::step::fixed_configurations::FixedConfigurations;

/// Rényi-2 entropy of a part of the lattice.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RenyiEntropy {
    /// Number of sites of the part.
    pub sites: usize,
    /// Number of pairs of samples.
    pub pairs: usize,
    /// tr ρ_A².
    pub purity: Mean,
    /// S₂ = −ln tr ρ_A², in nats; NaN if the estimated purity is not positive, which happens with too few pairs.
    pub entropy: Mean,
}

impl State<'_> {
    /// Draws samples and estimates the Rényi-2 entropy of the sites that are `true` in `part`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for fewer than 4 samples or if the length of `part` is not the number of sites; as
    /// [`State::sample`].
    pub fn renyi_entropy(&self, part: &[bool], config: SampleConfig) -> Result<RenyiEntropy> {
        let (lattice, model) = (self.lattice, self.model);
        let fault = |message: String| Err(Error::new(ErrorKind::Settings, message));
        if part.len() != lattice.sites() {
            return fault(format!("entropy: the part has {} sites, {lattice} has {}", part.len(), lattice.sites()));
        }
        if config.samples < 4 {
            return fault(format!("entropy: {} samples do not make two pairs; give samples=4 or more", config.samples));
        }
        let samples = config.samples;
        let drawn = self.sample(config)?;
        let chunk = chunk_of(model, samples);
        let chains = model.chains().map(|settings| settings.chains_of(chunk as u32) as usize);
        let pairs = pairs(samples, chunk, chains);
        let given = FixedConfigurations::new(self, &Free, 2 * pairs.len())?;
        let own = amplitudes(&given, &drawn.configurations)?;
        let mixed = |[a, b]: [usize; 2]| -> Vec<u8> {
            let pair = drawn.configurations[a].iter().zip(&drawn.configurations[b]).zip(part);
            pair.map(|((a, b), inside)| if *inside { *a } else { *b }).collect()
        };
        let swapped: Vec<Vec<u8>> =
            pairs.iter().flat_map(|pair| [mixed(pair.samples), mixed([pair.samples[1], pair.samples[0]])]).collect();
        // ψ vanishes outside of the sector, regardless of the network's output. Both configurations of a swapped pair lie
        // in the sector, or neither does.
        let exclusions = model.exclusions(self.lattice)?;
        let admitted = |c: &[u8]| exclusions.iter().all(|pair| pair.iter().any(|&site| c[site] == 0));
        let inside = |configuration: &Vec<u8>| {
            let occupied = configuration.iter().map(|n| usize::from(*n)).sum::<usize>();
            !model.conserves_magnetization() || 2 * occupied == configuration.len()
        };
        let inside: Vec<bool> =
            swapped.chunks(2).map(|pair| inside(&pair[0]) && pair.iter().all(|c| admitted(c))).collect();
        let swapped = amplitudes(&given, &swapped)?;

        let term = |((pair, swapped), inside): ((&Pair, &[[f64; 2]]), &bool)| {
            if !inside {
                return 0.0;
            }
            let [a, b] = pair.samples.map(|at| own[at]);
            let log = 0.5 * (swapped[0][0] + swapped[1][0] - a[0] - b[0]);
            let turn = swapped[0][1] + swapped[1][1] - a[1] - b[1];
            log.exp() * turn.cos()
        };
        let terms: Vec<f64> = pairs.iter().zip(swapped.chunks(2)).zip(&inside).map(term).collect();
        // Both chains of a pair belong to one batch, within which pairs may be correlated.
        let of_chains = chains.map(|chains| {
            let mut series = vec![Vec::new(); (chains / 2).max(1)];
            pairs.iter().zip(&terms).for_each(|(pair, term)| series[pair.chain].push(*term));
            (series.len(), autocorrelation_time(&series))
        });
        let division = BatchLayout::new(pairs.len(), of_chains);
        let mut batches = Batches::new(&division, 1);
        for (pair, term) in pairs.iter().zip(&terms) {
            batches.sample(division.batch(pair.chain, pair.place))[0] += term;
        }
        let purity = batches.mean(0);
        let entropy = match purity.value > 0.0 {
            true => Mean { value: -purity.value.ln(), error: purity.error / purity.value },
            false => Mean { value: f64::NAN, error: f64::NAN },
        };
        Ok(RenyiEntropy { sites: part.iter().filter(|inside| **inside).count(), pairs: pairs.len(), purity, entropy })
    }
}

/// Two independent samples.
struct Pair {
    samples: [usize; 2],
    /// Index of the pair of chains.
    chain: usize,
    /// Index of this pair of samples within the pair of chains.
    place: usize,
}

/// Returns pairs of `samples` samples that were drawn in chunks, each of which begins with the first of `chains`
/// chains.
///
/// Pairs samples of two neighboring chains, or the first half of a single chain with its second half.
fn pairs(samples: usize, chunk: usize, chains: Option<usize>) -> Vec<Pair> {
    let half = samples / 2;
    match chains {
        None => (0..half).map(|i| Pair { samples: [2 * i, 2 * i + 1], chain: 0, place: i }).collect(),
        Some(1) => (0..half).map(|i| Pair { samples: [i, i + half], chain: 0, place: i }).collect(),
        Some(chains) => {
            let chain = |at: usize| place(at, chunk, chains)[0];
            let first = (0..samples - 1).filter(|at| chain(*at) % 2 == 0 && chain(*at + 1) == chain(*at) + 1);
            let pair = |at: usize| {
                let [chain, place] = place(at, chunk, chains);
                Pair { samples: [at, at + 1], chain: chain / 2, place }
            };
            first.map(pair).collect()
        }
    }
}

/// Returns log |ψ|² and the phase of each configuration.
fn amplitudes(given: &FixedConfigurations, configurations: &[Vec<u8>]) -> Result<Vec<[f64; 2]>> {
    let mut all = Vec::with_capacity(configurations.len());
    for chunk in configurations.chunks(given.chunk) {
        let values = given.run(chunk)?;
        all.extend(values.log_p.iter().zip(&values.phase).map(|(log_p, phase)| [*log_p, *phase]));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_of_two_chains_and_no_sample_is_in_two() {
        for (samples, chunk, chains) in
            [(10, 10, None), (11, 4, None), (20, 20, Some(1)), (24, 8, Some(4)), (23, 9, Some(3))]
        {
            let found = pairs(samples, chunk, chains);
            let mut used: Vec<usize> = found.iter().flat_map(|pair| pair.samples).collect();
            let count = used.len();
            used.sort_unstable();
            used.dedup();
            assert!(used.len() == count && used.iter().all(|at| *at < samples), "{samples} {chunk} {chains:?}");
            // The last chain of an odd number of chains is not paired.
            let usable = if chains == Some(3) { samples * 2 / 3 - 1 } else { samples - 1 };
            assert!(count >= usable, "{count} of {samples}, {chains:?}");
            if let Some(chains) = chains.filter(|chains| *chains > 1) {
                let chain = |at: usize| at % chunk % chains;
                assert!(found.iter().all(|pair| pair.samples.map(chain) == [2 * pair.chain, 2 * pair.chain + 1]));
            }
        }
    }
}
