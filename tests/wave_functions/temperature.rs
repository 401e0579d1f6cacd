//! Training at a temperature: the minimum of the free energy is the Boltzmann distribution of a diagonal Hamiltonian.

use ketformer::model::{Metropolis, Model, Ptf, Rbm};
use ketformer::physics::{Hamiltonian, Lattice, Patch, Tfim};
use ketformer::vmc::{Annealing, Optimizer, SampleConfig, State, StochasticReconfiguration, TrainConfig, Trainer};

use super::cases::gpu;

/// ⟨E⟩ of an Ising chain at temperature T by a sum over all configurations.
fn boltzmann(lattice: &Lattice, ising: &Tfim, temperature: f64) -> f64 {
    let terms = ising.terms(lattice).unwrap();
    let energy = |s: usize| terms.diagonal(&(0..lattice.sites()).map(|i| (s >> i & 1) as u8).collect::<Vec<u8>>());
    let energies: Vec<f64> = (0..1 << lattice.sites()).map(energy).collect();
    let weights: Vec<f64> = energies.iter().map(|energy| (-energy / temperature).exp()).collect();
    energies.iter().zip(&weights).map(|(e, w)| e * w).sum::<f64>() / weights.iter().sum::<f64>()
}

/// An autoregressive wave function and one of Markov chains, whose log P has an unknown constant, with both optimizers
/// and with samples that are computed once or one by one.
#[test]
fn a_diagonal_hamiltonian_is_in_thermal_equilibrium() {
    let lattice = Lattice::chain(4);
    let ising = Tfim { h: 0.0, ..Tfim::default() };
    let ptf = Ptf { patch: Patch::Line(2), width: 16, heads: 2, layers: 1, feed_forward: 16, ..Ptf::default() };
    let rbm = Rbm { alpha: 2.0, sampling: Metropolis { sweeps: 4, burn_in: 10, ..Metropolis::default() } };
    let sr = Optimizer::StochasticReconfiguration(StochasticReconfiguration::default().with_lambda(1e-2));
    let temperature = 1.7;
    let exact = boltzmann(&lattice, &ising, temperature);
    for (model, optimizer, learning_rate, unique) in [
        (&ptf as &dyn Model, Optimizer::Adam, 0.01, true),
        (&ptf, Optimizer::Adam, 0.01, false),
        (&ptf, sr, 0.1, true),
        (&rbm, Optimizer::Adam, 0.02, true),
        (&rbm, sr, 0.1, true),
    ] {
        let annealing = Annealing { start: temperature, end: temperature, steps: 1 };
        let config = TrainConfig {
            samples: 256,
            optimizer,
            learning_rate,
            annealing,
            unique,
            seed: 1,
            ..TrainConfig::default()
        };
        let mut trainer = Trainer::new(gpu(), &lattice, &ising, model, config).unwrap();
        let last = trainer.steps(200).map(Result::unwrap).last().unwrap();
        assert_eq!(last.temperature, Some(temperature));
        let weights = trainer.weights().unwrap();
        let amplitudes = State::new(gpu(), &lattice, model, &weights).full_sum().unwrap();
        let terms = ising.terms(&lattice).unwrap();
        let found = ketformer::run::Enumeration::new(&terms, &lattice, &amplitudes).unwrap().observables.energy;
        println!("{} {optimizer:?}: {found} is {exact}", model.name());
        assert!((found - exact).abs() < 0.06 * exact.abs(), "{}: {found} is not {exact}", model.name());
    }
    // Without a temperature, the same run ends in a ground state.
    let config = TrainConfig { samples: 256, learning_rate: 0.01, seed: 1, ..TrainConfig::default() };
    let mut trainer = Trainer::new(gpu(), &lattice, &ising, &ptf, config).unwrap();
    let last = trainer.steps(200).map(Result::unwrap).last().unwrap();
    assert!(last.energy < exact - 0.3 && last.temperature.is_none(), "{last:?}");
}

/// Samples of a single configuration have no error bar, unless they are an eigenstate.
#[test]
fn a_collapsed_wave_function_has_no_error_bar() {
    let lattice = Lattice::chain(4);
    let ptf = Ptf { patch: Patch::Line(2), width: 8, heads: 2, layers: 1, feed_forward: 8, ..Ptf::default() };
    let mut weights = ptf.layout(&lattice).unwrap().initial(1);
    // The bias of the logits makes both patches empty.
    let bias = &mut weights.tensors.get_mut("lin.2.bias").unwrap().values;
    bias[0] += 60.0;
    let state = State::new(gpu(), &lattice, &ptf, &weights);
    let config = SampleConfig { samples: 300, seed: 1 };
    let found = state.expect(&Tfim::default(), config).unwrap();
    assert!(found.concentration.is_collapsed() && found.concentration.mode == [0; 4]);
    assert!(found.energy_error.is_nan() && found.variance.is_nan() && found.v_score.is_nan());
    assert!(found.observables.density().error.is_nan() && found.observables.density().value == 0.0);
    let found = state.expect(&Tfim { h: 0.0, ..Tfim::default() }, config).unwrap();
    assert!(!found.concentration.is_collapsed() && found.energy_error == 0.0 && found.variance == 0.0);

    for (h, unique) in [(1.0, true), (1.0, false), (0.0, true)] {
        let config = TrainConfig { samples: 64, learning_rate: 1e-6, unique, ..TrainConfig::default() };
        let mut trainer = Trainer::new(gpu(), &lattice, &Tfim { h, ..Tfim::default() }, &ptf, config).unwrap();
        trainer.set_weights(&weights).unwrap();
        let report = trainer.steps(1).next().unwrap().unwrap();
        assert_eq!(report.energy_error.is_nan() && report.variance.is_nan(), h != 0.0, "{report:?}");
        assert_eq!(trainer.last_configuration().unwrap().unwrap(), [0; 4]);
    }
}
