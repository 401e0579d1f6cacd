//! Training by a sum over all configurations: exact energies and gradients, whatever the symmetries of the network.

use ketformer::model::{Ptf, Vit};
use ketformer::physics::{Hamiltonian, Heisenberg, Lattice, Patch, Tfim};
use ketformer::vmc::{
    Optimizer, Sampling, SamplingPower, SharedConfig, StepReport, StochasticReconfiguration, TrainConfig, Trainer,
    enumerated_configurations,
};

use super::cases::{Case, cases, gpu};
use super::energy::{exact_local, expectation, state};

fn config(settings: StochasticReconfiguration) -> TrainConfig {
    TrainConfig {
        sampling: Sampling::FullSum,
        optimizer: Optimizer::StochasticReconfiguration(settings),
        learning_rate: 0.05,
        seed: 5,
        ..TrainConfig::default()
    }
}

/// All cases of few configurations with their Hamiltonians, and a ring with symmetries.
fn small() -> Vec<(Case, &'static dyn Hamiltonian)> {
    let count = |case: &Case| enumerated_configurations(&*case.model, &case.lattice, case.hamiltonian());
    let small = cases().into_iter().filter(|case| count(case).is_ok_and(|count| count <= 300));
    let with_hamiltonian = |case: Case| {
        let hamiltonian = case.hamiltonian();
        (case, hamiltonian)
    };
    let mut small: Vec<_> = small.map(with_hamiltonian).collect();
    assert!(small.len() > 10, "{} cases", small.len());
    let ring = Case { name: "vit, ring of 8", lattice: ring(), model: Box::new(vit()), amplitude: 0.4 };
    small.push((ring, &Heisenberg { j1: 1.0, j2: 0.0, marshall: true }));
    small
}

fn ring() -> Lattice {
    Lattice::chain(8).periodic()
}

fn vit() -> Vit {
    Vit { patch: Patch::Line(1), width: 8, heads: 2, layers: 1, ..Vit::default() }
}

fn trainer(case: &Case, hamiltonian: &dyn Hamiltonian, config: TrainConfig) -> Trainer {
    let mut trainer = Trainer::new(gpu(), &case.lattice, hamiltonian, &*case.model, config).unwrap();
    trainer.set_weights(&case.weights(1)).unwrap();
    trainer
}

fn next(trainer: &mut Trainer) -> StepReport {
    trainer.steps(1).next().unwrap().unwrap()
}

/// The energy and its variance are those of the amplitudes of all configurations.
#[test]
fn energies_are_those_of_all_amplitudes() {
    let mut with_symmetries = 0;
    for (case, hamiltonian) in small() {
        let state = state(&case.amplitudes(1));
        let terms = hamiltonian.terms(&case.lattice).unwrap();
        let [real, imaginary] = exact_local(&terms, &state);
        let energy = expectation(&state, &real);
        let squares: Vec<f64> =
            real.iter().zip(&imaginary).map(|(re, im)| (re - energy).powi(2) + im.powi(2)).collect();
        let variance = expectation(&state, &squares) - expectation(&state, &imaginary).powi(2);
        let report = next(&mut trainer(&case, hamiltonian, config(StochasticReconfiguration::default())));
        let tolerance = 2e-6 * terms.bound();
        assert!((report.energy - energy).abs() < tolerance, "{}: {} of {energy}", case.name, report.energy);
        assert!((report.variance - variance).abs() < 1e-3 * variance, "{}: {} {variance}", case.name, report.variance);
        assert!(report.energy_error == 0.0 && report.acceptance.is_none() && report.accepted, "{report:?}");
        let count = enumerated_configurations(&*case.model, &case.lattice, hamiltonian).unwrap();
        assert_eq!(report.unique as usize, count, "{}", case.name);
        let states = state[0].iter().zip(&state[1]).filter(|(re, im)| re.hypot(**im) > 0.0).count();
        with_symmetries += usize::from(count < states);
    }
    assert!(with_symmetries > 0, "no case has symmetries");
}

