//! The Rényi-2 entropy of a part of the lattice, by the swap estimator.
//!
//! ```text
//! S₂ = −ln tr ρ_A² = −ln ⟨ ψ(σ_A η_B) ψ(η_A σ_B) / (ψ(σ) ψ(η)) ⟩          σ, η independent samples of |ψ|²
//! ```
//!
//! σ_A η_B is σ in the part A and η in the rest. The mean is real. Source: Hastings, González, Kallin and Melko, Phys. Rev. Lett.
//! 104, 157201 (2010), arXiv:1001.2335. Its terms grow in spread like e^(S₂): a large part needs many samples.

use super::enumerate::Free;
use super::evaluate::{EvaluateConfig, chunk_of};
use super::given::Given;
use super::sample::{SampleConfig, sample};
use super::statistics::{Batches, Division, Mean, autocorrelation_time, place};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::model::{Model, Weights};
use crate::physics::Lattice;

/// The entropy of a part of the lattice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenyiEntropy {
    /// Sites of the part.
    pub sites: usize,
    /// Pairs of samples.
    pub pairs: usize,
    /// tr ρ_A².
    pub purity: Mean,
    /// S₂ = −ln tr ρ_A², in nats; NaN where too few pairs leave a mean that is not positive.
    pub entropy: Mean,
}

/// Draws `config.samples` samples and estimates the Rényi-2 entropy of the sites that are `true` in `part`.
///
/// # Errors
/// [`ErrorKind::Settings`] for fewer than 4 samples or a part of another lattice; as [`sample()`].
pub fn renyi_entropy(
    gpu: &Gpu,
    lattice: &Lattice,
    model: &dyn Model,
    weights: &Weights,
    part: &[bool],
    config: EvaluateConfig,
) -> Result<RenyiEntropy> {
    let fault = |message: String| Err(Error::new(ErrorKind::Settings, message));
    if part.len() != lattice.sites() {
        return fault(format!("entropy: a part says of {} sites, {lattice} has {}", part.len(), lattice.sites()));
    }
    if config.samples < 4 {
        return fault(format!("entropy: {} samples make no two pairs; give samples=4 or more", config.samples));
    }
    let EvaluateConfig { samples, seed, memory, precision } = config.clone();
    let drawn = sample(gpu, lattice, model, weights, SampleConfig { samples, seed, memory, precision })?;
    let chunk = chunk_of(model, samples);
    let chains = model.chains().map(|settings| settings.chains_of(chunk as u32) as usize);
    let pairs = pairs(samples, chunk, chains);
    let given = Given::new(gpu, lattice, &Free, model, weights, 2 * pairs.len(), &config)?;
    let own = amplitudes(&given, &drawn.configurations)?;
    let mixed = |[a, b]: [usize; 2]| -> Vec<u8> {
        let pair = drawn.configurations[a].iter().zip(&drawn.configurations[b]).zip(part);
        pair.map(|((a, b), inside)| if *inside { *a } else { *b }).collect()
    };
    let swapped: Vec<Vec<u8>> =
        pairs.iter().flat_map(|pair| [mixed(pair.samples), mixed([pair.samples[1], pair.samples[0]])]).collect();
    // ψ vanishes outside of a sector, whatever a network says there; both or neither of a pair lie in it.
    let inside = |configuration: &Vec<u8>| {
        let occupied = configuration.iter().map(|n| usize::from(*n)).sum::<usize>();
        !model.keeps_excitations() || 2 * occupied == configuration.len()
    };
    let inside: Vec<bool> = swapped.iter().step_by(2).map(inside).collect();
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
    // Both chains of a pair are of one batch; within it pairs may depend on each other.
    let of_chains = chains.map(|chains| {
        let mut series = vec![Vec::new(); (chains / 2).max(1)];
        pairs.iter().zip(&terms).for_each(|(pair, term)| series[pair.chain].push(*term));
        (series.len(), autocorrelation_time(&series))
    });
    let division = Division::new(pairs.len(), of_chains);
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

/// Two samples that do not depend on each other.
struct Pair {
    samples: [usize; 2],
    /// Number of the pair of chains that they are of, and of the pair among those of it.
    chain: usize,
    place: usize,
}

/// Pairs of `samples` samples, made in chunks that begin with the first of `chains` chains. Samples of two chains are paired; a
/// single chain's first half with its second.
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

/// log |ψ|² and phase of configurations.
fn amplitudes(given: &Given, configurations: &[Vec<u8>]) -> Result<Vec<[f64; 2]>> {
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
            // An odd chain is left over.
            let usable = if chains == Some(3) { samples * 2 / 3 - 1 } else { samples - 1 };
            assert!(count >= usable, "{count} of {samples}, {chains:?}");
            if let Some(chains) = chains.filter(|chains| *chains > 1) {
                let chain = |at: usize| at % chunk % chains;
                assert!(found.iter().all(|pair| pair.samples.map(chain) == [2 * pair.chain, 2 * pair.chain + 1]));
            }
        }
    }
}
