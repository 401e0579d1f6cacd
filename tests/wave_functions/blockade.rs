//! Wave functions in the subspace of a blockade: normalization, samples, local energies, gradients and training.

use ketformer::gpu::Gpu;
use ketformer::model::{Blockaded, Lptf, Model, Ptf, Rnn, Subsampler};
use ketformer::physics::{Blockade, Hamiltonian, Lattice, Patch, Rydberg, ground_state};
use ketformer::run::Enumeration;
use ketformer::vmc::{Optimizer, SampleConfig, State, StochasticReconfiguration, TrainConfig, Trainer};
use ketformer::{ErrorKind, Rbm};

use super::cases::gpu;

const PERIODIC: Lattice = Lattice { periodic: [true, false], ..Lattice::square(3, 4) };

/// Wave functions of each autoregressive family, with patches within which sites conflict and which wrap around.
fn models() -> Vec<(Box<dyn Model>, Lattice)> {
    let ptf = |patch| Ptf { patch, width: 16, heads: 2, layers: 1, feed_forward: 16, ..Ptf::default() };
    let rnn = |patch| Rnn { patch, width: 16, ..Rnn::default() };
    let lptf = Lptf { transformer: ptf(Patch::Block([3, 2])), subsampler: Subsampler::Rnn(rnn(Patch::Block([1, 2]))) };
    vec![
        (Box::new(ptf(Patch::Block([1, 2]))), PERIODIC),
        (Box::new(Ptf { phase: true, ..ptf(Patch::Line(3)) }), Lattice::square(3, 3)),
        (Box::new(rnn(Patch::Line(1))), Lattice::chain(9)),
        (Box::new(rnn(Patch::Line(9))), Lattice::chain(9)),
        (Box::new(lptf), Lattice::square(3, 4)),
    ]
}

fn blockaded(model: Box<dyn Model>, radius: f64) -> Blockaded {
    Blockaded { model, radius }
}

/// Of all configurations, exactly those of the blockade are drawn, their probabilities add up to 1, and energies are
/// those of the exact Hamiltonian of the subspace.
#[test]
fn probabilities_and_energies_are_those_of_the_subspace() {
    for ((model, lattice), radius) in models().into_iter().zip([1.0, 1.5, 2.0, 1.0, 1.0]) {
        let name = format!("{} {lattice} radius {radius}", model.name());
        let model = blockaded(model, radius);
        let hamiltonian = Blockade { hamiltonian: Rydberg { v: 1e6, delta: 1.5, omega: 1.0 }, radius };
        let terms = hamiltonian.terms(&lattice).unwrap();
        let weights = model.layout(&lattice).unwrap().initial(3);
        let state = State::new(gpu(), &lattice, &model, &weights);
        let amplitudes = state.full_sum().unwrap();
        let configuration = |s: usize| (0..lattice.sites()).map(|i| (s >> i & 1) as u8).collect::<Vec<u8>>();
        for (s, log_p) in amplitudes.log_p.iter().enumerate() {
            assert_eq!(log_p.is_finite(), terms.admits(&configuration(s)), "{name}: {s:b} {log_p}");
        }
        let all = Enumeration::new(&terms, &lattice, &amplitudes).unwrap();
        assert!((all.total - 1.0).abs() < 1e-5, "{name}: Σ P = {}", all.total);
        let config = SampleConfig { samples: 2000, seed: 4 };
        let drawn = state.sample(config).unwrap();
        assert!(drawn.configurations.iter().all(|config| terms.admits(config)), "{name}");
        let found = state.expect(&hamiltonian, config).unwrap();
        let (energy, error) = (all.observables.energy, found.energy_error);
        println!("{name}: {} ± {error} is {energy}", found.energy);
        assert!(
            (found.energy - energy).abs() < 5.0 * error && error < 0.2 * energy.abs(),
            "{name}: {found:?} {energy}"
        );
    }
}

/// Training with both optimizers reaches the ground state of the subspace, which gradients of excluded outcomes would
/// prevent.
#[test]
fn training_reaches_the_ground_state_of_the_subspace() {
    let sr = Optimizer::StochasticReconfiguration(StochasticReconfiguration::default().with_lambda(1e-2));
    let of = |at: usize| models().swap_remove(at);
    for ((model, lattice), optimizer, learning_rate) in
        [(of(0), Optimizer::Adam, 0.01), (of(3), sr, 0.1), (of(4), Optimizer::Adam, 0.01)]
    {
        let name = format!("{} {lattice}", model.name());
        let model = blockaded(model, 1.0);
        let hamiltonian = Blockade { hamiltonian: Rydberg { v: 1e6, delta: 0.5, omega: 2.0 }, radius: 1.0 };
        // Without the far interactions the ground state is smooth.
        let hamiltonian = Blockade { hamiltonian: Rydberg { v: 1e-3, ..hamiltonian.hamiltonian }, ..hamiltonian };
        let exact = ground_state(&hamiltonian.terms(&lattice).unwrap(), lattice.sites()).unwrap().energy;
        let config = TrainConfig { samples: 128, optimizer, learning_rate, seed: 2, ..TrainConfig::default() };
        let mut trainer = Trainer::new(gpu(), &lattice, &hamiltonian, &model, config).unwrap();
        let reports: Vec<_> = trainer.steps(200).map(Result::unwrap).collect();
        let energy = reports[175..].iter().map(|report| report.energy).sum::<f64>() / 25.0;
        println!("{name}: {energy} is {exact}");
        assert!((energy - exact).abs() < 0.02 * exact.abs(), "{name}: {energy} {exact}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let lattice = Lattice::chain(9);
    let message = |gpu: &Gpu, hamiltonian: &dyn Hamiltonian, model: &dyn Model| {
        let error = Trainer::new(gpu, &lattice, hamiltonian, model, TrainConfig::default()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Settings);
        error.to_string()
    };
    let rnn = || Rnn { width: 16, ..Rnn::default() };
    let near = Blockade { hamiltonian: Rydberg::default(), radius: 1.0 };
    assert!(message(gpu(), &near, &rnn()).contains("Blockaded"));
    let far = Blockade { radius: 2.0, ..near };
    assert!(message(gpu(), &far, &blockaded(Box::new(rnn()), 1.0)).contains("Blockaded"));
    assert!(message(gpu(), &near, &blockaded(Box::new(Rbm::default()), 1.0)).contains("Markov chains"));
    let model = blockaded(Box::new(rnn()), 1.0);
    let weights = model.layout(&lattice).unwrap().initial(1);
    let state = State::new(gpu(), &lattice, &model, &weights);
    let error = state.local_energies(&near, &[vec![1, 1, 0, 0, 0, 0, 0, 0, 0]]).unwrap_err().to_string();
    assert!(error.contains("sites 0 and 1"), "{error}");
}