/// With λ far above all eigenvalues of the Gram matrix, a step is one along the negative gradient, −τ g/λ, and lowers
/// the energy by τ |g|²/λ.
#[test]
fn steps_descend_along_the_gradient_of_the_energy() {
    for (case, hamiltonian) in small() {
        let lambda = 1e5;
        let start =
            next(&mut trainer(&case, hamiltonian, config(StochasticReconfiguration::default().with_lambda(lambda))));
        let square = start.gradient_norm.powi(2);
        // A thousandth of the energy, a step of norm 10⁻², or the largest rate.
        let length = (1e-3 * start.energy.abs() / square).min(1e-2 / start.gradient_norm).min(900.0 / lambda);
        let settings = StochasticReconfiguration::default().with_lambda(lambda);
        let mut trainer =
            trainer(&case, hamiltonian, TrainConfig { learning_rate: length * lambda, ..config(settings) });
        let [before, after] = [next(&mut trainer), next(&mut trainer)].map(|report| report.energy);
        let (fall, expected) = (before - after, length * square);
        println!("{}: {fall} of {expected}", case.name);
        assert!((fall - expected).abs() < 0.1 * expected, "{}: {fall} instead of {expected}", case.name);
    }
}

/// A ring of eight spins by a transformer of momentum zero, with Marshall signs: 10 necklaces instead of 70
/// configurations, down to the ground state.
#[test]
fn the_ground_state_of_a_ring_is_reached_without_noise() {
    let (lattice, vit) = (ring(), vit());
    let hamiltonian = Heisenberg { marshall: true, ..Heisenberg::default() };
    assert_eq!(enumerated_configurations(&vit, &lattice, &hamiltonian).unwrap(), 10);
    let settings = StochasticReconfiguration::default().with_lambda(1e-4);
    let mut trainer = Trainer::new(gpu(), &lattice, &hamiltonian, &vit, config(settings)).unwrap();
    let reports: Vec<StepReport> = trainer.steps(120).map(Result::unwrap).collect();
    // Bethe ansatz: E = −3.651093408937 for 8 sites.
    let last = reports.last().unwrap();
    println!("{last:?}");
    assert!((last.energy + 3.651_093_408_9).abs() < 1e-4, "{last:?}");
    assert!(reports.iter().all(|report| report.energy > -3.651_094 - 1e-5), "{reports:?}");
}

#[test]
fn a_restored_trainer_continues_to_the_same_bits() {
    for (case, hamiltonian) in small() {
        let settings = StochasticReconfiguration { momentum: 0.9, ..StochasticReconfiguration::default() };
        let mut whole = trainer(&case, hamiltonian, config(settings));
        next(&mut whole);
        let checkpoint = whole.checkpoint().unwrap();
        assert!(checkpoint.chains.is_empty(), "{}", case.name);
        next(&mut whole);
        let mut second = trainer(&case, hamiltonian, config(settings));
        second.restore(&checkpoint).unwrap();
        next(&mut second);
        assert!(whole.weights().unwrap() == second.weights().unwrap(), "{}", case.name);
    }
}

#[test]
fn what_cannot_be_summed_is_refused() {
    let case = cases().swap_remove(0);
    let settings = StochasticReconfiguration::default();
    let refusal = |config| {
        Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config).err().expect("refused").to_string()
    };
    let adam = TrainConfig { optimizer: Optimizer::Adam, ..config(settings) };
    assert!(refusal(adam).contains("requires stochastic reconfiguration"));
    let power = StochasticReconfiguration { sampling_power: SamplingPower::Fixed(1.0), ..settings };
    assert!(refusal(config(power)).contains("leave sampling_power out"));
    let ptf = Ptf { patch: Patch::Block([5, 1]), ..Ptf::default() };
    let mut trainer = Trainer::new(gpu(), &ring(), &Heisenberg::default(), &vit(), config(settings)).unwrap();
    let message = trainer.set_hamiltonian(&Heisenberg { j1: 2.0, ..Heisenberg::default() }).unwrap_err().to_string();
    assert!(message.contains("symmetries"), "{message}");
    let message = trainer.share(&SharedConfig::default()).unwrap_err().to_string();
    assert!(message.contains("full sum has none"), "{message}");
    let large = Trainer::new(gpu(), &Lattice::square(5, 5), &Tfim::default(), &ptf, config(settings));
    let message = large.err().expect("25 sites are refused").to_string();
    assert!(message.contains("25 sites") && message.contains("smaller lattice"), "{message}");
}
