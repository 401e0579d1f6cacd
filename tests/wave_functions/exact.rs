//! Exact draws of unnormalized wave functions from all of their amplitudes, with powers of |ψ| that are fixed or follow
//! the gradient.

use ketformer::model::{Model, Ptf, Rbm, Vit};
use ketformer::physics::{Hamiltonian, Heisenberg, Lattice, Patch, Tfim};
use ketformer::vmc::{
    Optimizer, Sampling, SamplingPower, SharedConfig, StepReport, StochasticReconfiguration, TrainConfig, Trainer,
};

use super::cases::gpu;

/// λ far above all eigenvalues of the Gram matrix, so that a step is one along the negative gradient.
const LARGE: f64 = 1e5;

fn config(sampling: Sampling, power: SamplingPower) -> TrainConfig {
    let settings = StochasticReconfiguration { sampling_power: power, ..StochasticReconfiguration::default() };
    TrainConfig {
        samples: 400,
        sampling,
        optimizer: Optimizer::StochasticReconfiguration(settings.with_lambda(LARGE)),
        learning_rate: 10.0,
        seed: 5,
        ..TrainConfig::default()
    }
}

/// Settings with an adaptive power, whose steps lower the energy.
fn adaptive(sampling: Sampling) -> TrainConfig {
    let settings = StochasticReconfiguration { sampling_power: SamplingPower::Adaptive, ..Default::default() };
    TrainConfig {
        optimizer: Optimizer::StochasticReconfiguration(settings),
        learning_rate: 0.05,
        ..config(sampling, SamplingPower::Adaptive)
    }
}

/// What a trainer is built from.
type WaveFunction = (Lattice, Box<dyn Model>, Box<dyn Hamiltonian>);

/// A complex wave function whose configurations have symmetries, and a real one without.
fn wave_functions() -> [WaveFunction; 2] {
    let vit = Vit { patch: Patch::Line(1), width: 8, heads: 2, layers: 1, ..Vit::default() };
    [
        (Lattice::chain(8).periodic(), Box::new(vit), Box::new(Heisenberg { marshall: true, ..Heisenberg::default() })),
        (Lattice::square(2, 3), Box::new(Rbm::default()), Box::new(Tfim::default())),
    ]
}

/// Report of the first step with `seed`, and its update of the parameters from weights that do not depend on it.
fn step(wave_function: &WaveFunction, config: &TrainConfig, seed: u64) -> (StepReport, Vec<f64>) {
    let (lattice, model, hamiltonian) = wave_function;
    let weights = |seed| {
        let config = TrainConfig { seed, ..config.clone() };
        Trainer::new(gpu(), lattice, &**hamiltonian, &**model, config).unwrap()
    };
    let mut start = weights(1).weights().unwrap();
    // Amplitudes differ by more than those of initial weights.
    start.tensors.values_mut().for_each(|tensor| tensor.values.iter_mut().for_each(|value| *value *= 1.5));
    let mut trainer = weights(seed);
    trainer.set_weights(&start).unwrap();
    let report = trainer.steps(1).next().unwrap().unwrap();
    let after = trainer.weights().unwrap();
    let pairs = start.tensors.values().zip(after.tensors.values());
    let update = pairs.flat_map(|(a, b)| a.values.iter().zip(&b.values).map(|(a, b)| f64::from(*b) - f64::from(*a)));
    (report, update.collect())
}

fn distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f64>()
}

/// Over many batches, energies and gradients of samples of any power are those of the full sum.
#[test]
fn energies_and_gradients_are_unbiased_for_any_power() {
    const BATCHES: u64 = 24;
    for wave_function in wave_functions() {
        let (exact, gradient) = step(&wave_function, &config(Sampling::FullSum, SamplingPower::default()), 2);
        for power in [2.0, 0.6] {
            let config = config(Sampling::Exact, SamplingPower::Fixed(power));
            let batches: Vec<_> = (0..BATCHES).map(|seed| step(&wave_function, &config, 10 + seed)).collect();
            let count = BATCHES as f64;
            let mean = batches.iter().map(|(report, _)| report.energy).sum::<f64>() / count;
            let error = batches.iter().map(|(report, _)| report.energy_error.powi(2)).sum::<f64>().sqrt() / count;
            let name = wave_function.1.name();
            println!("{name}, power {power}: {mean} ± {error} of {}", exact.energy);
            assert!((mean - exact.energy).abs() < 4.0 * error, "{name} {power}: {mean} ± {error} of {}", exact.energy);
            let updates: Vec<f64> = (0..gradient.len())
                .map(|at| batches.iter().map(|(_, update)| update[at]).sum::<f64>() / count)
                .collect();
            let spread = batches.iter().map(|(_, update)| distance(update, &updates)).sum::<f64>() / (count - 1.0);
            let (apart, size) = (distance(&updates, &gradient), distance(&gradient, &vec![0.0; gradient.len()]));
            println!("  gradient {size:e}, apart {apart:e}, expected {:e}", spread / count);
            assert!(apart < 4.0 * spread / count, "{name} {power}: {apart:e}, {:e}", spread / count);
            assert!(size > 20.0 * spread / count, "{name} {power}: the gradient is lost in noise");
            assert!(batches.iter().all(|(report, _)| report.acceptance.is_none() && report.accepted));
        }
    }
}

