//! What samples of few or of frequent configurations leave out: the variance of the energy in a single configuration,
//! and the energy of configurations that are too rare to be sampled.

use std::collections::BTreeMap;

use super::Terms;

/// Ratio of the largest pair coefficient to the largest off-diagonal amplitude from which configurations with that
/// pair count as suppressed: their probability is of order 10⁻⁶.
const SUPPRESSED: f64 = 1000.0;

/// Upper end of the 95 % confidence interval of the mean number of events of which none was seen (the rule of three).
const UNSEEN: f64 = 3.0;

impl Terms {
    /// `⟨H²⟩ − ⟨H⟩²` in the state of the single configuration `config`: the sum of the squared amplitudes to the
    /// configurations that H connects with it. The configuration is an eigenstate only if it is 0.
    pub fn variance_of_configuration(&self, config: &[u8]) -> f64 {
        let mut amplitudes: BTreeMap<[usize; 2], f64> = BTreeMap::new();
        for step in self.moves.iter().filter(|step| step.acts_on(config)) {
            let second = step.second.unwrap_or(step.first);
            *amplitudes.entry([step.first.min(second), step.first.max(second)]).or_insert(0.0) += step.amplitude;
        }
        amplitudes.values().map(|amplitude| amplitude * amplitude).sum()
    }

    /// Energy by which configurations that were not among `samples` samples can shift the mean: the largest positive
    /// pair coefficient, times the largest probability at a confidence of 95 %. 0 if no pair coefficient is so large
    /// compared with the off-diagonal amplitudes that its configurations are suppressed.
    pub fn unseen_energy(&self, samples: usize) -> f64 {
        let amplitude = self.moves.iter().fold(0.0, |largest: f64, step| largest.max(step.amplitude.abs()));
        let pair = self.pairs.iter().fold(0.0, |largest: f64, pair| largest.max(pair.coefficient));
        if amplitude == 0.0 || pair < SUPPRESSED * amplitude { 0.0 } else { UNSEEN * pair / samples as f64 }
    }
}

#[cfg(test)]
mod tests {
    use crate::physics::{Hamiltonian, Heisenberg, Lattice, Operator, Rydberg, Terms, Tfim, Xxz};

    #[test]
    fn the_variance_of_a_configuration_is_that_of_the_operator() {
        let lattice = Lattice::square(2, 3);
        let xxz = Xxz { hx: 0.3, delta: 0.5, ..Xxz::default() };
        for hamiltonian in [&Tfim::default() as &dyn Hamiltonian, &Heisenberg::default(), &xxz] {
            let mut terms = hamiltonian.terms(&lattice).unwrap();
            // Repeated terms add up before they are squared.
            let first = terms.moves[0];
            terms.moves.push(first);
            let operator = Operator::new(&terms).unwrap();
            for state in 0..64 {
                let (mut x, mut y) = (vec![0.0; 64], vec![0.0; 64]);
                x[state] = 1.0;
                operator.apply(&x, &mut y);
                let variance = y.iter().map(|y| y * y).sum::<f64>() - y[state] * y[state];
                let config: Vec<u8> = (0..6).map(|i| (state >> i & 1) as u8).collect();
                assert!((terms.variance_of_configuration(&config) - variance).abs() < 1e-12);
            }
        }
        let diagonal = Terms { field: vec![1.0; 3], ..Terms::default() };
        assert_eq!(diagonal.variance_of_configuration(&[0, 1, 0]), 0.0);
        let exchanges = Heisenberg::default().terms(&lattice).unwrap();
        assert_eq!(exchanges.variance_of_configuration(&[1; 6]), 0.0, "a polarized state is an eigenstate");
    }

    #[test]
    fn only_suppressed_configurations_count_as_unseen() {
        let unseen =
            |v, samples| Rydberg { v, ..Rydberg::default() }.terms(&Lattice::chain(9)).unwrap().unseen_energy(samples);
        assert_eq!([unseen(7.0, 100), unseen(100.0, 100), unseen(-1e6, 100)], [0.0; 3]);
        assert!((unseen(1546.0, 12_800) - 3.0 * 1546.0 / 12_800.0).abs() < 1e-12);
        assert_eq!(Heisenberg::default().terms(&Lattice::chain(4)).unwrap().unseen_energy(1), 0.0);
        assert_eq!(
            Rydberg { omega: 0.0, v: 1e6, ..Rydberg::default() }.terms(&Lattice::chain(4)).unwrap().unseen_energy(1),
            0.0
        );
    }
}
