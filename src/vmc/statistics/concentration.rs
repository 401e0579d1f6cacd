//! On how few samples an estimate rests: the number of different configurations, and the tail of the local energy.

use std::collections::HashMap;

use crate::physics::Terms;

/// Effective number of squared deviations below which an error bar is unreliable. The relative error of an error bar is
/// about half of the inverse square root of that number.
const FEW: f64 = 6.0;

/// Number of samples per effective squared deviation from which the tail counts as heavy; 3 for a normal distribution.
const HEAVY: f64 = 10.0;

/// Number of samples other than the most frequent configuration below which an estimate rests on single events.
const SINGLE_EVENTS: usize = 10;

/// How the samples of an estimate are distributed over configurations and local energies.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Concentration {
    /// Number of samples.
    pub samples: usize,
    /// Number of different configurations among the samples.
    pub configurations: usize,
    /// Effective number of configurations, 1/Σ f² of their frequencies f.
    pub effective_configurations: f64,
    /// The most frequent configuration, in site order.
    pub mode: Vec<u8>,
    /// Number of samples that are other configurations.
    pub others: usize,
    /// Variance of H in the state of the most frequent configuration alone
    /// ([`Terms::variance_of_configuration`]); 0 if it is an eigenstate.
    pub variance_of_mode: f64,
    /// Effective number of squared deviations d² of the local energy from its mean, (Σ d²)²/Σ d⁴: a third of the
    /// samples for a normal distribution, 1 if a single sample dominates; infinite without deviations.
    pub effective_deviations: f64,
    /// Energy by which configurations that were not sampled can shift the mean ([`Terms::unseen_energy`]).
    pub unseen_energy: f64,
}

impl Concentration {
    /// Computes the concentration of `configurations`, of N occupations each, with real and imaginary parts of their
    /// local energies.
    pub(crate) fn new(configurations: &[u8], energies: &[[f64; 2]], terms: &Terms) -> Self {
        let samples = energies.len();
        let mut counts: HashMap<&[u8], usize> = HashMap::new();
        configurations.chunks(terms.sites()).for_each(|config| *counts.entry(config).or_insert(0) += 1);
        // A sum of whole numbers does not depend on the order of a map.
        let squared_counts: u64 = counts.values().map(|count| (*count as u64).pow(2)).sum();
        // The smallest of equally frequent configurations, so that the result does not depend on the order of a map.
        let most = counts.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
        let (mode, count) = most.map_or((Vec::new(), 0), |(mode, count)| (mode.to_vec(), *count));
        let mean = |part: usize| energies.iter().map(|energy| energy[part]).sum::<f64>() / samples as f64;
        let [real, imaginary] = [mean(0), mean(1)];
        let squares = energies.iter().map(|[re, im]| (re - real).powi(2) + (im - imaginary).powi(2));
        let (sum, fourth) = squares.fold((0.0, 0.0), |(sum, fourth), d| (sum + d, fourth + d * d));
        Self {
            samples,
            configurations: counts.len(),
            effective_configurations: (samples as f64).powi(2) / squared_counts as f64,
            others: samples - count,
            variance_of_mode: if mode.is_empty() { 0.0 } else { terms.variance_of_configuration(&mode) },
            mode,
            effective_deviations: if fourth > 0.0 { sum * sum / fourth } else { f64::INFINITY },
            unseen_energy: terms.unseen_energy(samples),
        }
    }

    /// Whether all samples are one configuration that is not an eigenstate: variance and error of the energy cannot be
    /// estimated.
    pub fn is_collapsed(&self) -> bool {
        self.configurations == 1 && self.variance_of_mode > 0.0
    }

    /// Whether nearly all samples are one configuration that is not an eigenstate, so that the estimate rests on a few
    /// other samples.
    pub fn is_nearly_collapsed(&self) -> bool {
        let few = self.others > 0 && self.others < SINGLE_EVENTS && self.samples >= 10 * SINGLE_EVENTS;
        few && self.variance_of_mode > 0.0
    }

    /// Whether so few samples dominate the variance of the local energy that the error bar is unreliable.
    pub fn is_heavy_tailed(&self) -> bool {
        self.effective_deviations < FEW.min(self.samples as f64 / HEAVY)
    }

    /// Whether configurations that were not sampled can shift the energy by more than twice `error`.
    pub fn misses_rare(&self, error: f64) -> bool {
        self.unseen_energy > 2.0 * error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Hamiltonian, Lattice, Rydberg, Tfim};

    fn of(configurations: &[[u8; 3]], energies: &[f64], hamiltonian: &dyn Hamiltonian) -> Concentration {
        let terms = hamiltonian.terms(&Lattice::chain(3)).unwrap();
        let energies: Vec<[f64; 2]> = energies.iter().map(|energy| [*energy, 0.0]).collect();
        Concentration::new(&configurations.concat(), &energies, &terms)
    }

    #[test]
    fn a_single_configuration_is_a_collapse_unless_it_is_an_eigenstate() {
        let all = [[0, 1, 0]; 8];
        let found = of(&all, &[2.0; 8], &Tfim::default());
        assert!(found.is_collapsed() && found.configurations == 1 && found.effective_configurations == 1.0);
        assert_eq!((found.mode.as_slice(), found.others), (&[0, 1, 0][..], 0));
        let eigenstate = of(&all, &[2.0; 8], &Tfim { h: 0.0, ..Tfim::default() });
        assert!(!eigenstate.is_collapsed() && eigenstate.variance_of_mode == 0.0);
    }

    #[test]
    fn few_other_samples_and_heavy_tails_are_seen() {
        let mut configurations = vec![[0, 0, 0]; 1000];
        let mut energies: Vec<f64> = (0..1000).map(|i| f64::from(i * 37 % 101) / 101.0).collect();
        configurations[17] = [1, 0, 0];
        let found = of(&configurations, &energies, &Tfim::default());
        assert!(found.is_nearly_collapsed() && !found.is_heavy_tailed() && found.others == 1);
        assert!((found.effective_configurations - 1.002).abs() < 1e-3);
        energies[17] = 1500.0;
        let found = of(&configurations, &energies, &Tfim::default());
        assert!(found.is_heavy_tailed() && found.effective_deviations < 1.01);
        for (at, config) in configurations.iter_mut().enumerate().take(10) {
            *config = [0, 1, u8::from(at % 2 == 0)];
        }
        assert!(!of(&configurations, &energies, &Tfim::default()).is_nearly_collapsed());
    }

    #[test]
    fn suppressed_configurations_that_were_not_drawn_are_counted() {
        let found = of(&[[0, 0, 0], [0, 1, 0]], &[0.0, 1.0], &Rydberg { v: 1546.0, ..Rydberg::default() });
        assert!(found.misses_rare(1.0) && !found.misses_rare(1e4));
        assert!(!of(&[[0, 0, 0], [0, 1, 0]], &[0.0, 1.0], &Rydberg::default()).misses_rare(1e-9));
    }
}