/// The power begins at 2, follows the gradient, is reported, and continues after a restart to the same bits.
#[test]
fn an_adaptive_power_moves_and_is_restored() {
    for (lattice, model, hamiltonian) in wave_functions() {
        let config = adaptive(Sampling::Exact);
        let new = || Trainer::new(gpu(), &lattice, &*hamiltonian, &*model, config.clone()).unwrap();
        let mut whole = new();
        let powers: Vec<f64> = whole.steps(6).map(|report| report.unwrap().sampling_power.unwrap()).collect();
        println!("{}: {powers:?}", model.name());
        assert_eq!(powers[0], 2.0);
        assert!(powers.windows(2).all(|two| (two[1] - two[0]).abs() < 0.1001 && two[1] >= 0.2 && two[1] <= 2.0));
        assert!(powers.iter().any(|power| *power < 1.99), "{powers:?}");
        let mut second = new();
        second.restore(&whole.checkpoint().unwrap()).unwrap();
        for trainer in [&mut whole, &mut second] {
            trainer.steps(2).for_each(|report| assert!(report.unwrap().sampling_power.unwrap() < 2.0));
        }
        assert!(whole.weights().unwrap() == second.weights().unwrap(), "{}", model.name());
    }
}

/// Markov chains and Adam accept what exact draws accept.
#[test]
fn exact_draws_train_with_adam_and_adaptive_powers_with_chains() {
    for (lattice, model, hamiltonian) in wave_functions() {
        let adam = TrainConfig {
            optimizer: Optimizer::Adam,
            learning_rate: 1e-2,
            ..config(Sampling::Exact, SamplingPower::default())
        };
        let mut trainer = Trainer::new(gpu(), &lattice, &*hamiltonian, &*model, adam).unwrap();
        let energies: Vec<f64> = trainer.steps(20).map(|report| report.unwrap().energy).collect();
        assert!(energies[19] < energies[0], "{}: {energies:?}", model.name());
        let mut trainer = Trainer::new(gpu(), &lattice, &*hamiltonian, &*model, adaptive(Sampling::Own)).unwrap();
        let powers: Vec<f64> = trainer.steps(8).map(|report| report.unwrap().sampling_power.unwrap()).collect();
        assert!(powers.iter().any(|power| *power < 2.0), "{}: {powers:?}", model.name());
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let refusal = |lattice: &Lattice, model: &dyn Model, config: TrainConfig| {
        Trainer::new(gpu(), lattice, &Tfim::default(), model, config).err().expect("refused").to_string()
    };
    let exact = config(Sampling::Exact, SamplingPower::default());
    let message = refusal(&Lattice::square(2, 2), &Ptf::default(), exact.clone());
    assert!(message.contains("leave sampler out"), "{message}");
    let message = refusal(&Lattice::square(2, 2), &Ptf::default(), config(Sampling::Own, SamplingPower::Adaptive));
    assert!(message.contains("leave sampling_power out"), "{message}");
    let message = refusal(&Lattice::square(5, 5), &Rbm::default(), exact);
    assert!(message.contains("25 sites"), "{message}");
    let (lattice, model, hamiltonian) = &wave_functions()[1];
    let adaptive = config(Sampling::Exact, SamplingPower::Adaptive);
    let mut trainer = Trainer::new(gpu(), lattice, &**hamiltonian, &**model, adaptive).unwrap();
    let message = trainer.share(&SharedConfig::default()).unwrap_err().to_string();
    assert!(message.contains("sampling_power 2"), "{message}");
    let message = trainer.set_hamiltonian(&Tfim { h: 2.0, ..Tfim::default() }).unwrap_err().to_string();
    assert!(message.contains("symmetries"), "{message}");
}
