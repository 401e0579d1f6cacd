//! Samples are drawn from P.

use ketformer::vmc::{SampleConfig, Samples};

use super::cases::{Case, cases, index, kinds};
use super::chi_squared::chance;
use super::memory::least_memory;

fn draw(case: &Case, samples: usize, seed: u64, memory: Option<u64>) -> Samples {
    let config = SampleConfig { samples, seed };
    case.state(&case.weights(1)).with_memory(memory).sample(config).unwrap()
}

/// P of every state, normalized to a sum of 1.
fn probabilities(case: &Case, seed: u64) -> Vec<f64> {
    let p: Vec<f64> = case.log_p(seed).iter().map(|log_p| log_p.exp()).collect();
    let sum: f64 = p.iter().sum();
    p.iter().map(|p| p / sum).collect()
}

pub fn counts(case: &Case, samples: &[Vec<u8>]) -> Vec<u64> {
    let mut counts = vec![0; 1 << case.lattice.sites()];
    samples.iter().for_each(|configuration| counts[index(configuration)] += 1);
    counts
}

/// Minimum p-value. Below it the frequencies are not those of P.
pub const LEAST_CHANCE: f64 = 1e-6;

#[test]
fn frequencies_are_those_of_the_wave_function() {
    for case in cases() {
        // Samples of chains cost more than exact samples.
        let samples = if case.is_normalized() { 20_000 } else { 6000 };
        let p = probabilities(&case, 1);
        let drawn = draw(&case, samples, 41, None);
        assert_eq!((drawn.configurations.len(), drawn.log_p.len()), (samples, samples));
        let counts = counts(&case, &drawn.configurations);
        let seen = chance(&counts, &p);
        println!("{}: {seen}", case.name);
        assert!(seen > LEAST_CHANCE, "{}: frequencies are not those of P, chance {seen:e}", case.name);

        // The same test rejects the P of other weights, and P with two states exchanged.
        let other = probabilities(&case, 2);
        assert!(chance(&counts, &other) < LEAST_CHANCE, "{}: two wave functions look the same", case.name);
        let mut order: Vec<usize> = (0..p.len()).collect();
        order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
        let mut swapped = p.clone();
        swapped.swap(order[0], order[order.len() / 2]);
        assert!(chance(&counts, &swapped) < LEAST_CHANCE, "{}: exchanged states are not noticed", case.name);
    }
}

#[test]
fn samples_come_with_their_log_probabilities() {
    for case in cases() {
        let log_p = case.log_p(1);
        let drawn = draw(&case, 700, 3, None);
        assert_eq!(drawn.normalized, case.is_normalized());
        let constant = case.constant(drawn.log_p[0], log_p[index(&drawn.configurations[0])]);
        for (configuration, own) in drawn.configurations.iter().zip(&drawn.log_p) {
            let (own, expected) = (own + constant, log_p[index(configuration)]);
            assert!((own - expected).abs() < 1e-5, "{}: {configuration:?} {own} {expected}", case.name);
        }
    }
}

#[test]
fn samples_depend_on_the_seed_alone() {
    for case in kinds() {
        let drawn = draw(&case, 2100, 9, None);
        let few = draw(&case, 1100, 9, None);
        assert_eq!(few.configurations, drawn.configurations[..1100], "{}: fewer samples differ", case.name);
        assert_eq!(few.log_p, drawn.log_p[..1100]);
        // The smallest budget, with which 1024 samples are drawn in several groups.
        let weights = case.weights(1);
        let least = least_memory(|memory| {
            let config = SampleConfig { samples: 1024, seed: 0 };
            case.state(&weights).with_memory(Some(memory)).sample(config).err()
        });
        assert_eq!(draw(&case, 2100, 9, Some(least)), drawn, "{}: a smaller budget draws others", case.name);
        assert_ne!(draw(&case, 2100, 10, None), drawn, "{}: another seed draws the same", case.name);
        assert_ne!(drawn.configurations[..1024], drawn.configurations[1024..2048], "{}: chunks repeat", case.name);
    }
}
