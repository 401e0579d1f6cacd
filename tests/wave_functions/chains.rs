//! Properties of the wave functions that are sampled by Markov chains, which are known up to a factor.

use ketformer::model::{Metropolis, Proposal, Rbm, Weights};
use ketformer::physics::{Hamiltonian, Lattice, Rydberg};
use ketformer::vmc::{FROZEN, Likelihood, MIXED, SampleConfig, State, TrainConfig, Trainer};
use ketformer::{ErrorKind, Model};

use super::cases::{cases, gpu, index};
use super::chi_squared::chance;
use super::hamiltonians::{EXCHANGE, ISING};
use super::sampling::LEAST_CHANCE;

fn machine(sampling: Metropolis) -> Rbm {
    Rbm { alpha: 1.5, sampling }
}

/// Generic weights of `rbm`, times `scale`.
fn weights(rbm: &Rbm, lattice: &Lattice, scale: f32) -> Weights {
    let mut weights = rbm.layout(lattice).unwrap().initial(4);
    weights.tensors.values_mut().flat_map(|tensor| &mut tensor.values).for_each(|value| *value *= scale);
    weights
}

/// Acceptance of the last of a few training steps, and chain report of an evaluation. A tiny learning rate keeps the
/// weights fixed.
fn acceptances(rbm: &Rbm, scale: f32) -> (f64, ketformer::vmc::ChainReport) {
    let lattice = Lattice::square(3, 3);
    let weights = weights(rbm, &lattice, scale);
    let config = TrainConfig { samples: 200, learning_rate: 1e-9, ..TrainConfig::default() };
    let mut trainer = Trainer::new(gpu(), &lattice, &Rydberg::default(), rbm, config).unwrap();
    trainer.set_weights(&weights).unwrap();
    let last = trainer.steps(5).last().unwrap().unwrap();
    let config = SampleConfig { samples: 2000, ..SampleConfig::default() };
    let estimate = State::new(gpu(), &lattice, rbm, &weights).expect(&Rydberg::default(), config).unwrap();
    (last.acceptance.unwrap(), estimate.chains.unwrap())
}

#[test]
fn frozen_chains_are_reported() {
    let rbm = machine(Metropolis { chains: Some(100), ..Metropolis::default() });
    let (moving, report) = acceptances(&rbm, 2.0);
    println!("{moving} {report:?}");
    assert!(moving > 0.5 && report.acceptance > 0.5, "{moving} {report:?}");
    assert_eq!((report.chains, report.frozen), (100, 0));
    assert!(report.r_hat.unwrap() < MIXED, "{report:?}");
    let (frozen, report) = acceptances(&rbm, 2000.0);
    println!("{frozen} {report:?}");
    assert!(frozen < FROZEN && report.acceptance < FROZEN, "{frozen} {report:?}");
    assert!(report.frozen > 90, "{report:?}");
    assert!(report.r_hat.unwrap() > 2.0 * MIXED, "{report:?}");
}

/// With constant amplitudes every proposal is accepted, and one sweep is far too short for independent samples.
#[test]
fn acceptance_and_autocorrelation_are_those_of_a_random_walk() {
    let lattice = Lattice::chain(8);
    let rbm = machine(Metropolis { chains: Some(64), sweeps: 1, burn_in: 0, proposal: Proposal::Flip });
    let flat = weights(&rbm, &lattice, 0.0);
    // Local energies of these terms are Σ field n plus a constant. A flip of a random site leaves (1 − 2/N) of the
    // correlation and eight flips leave 0.1, so that τ = ½ (1 + 0.1)/(1 − 0.1).
    let config = SampleConfig { samples: 64_000, ..SampleConfig::default() };
    let estimate = State::new(gpu(), &lattice, &rbm, &flat).expect(&Field, config).unwrap();
    let report = estimate.chains.unwrap();
    let kept = 0.75f64.powi(8);
    let exact = 0.5 * (1.0 + kept) / (1.0 - kept);
    println!("{report:?}, exact {exact}");
    assert_eq!((report.acceptance, report.frozen), (1.0, 0));
    assert!((report.autocorrelation / exact - 1.0).abs() < 0.1, "{report:?}, exact {exact}");
    assert!((report.effective_samples * 2.0 * report.autocorrelation / 64_000.0 - 1.0).abs() < 1e-9);
    let error = (estimate.variance / report.effective_samples).sqrt();
    assert!((estimate.energy_error / error - 1.0).abs() < 1e-9);
    assert!((report.blocking_error / error - 1.0).abs() < 0.1 && report.block > 1, "{report:?}");
    assert!(report.r_hat.unwrap() < MIXED, "{report:?}");
    let above = estimate.energy - Field.terms(&lattice).unwrap().infinite_temperature_energy(None);
    assert!((estimate.v_score * above.powi(2) / (8.0 * estimate.variance) - 1.0).abs() < 1e-9);
}

