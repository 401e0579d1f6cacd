//! Stochastic reconfiguration in training: it is reproducible under any budget, lowers the energy, and rejects steps
//! that are not finite.

use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::vmc::{Optimizer, SamplingPower, StepReport, StochasticReconfiguration, TrainConfig, Trainer};

use super::cases::{Case, cases, gpu, kinds};
use super::energy::{exact_local, expectation, state};
use super::memory::least_memory;

const SAMPLES: usize = 130;

fn config(momentum: f64) -> TrainConfig {
    let settings = StochasticReconfiguration { momentum, ..StochasticReconfiguration::default() }.with_lambda(1e-2);
    TrainConfig {
        samples: SAMPLES,
        optimizer: Optimizer::StochasticReconfiguration(settings),
        learning_rate: 0.05,
        seed: 5,
        ..TrainConfig::default()
    }
}

fn trainer(case: &Case, config: TrainConfig) -> Trainer {
    let mut trainer = Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config).unwrap();
    trainer.set_weights(&case.weights(1)).unwrap();
    trainer
}

/// Takes `steps` steps. Returns their reports without times, and the final weights.
fn train(case: &Case, config: TrainConfig, steps: u64) -> (String, Weights) {
    let mut trainer = trainer(case, config);
    let timeless = |report: ketformer::Result<StepReport>| StepReport { seconds: 0.0, ..report.unwrap() };
    let reports: Vec<StepReport> = trainer.steps(steps).map(timeless).collect();
    assert_eq!(reports.len() as u64, steps);
    assert!(reports.iter().all(|report| report.accepted), "{}: {reports:?}", case.name);
    (format!("{reports:?}"), trainer.weights().unwrap())
}

#[test]
fn steps_are_the_same_under_any_budget_and_every_time() {
    for case in kinds() {
        let whole = train(&case, config(0.9), 2);
        assert!(whole == train(&case, config(0.9), 2), "{}: another run", case.name);
        let new = |memory| {
            let config = TrainConfig { memory: Some(memory), ..config(0.9) };
            Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config).err()
        };
        let least = least_memory(new);
        let cut = train(&case, TrainConfig { memory: Some(least), ..config(0.9) }, 2);
        assert_eq!(whole.0, cut.0, "{} in {least} bytes", case.name);
        assert!(whole.1 == cut.1, "{}: other weights in {least} bytes", case.name);
        assert!(whole.1 != train(&case, config(0.0), 2).1, "{}: momentum changes nothing", case.name);
    }
}

#[test]
fn a_budget_is_kept() {
    let gpu = Gpu::new().unwrap();
    for case in kinds() {
        let new = |memory| {
            let config = TrainConfig { memory: Some(memory), ..config(0.9) };
            Trainer::new(&gpu, &case.lattice, case.hamiltonian(), &*case.model, config)
        };
        let least = least_memory(|memory| new(memory).err());
        for memory in [least, 2 * least, 1 << 30] {
            let taken = new(memory).unwrap().memory();
            assert!(taken <= memory, "{}: {taken} of {memory} bytes", case.name);
        }
        assert_eq!(gpu.allocated(), 0, "{}", case.name);
    }
}

/// Configuration that samples |ψ|^`power`.
fn with_power(power: f64) -> TrainConfig {
    let settings = StochasticReconfiguration {
        sampling_power: SamplingPower::Fixed(power),
        ..StochasticReconfiguration::default()
    }
    .with_lambda(1e-2);
    TrainConfig { optimizer: Optimizer::StochasticReconfiguration(settings), ..config(0.0) }
}

/// Samples of another power of |ψ| contain more configurations, estimate the same energy, and lower it.
#[test]
fn samples_of_another_power_are_reweighted() {
    let mut biased = 0;
    for case in kinds().iter().filter(|case| !case.is_normalized()) {
        let state = state(&case.amplitudes(1));
        let local = exact_local(&case.hamiltonian().terms(&case.lattice).unwrap(), &state);
        let exact = expectation(&state, &local[0]);
        let step = |power| {
            let config = TrainConfig { samples: 1200, ..with_power(power) };
            trainer(case, config).steps(1).next().unwrap().unwrap()
        };
        let (of_psi, of_density) = (step(1.0), step(2.0));
        println!("{}: {} ± {} of {exact}, {of_density:?}", case.name, of_psi.energy, of_psi.energy_error);
        assert!((of_psi.energy - exact).abs() < 5.0 * of_psi.energy_error, "{}: {of_psi:?}, {exact}", case.name);
        assert!(of_psi.unique > of_density.unique, "{}: {of_psi:?} {of_density:?}", case.name);
        let worth = of_psi.reconfiguration.unwrap().effective_samples;
        assert!(worth > 20.0 && worth < 1195.0, "{}: {worth}", case.name);
        assert_eq!(of_density.reconfiguration.unwrap().effective_samples, 1200.0);
        // Without weights the mean would be that over |ψ|.
        let frequency: Vec<f64> = state[0].iter().zip(&state[1]).map(|(re, im)| re.hypot(*im)).collect();
        let mean = frequency.iter().zip(&local[0]).map(|(p, energy)| p * energy).sum::<f64>();
        let unweighted = mean / frequency.iter().sum::<f64>();
        biased += usize::from((unweighted - exact).abs() > 5.0 * of_psi.energy_error);

        let [after, before] = energies(case, with_power(1.0), 15);
        assert!(after < before, "{}: {before} to {after}", case.name);
    }
    assert!(biased > 1, "samples without weights would pass as well");
}

