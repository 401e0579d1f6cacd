//! A trainer that is restored from a checkpoint continues to the same bits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ketformer::ErrorKind;
use ketformer::model::Weights;
use ketformer::vmc::{Checkpoint, Optimizer, StepReport, StochasticReconfiguration, TrainConfig, Trainer};

use super::cases::{Case, cases, gpu, kinds};

fn config(optimizer: Optimizer) -> TrainConfig {
    TrainConfig { samples: 70, optimizer, learning_rate: 1e-2, seed: 5, ..TrainConfig::default() }
}

fn optimizers() -> [Optimizer; 2] {
    let settings = StochasticReconfiguration { momentum: 0.9, ..StochasticReconfiguration::default() };
    [Optimizer::Adam, Optimizer::StochasticReconfiguration(settings.with_lambda(1e-2))]
}

fn trainer(case: &Case, optimizer: Optimizer) -> Trainer {
    Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config(optimizer)).unwrap()
}

/// Reports of `steps` steps without times, as text, in which NaN equals NaN.
fn steps(trainer: &mut Trainer, steps: u64) -> Vec<String> {
    let timeless = |report: ketformer::Result<StepReport>| StepReport { seconds: 0.0, ..report.unwrap() };
    trainer.steps(steps).map(timeless).map(|report| format!("{report:?}")).collect()
}

#[test]
fn what_is_restored_goes_on_to_the_same_bits() {
    for case in kinds() {
        for optimizer in optimizers() {
            let mut whole = trainer(&case, optimizer);
            whole.set_weights(&case.weights(1)).unwrap();
            steps(&mut whole, 2);
            let checkpoint = whole.checkpoint().unwrap();
            assert_eq!((checkpoint.step, checkpoint.chains.is_empty()), (2, case.is_normalized()), "{}", case.name);
            let reports = steps(&mut whole, 2);

            let mut restored = trainer(&case, optimizer);
            restored.restore(&checkpoint).unwrap();
            assert!(restored.checkpoint().unwrap() == checkpoint, "{}: not what was restored", case.name);
            assert_eq!(steps(&mut restored, 2), reports, "{} {optimizer:?}", case.name);
            assert!(restored.checkpoint().unwrap() == whole.checkpoint().unwrap(), "{}: other weights", case.name);

            // Weights alone are not enough.
            let mut restored = trainer(&case, optimizer);
            restored.restore(&Checkpoint { optimizer: emptied(&checkpoint.optimizer), ..checkpoint }).unwrap();
            steps(&mut restored, 2);
            assert!(restored.weights().unwrap() != whole.weights().unwrap(), "{} {optimizer:?}", case.name);
        }
    }
}

/// The same tensors, all zero except the initial powers of Adam, which are 1.
fn emptied(weights: &Weights) -> Weights {
    let mut emptied = weights.clone();
    for (name, tensor) in &mut emptied.tensors {
        let first = if name == "adam.state" { 1.0 } else { 0.0 };
        tensor.values.iter_mut().for_each(|value| *value = first);
    }
    emptied
}

#[test]
fn what_is_of_another_run_is_refused_and_changes_nothing() {
    let [case, other] = [0, 1].map(|at| cases().swap_remove(at));
    let [adam, reconfiguration] = optimizers();
    let mut trainer = trainer(&case, adam);
    steps(&mut trainer, 1);
    let before = trainer.checkpoint().unwrap();
    let of = |case: &Case, optimizer| self::trainer(case, optimizer).checkpoint().unwrap();
    for foreign in [of(&other, adam), of(&case, reconfiguration)] {
        assert_eq!(trainer.restore(&foreign).unwrap_err().kind(), ErrorKind::Weights);
        assert!(trainer.checkpoint().unwrap() == before);
    }
    let chains = cases().into_iter().find(|case| !case.is_normalized()).unwrap();
    let mut moved = self::trainer(&chains, adam);
    steps(&mut moved, 1);
    let mut few = moved.checkpoint().unwrap();
    few.chains.pop();
    assert!(moved.restore(&few).unwrap_err().to_string().contains("chains"));
}

/// A stop at any moment discards the step, and the trainer continues to the same bits.
#[test]
fn a_step_that_is_stopped_is_discarded() {
    let mut moments = 0;
    // Optimizers take turns from case to case.
    for (case, optimizer) in kinds().into_iter().zip(optimizers().into_iter().cycle()) {
        let mut whole = trainer(&case, optimizer);
        whole.set_weights(&case.weights(1)).unwrap();
        // Once with chains that start in the step, once with chains that continue.
        for _ in 0..if case.is_normalized() { 1 } else { 2 } {
            let checkpoint = whole.checkpoint().unwrap();
            let reports = steps(&mut whole, 2);
            let mut moment = 0;
            loop {
                let mut stopped = trainer(&case, optimizer);
                stopped.restore(&checkpoint).unwrap();
                let calls = Arc::new(AtomicU64::new(0));
                let counted = calls.clone();
                stopped.stop_when(move || counted.fetch_add(1, Ordering::SeqCst) == moment);
                if let Some(report) = stopped.steps(1).next() {
                    // The step has fewer moments.
                    report.unwrap();
                    moments += calls.load(Ordering::SeqCst);
                    break;
                }
                assert!(stopped.checkpoint().unwrap() == checkpoint, "{}: moment {moment}", case.name);
                assert_eq!(steps(&mut stopped, 2), reports, "{} {optimizer:?}, moment {moment}", case.name);
                // Neighboring moments differ least in long plans.
                moment = 2 * moment + 1;
            }
        }
    }
    assert!(moments as usize > 5 * kinds().len(), "only {moments} moments in all steps");
}

#[test]
fn there_is_none_while_steps_are_under_way() {
    let case = cases().swap_remove(1);
    let mut trainer = trainer(&case, Optimizer::Adam);
    // The first steps, whose duration is not known, have no step after them in flight.
    trainer.steps(6).take(4).for_each(|report| assert!(report.is_ok()));
    assert!(trainer.checkpoint().unwrap_err().to_string().contains("under way"));
    // Only the steps that are under way are reported.
    trainer.steps(0).for_each(|report| assert!(report.is_ok()));
    assert!(trainer.checkpoint().unwrap().step > 1);
}