/// Field on every site, and flips, which contribute a constant if the amplitudes are constant.
struct Field;

impl Hamiltonian for Field {
    fn name(&self) -> &'static str {
        "field"
    }

    fn terms(&self, lattice: &Lattice) -> ketformer::Result<ketformer::physics::Terms> {
        let terms = ISING.terms(lattice)?;
        Ok(ketformer::physics::Terms { field: vec![1.0; lattice.sites()], pairs: Vec::new(), ..terms })
    }
}

/// p-value of the frequencies of the drawn states under P(σ) ∝ ψ(σ)² on the states of `sector`.
pub fn chance_of(drawn: &[Vec<u8>], log_p: &[f64], sector: impl Fn(usize) -> bool) -> f64 {
    let mut counts = vec![0; log_p.len()];
    drawn.iter().for_each(|configuration| counts[index(configuration)] += 1);
    let states: Vec<usize> = (0..log_p.len()).filter(|state| sector(*state)).collect();
    let total: f64 = states.iter().map(|state| log_p[*state].exp()).sum();
    let counts: Vec<u64> = states.iter().map(|state| counts[*state]).collect();
    assert_eq!(counts.iter().sum::<u64>(), drawn.len() as u64, "a configuration outside the sector was drawn");
    chance(&counts, &states.iter().map(|state| log_p[*state].exp() / total).collect::<Vec<f64>>())
}

/// Exchanges stay in the sector with half of the sites occupied and sample P.
#[test]
fn exchanges_keep_the_number_of_excitations() {
    let lattice = Lattice::square(4, 3);
    let rbm = machine(Metropolis { sweeps: 20, proposal: Proposal::Exchange, ..Metropolis::default() });
    let weights = weights(&rbm, &lattice, 8.0);
    let drawn = State::new(gpu(), &lattice, &rbm, &weights).sample(SampleConfig::default()).unwrap().configurations;
    let log_p = State::new(gpu(), &lattice, &rbm, &weights).full_sum().unwrap().log_p;
    let half = |state: usize| state.count_ones() == 6;
    let (of_p, flat) = (chance_of(&drawn, &log_p, half), chance_of(&drawn, &vec![0.0; log_p.len()], half));
    println!("{of_p} {flat}");
    assert!(of_p > LEAST_CHANCE, "chance {of_p:e}");
    assert!(flat < LEAST_CHANCE, "a flat distribution would pass as well");

    // A Hamiltonian that flips sites leaves the sector; one that exchanges them does not.
    let trainer =
        |hamiltonian: &dyn Hamiltonian| Trainer::new(gpu(), &lattice, hamiltonian, &rbm, TrainConfig::default()).err();
    let error = trainer(&Rydberg::default()).unwrap();
    assert!(error.kind() == ErrorKind::Settings && error.to_string().contains("proposal=flip"), "{error}");
    assert!(trainer(&EXCHANGE).is_none());
}

/// Several samples per chain follow the same distribution.
#[test]
fn chains_that_leave_several_samples_draw_the_same_distribution() {
    let lattice = Lattice::square(4, 3);
    let rbm = machine(Metropolis { chains: Some(50), sweeps: 20, ..Metropolis::default() });
    let weights = weights(&rbm, &lattice, 8.0);
    let config = SampleConfig { samples: 20_000, seed: 3 };
    let drawn = State::new(gpu(), &lattice, &rbm, &weights).sample(config).unwrap().configurations;
    let log_p = State::new(gpu(), &lattice, &rbm, &weights).full_sum().unwrap().log_p;
    let (of_p, flat) = (chance_of(&drawn, &log_p, |_| true), chance_of(&drawn, &vec![0.0; log_p.len()], |_| true));
    println!("{of_p} {flat}");
    assert!(of_p > LEAST_CHANCE, "chance {of_p:e}");
    assert!(flat < LEAST_CHANCE, "a flat distribution would pass as well");
}