/// Mean energy of the last five of `steps` steps, and energy of the first.
fn energies(case: &Case, config: TrainConfig, steps: u64) -> [f64; 2] {
    let reports: Vec<StepReport> = trainer(case, config).steps(steps).map(Result::unwrap).collect();
    [&reports[reports.len() - 5..], &reports[..1]]
        .map(|some| some.iter().map(|report| report.energy).sum::<f64>() / some.len() as f64)
}

#[test]
fn energies_go_down_faster_than_with_adam() {
    let mut faster = 0;
    let cases = kinds();
    for case in &cases {
        let [after, before] = energies(case, config(0.0), 15);
        let adam = TrainConfig { samples: SAMPLES, learning_rate: 1e-2, seed: 5, ..TrainConfig::default() };
        let [with_adam, _] = energies(case, adam, 15);
        println!("{}: {before} to {after}, with Adam {with_adam}", case.name);
        assert!(after < before, "{}: {before} to {after}", case.name);
        faster += usize::from(after < with_adam);
    }
    assert!(2 * faster > cases.len(), "{faster} of {} are faster than with Adam", cases.len());
}

#[test]
fn steps_are_no_longer_than_the_limit() {
    let case = cases().swap_remove(0);
    let norms = |clip| -> Vec<f64> {
        let config = TrainConfig { clip, ..config(0.0) };
        trainer(&case, config).steps(3).map(|report| report.unwrap().reconfiguration.unwrap().update_norm).collect()
    };
    let free = norms(None);
    let limit = free[0] / 3.0;
    let limited = norms(Some(limit));
    assert!(
        limited.iter().all(|norm| *norm <= limit * 1.0001) && (limited[0] - limit).abs() < 1e-6 * limit,
        "{limited:?}"
    );
    assert_eq!(norms(Some(1e9)), free);
}

#[test]
fn a_step_that_is_not_finite_is_rejected_and_leaves_nothing_behind() {
    for case in kinds() {
        let mut trainer = trainer(&case, config(0.9));
        let bad = case.overflowing();
        trainer.set_weights(&bad).unwrap();
        let report = trainer.steps(1).next().unwrap().unwrap();
        assert!(!report.accepted && report.reconfiguration.is_none(), "{}: {report:?}", case.name);
        assert!(trainer.weights().unwrap() == bad, "{}: a rejected step moved weights", case.name);
        trainer.set_weights(&case.weights(1)).unwrap();
        let report = trainer.steps(1).next().unwrap().unwrap();
        let solved = report.reconfiguration.unwrap();
        assert!(report.accepted && solved.condition > 1.0 && solved.lambda == 1e-2, "{}: {report:?}", case.name);
        assert!(solved.residual < 1e-8 && solved.update_norm > 0.0, "{}: {report:?}", case.name);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let case = cases().swap_remove(0);
    let refusal = |config| {
        Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config).err().expect("refused").to_string()
    };
    assert!(refusal(TrainConfig { samples: 1, ..config(0.0) }).contains("give 2"));
    assert!(refusal(config(1.0)).contains("0.9"));
    let settings = StochasticReconfiguration::default().with_lambda(0.0);
    let no_shift = TrainConfig { optimizer: Optimizer::StochasticReconfiguration(settings), ..config(0.0) };
    assert!(refusal(no_shift).contains("positive"));
    assert!(refusal(with_power(3.0)).contains("give 2"));
    assert!(refusal(with_power(1.0)).contains("leave sampling_power out"));
    assert!(refusal(TrainConfig { samples: 40_000, ..config(0.0) }).contains("fewer samples"));
}
