//! Requests that a wave function cannot fulfill are refused with a remedy.

use ketformer::physics::{Heisenberg, Lattice, Rydberg};
use ketformer::vmc::{Likelihood, SampleConfig, State, TrainConfig, Trainer};
use ketformer::{Error, ErrorKind};

use super::cases::{Case, cases, gpu};

fn is_settings(error: &Error, part: &str) {
    assert_eq!(error.kind(), ErrorKind::Settings, "{error}");
    assert!(error.to_string().contains(part) && !error.to_string().contains('\n'), "{error}");
}

/// Ψ = √P cannot change sign, which a positive off-diagonal element would require.
#[test]
fn positive_amplitudes_are_refused() {
    let real = |case: &Case| !case.model.is_complex() && !case.model.conserves_magnetization();
    for case in cases().into_iter().filter(real) {
        let (lattice, model, weights) = (&case.lattice, &*case.model, case.weights(1));
        let frustrated = Heisenberg::default();
        let part = "positive off-diagonal";
        let trainer = Trainer::new(gpu(), lattice, &frustrated, model, TrainConfig::default());
        is_settings(&trainer.err().unwrap(), part);
        let estimate = State::new(gpu(), lattice, model, &weights).expect(&frustrated, SampleConfig::default());
        is_settings(&estimate.unwrap_err(), part);
        let configurations = case.some_configurations(2);
        let local = State::new(gpu(), lattice, model, &weights).local_energies(&frustrated, &configurations);
        is_settings(&local.unwrap_err(), part);
        let still = Rydberg { omega: 0.0, ..Rydberg::default() };
        Trainer::new(gpu(), lattice, &still, model, TrainConfig::default()).unwrap();
    }
}

#[test]
fn configurations_of_another_lattice_are_refused() {
    for case in cases() {
        let (lattice, model, weights) = (&case.lattice, &*case.model, case.weights(1));
        let sites = lattice.sites();
        for wrong in [vec![0; sites + 1], vec![0; sites - 1], vec![2; sites]] {
            let both = [vec![1; sites], wrong];
            let local = State::new(gpu(), lattice, model, &weights).local_energies(case.hamiltonian(), &both);
            is_settings(&local.unwrap_err(), &format!("{sites} occupations"));
            let likelihood = Likelihood::new(&State::new(gpu(), lattice, model, &weights), &both);
            is_settings(&likelihood.err().unwrap(), &format!("{sites} occupations"));
        }
        let likelihood =
            Likelihood::new(&State::new(gpu(), lattice, model, &weights), &case.some_configurations(3)).unwrap();
        is_settings(&likelihood.gradient(&[1.0, 2.0]).unwrap_err(), "2 weights for 3 configurations");
    }
}

/// Half of the sites must be occupied in configurations, and the Hamiltonian must conserve this.
#[test]
fn what_leads_out_of_a_sector_is_refused() {
    let cases: Vec<_> = cases().into_iter().filter(|case| case.model.conserves_magnetization()).collect();
    assert!(cases.len() > 3, "too few wave functions of the table have a sector");
    for case in cases {
        let (lattice, model, weights) = (&case.lattice, &*case.model, case.weights(1));
        let sites = lattice.sites();
        let part = if case.is_normalized() { "sector=all" } else { "proposal=flip" };
        let trainer = Trainer::new(gpu(), lattice, &Rydberg::default(), model, TrainConfig::default());
        is_settings(&trainer.err().unwrap(), part);
        let estimate = State::new(gpu(), lattice, model, &weights).expect(&Rydberg::default(), SampleConfig::default());
        is_settings(&estimate.unwrap_err(), part);
        for occupied in [0, sites / 2 - 1, sites / 2 + 1, sites] {
            let outside = (0..sites).map(|site| u8::from(site < occupied)).collect();
            let both = [case.configurations().remove(0), outside];
            let local = State::new(gpu(), lattice, model, &weights).local_energies(case.hamiltonian(), &both);
            let part = format!("{occupied} occupied sites");
            is_settings(&local.unwrap_err(), &part);
            is_settings(&Likelihood::new(&State::new(gpu(), lattice, model, &weights), &both).err().unwrap(), &part);
        }
        let odd = model.check(&Lattice::chain(9)).unwrap_err();
        assert_eq!(odd.kind(), ErrorKind::Settings, "{odd}");
    }
}

#[test]
fn weights_of_another_model_are_refused() {
    for case in cases() {
        let good = case.weights(1);
        let name = good.tensors.keys().next_back().unwrap().clone();
        let mut missing = good.clone();
        let mut tensor = missing.tensors.remove(&name).unwrap();
        let mut foreign = good.clone();
        foreign.tensors.insert("another".into(), tensor.clone());
        let mut not_finite = good.clone();
        not_finite.tensors.get_mut(&name).unwrap().values[0] = f32::NAN;
        tensor.shape.push(1);
        let mut reshaped = good.clone();
        reshaped.tensors.insert(name.clone(), tensor);
        let mut trainer =
            Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, TrainConfig::default()).unwrap();
        trainer.set_weights(&good).unwrap();
        for (wrong, named) in [(missing, &*name), (foreign, "another"), (not_finite, &*name), (reshaped, &*name)] {
            for error in [case.state(&wrong).full_sum().unwrap_err(), trainer.set_weights(&wrong).unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::Weights, "{error}");
                assert!(error.to_string().contains(named), "{error}");
            }
        }
        assert_eq!(trainer.weights().unwrap(), good, "{}: refused weights were written", case.name);
    }
}

#[test]
fn numbers_of_samples_without_meaning_are_refused() {
    let case = cases().remove(1);
    let (lattice, model, weights) = (&case.lattice, &*case.model, case.weights(1));
    let none = SampleConfig { samples: 0, ..SampleConfig::default() };
    is_settings(&State::new(gpu(), lattice, model, &weights).sample(none).unwrap_err(), "samples=1");
    let one = SampleConfig { samples: 1, ..SampleConfig::default() };
    is_settings(
        &State::new(gpu(), lattice, model, &weights).expect(&Rydberg::default(), one).unwrap_err(),
        "samples=2",
    );
    let one = TrainConfig { samples: 1, ..TrainConfig::default() };
    let trainer = Trainer::new(gpu(), lattice, &Rydberg::default(), model, one);
    is_settings(&trainer.err().unwrap(), "2 to");
}