/// Chains continue between steps: the configurations of a step are close to those of the previous step if a sweep
/// changes little.
#[test]
fn chains_go_on_between_steps() {
    let lattice = Lattice::chain(12);
    let rbm = machine(Metropolis { chains: Some(32), sweeps: 1, burn_in: 10, proposal: Proposal::Flip });
    let weights = weights(&rbm, &lattice, 4.0);
    let config = SampleConfig { samples: 1024, ..SampleConfig::default() };
    let drawn = State::new(gpu(), &lattice, &rbm, &weights).sample(config).unwrap().configurations;
    let apart = |a: usize, b: usize| -> f64 {
        let differ = |at: usize| drawn[a + at].iter().zip(&drawn[b + at]).filter(|(x, y)| x != y).count() as f64;
        (0..32).map(differ).sum::<f64>() / 32.0
    };
    let (next, far) = (apart(0, 32), apart(0, 32 * 30));
    println!("{next} {far}");
    assert!(next < 0.9 * far, "{next} sites after a sweep, {far} after thirty");
    assert!(next > 0.0);
}

/// Weights whose sum is not zero require the normalization.
#[test]
fn a_likelihood_that_needs_the_normalization_is_refused() {
    let unnormalised = cases().into_iter().filter(|case| !case.is_normalized()).collect::<Vec<_>>();
    assert!(!unnormalised.is_empty(), "no wave function of the table has Markov chains");
    for case in unnormalised {
        let configurations = case.some_configurations(4);
        let likelihood = Likelihood::new(&case.state(&case.weights(1)), &configurations).unwrap();
        let error = likelihood.descend(&[-0.25; 4], 1e-3).unwrap_err();
        assert!(error.kind() == ErrorKind::Settings && error.to_string().contains("sum 0"), "{error}");
        likelihood.descend(&[0.5, -0.25, 0.25, -0.5], 1e-3).unwrap();
    }
}

#[test]
fn settings_without_meaning_are_refused() {
    let lattice = Lattice::square(3, 3);
    for (rbm, part) in [
        (Rbm { alpha: 0.0, ..Rbm::default() }, "alpha=0"),
        (machine(Metropolis { sweeps: 0, ..Metropolis::default() }), "sweeps=0"),
        (machine(Metropolis { chains: Some(0), ..Metropolis::default() }), "chains=0"),
    ] {
        let error = Trainer::new(gpu(), &lattice, &Rydberg::default(), &rbm, TrainConfig::default()).err().unwrap();
        assert!(error.kind() == ErrorKind::Settings && error.to_string().contains(part), "{error}");
    }
}

/// Two distant peaks, all sites empty and all occupied, with nearly all of |ψ|² at the second. Chains from random
/// starts that sampled |ψ|² without annealing would end in both.
#[test]
fn chains_of_a_trained_wave_function_are_not_caught_where_it_is_small() {
    let lattice = Lattice::square(4, 4);
    let rbm = machine(Metropolis { chains: Some(512), ..Metropolis::default() });
    let mut weights = weights(&rbm, &lattice, 0.0);
    // log ψ = 0.3 Σ s + log cosh Σ s
    weights.tensors.get_mut("visible_bias").unwrap().values.fill(0.3);
    let kernel = weights.tensors.get_mut("Dense.kernel").unwrap();
    let hidden = kernel.shape[1];
    kernel.values.iter_mut().step_by(hidden).for_each(|weight| *weight = 1.0);
    let config = SampleConfig { samples: 512, ..SampleConfig::default() };
    let drawn = State::new(gpu(), &lattice, &rbm, &weights).sample(config).unwrap().configurations;
    let caught = drawn.iter().filter(|configuration| configuration.iter().filter(|n| **n == 1).count() < 8).count();
    println!("{caught} of {} at the small peak", drawn.len());
    assert!(20 * caught < drawn.len(), "{caught} of {}", drawn.len());
}
