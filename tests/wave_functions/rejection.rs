//! A step whose numbers are not finite changes nothing, and training continues.

use ketformer::model::Weights;
use ketformer::physics::Rydberg;
use ketformer::vmc::{SampleConfig, StepReport, TrainConfig, Trainer};

use super::cases::{Case, gpu, kinds};

fn bits(weights: &Weights) -> Vec<u32> {
    weights.tensors.values().flat_map(|tensor| tensor.values.iter().map(|value| value.to_bits())).collect()
}

fn config(samples: usize) -> TrainConfig {
    TrainConfig { samples, learning_rate: 1e-3, seed: 2, ..TrainConfig::default() }
}

fn step(trainer: &mut Trainer) -> StepReport {
    trainer.steps(1).next().unwrap().unwrap()
}

#[test]
fn a_step_that_is_not_finite_is_rejected() {
    for case in kinds() {
        let mut trainer = Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config(100)).unwrap();
        let bad = case.overflowing();
        trainer.set_weights(&bad).unwrap();
        let report = step(&mut trainer);
        println!("{}: {report:?}", case.name);
        assert!(!report.accepted, "{}: {report:?}", case.name);
        let finite = report.energy.is_finite() && report.variance.is_finite() && report.gradient_norm.is_finite();
        assert!(!finite, "{}: {report:?}", case.name);
        assert_eq!(bits(&trainer.weights().unwrap()), bits(&bad), "{}: a rejected step moved weights", case.name);

        // The rejected step leaves no state: the next steps equal those of a trainer without a rejected step.
        let mut calm = Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config(100)).unwrap();
        step(&mut calm);
        let after = [&mut trainer, &mut calm].map(|trainer| {
            trainer.set_weights(&case.weights(1)).unwrap();
            let reports = [step(trainer), step(trainer)].map(|report| StepReport { seconds: 0.0, ..report });
            assert!(reports.iter().all(|report| report.accepted), "{}: {reports:?}", case.name);
            (format!("{reports:?}"), bits(&trainer.weights().unwrap()))
        });
        assert_eq!(after[0], after[1], "{}: a rejected step left something behind", case.name);
        assert_ne!(after[0].1, bits(&case.weights(1)), "{}: nothing moved", case.name);
    }
}

/// With an interaction whose square overflows, exactly the steps that draw a pair are rejected. Sectors are excluded:
/// their number of pairs is constant.
#[test]
fn rejected_and_accepted_steps_take_turns() {
    let strong = Rydberg { v: 1e37, delta: 0.1, omega: 0.1 };
    for case in kinds().into_iter().filter(|case| case.has_bias() && !case.model.conserves_magnetization()) {
        let mut trainer = Trainer::new(gpu(), &case.lattice, &strong, &*case.model, config(4)).unwrap();
        trainer.set_weights(&sparse(&case)).unwrap();
        let mut before = bits(&trainer.weights().unwrap());
        let mut counts = [0; 2];
        for _ in 0..24 {
            let report = step(&mut trainer);
            let after = bits(&trainer.weights().unwrap());
            // The variance of samples that are one configuration is unknown, and nothing overflows.
            let is_finite = report.variance.is_finite() || report.unique == 1;
            assert_eq!(report.accepted, is_finite, "{}: {report:?}", case.name);
            assert_eq!(report.accepted, before != after || report.gradient_norm == 0.0, "{}: {report:?}", case.name);
            counts[usize::from(report.accepted)] += 1;
            before = after;
        }
        println!("{}: {counts:?}", case.name);
        assert!(counts.iter().all(|count| *count > 0), "{}: rejected and accepted {counts:?}", case.name);
    }
}

/// Weights with which 4 samples contain a pair of occupied sites with a probability of about ½.
fn sparse(case: &Case) -> Weights {
    let without_pair = |weights: &Weights| {
        let config = SampleConfig { samples: 1000, ..SampleConfig::default() };
        let drawn = case.state(weights).sample(config).unwrap().configurations;
        let few = drawn.iter().filter(|configuration| configuration.iter().map(|n| u32::from(*n)).sum::<u32>() < 2);
        (few.count() as f64 / drawn.len() as f64).powi(4)
    };
    let (mut weak, mut strong) = (0.0, 20.0);
    for _ in 0..8 {
        let middle = 0.5 * (weak + strong);
        *if without_pair(&case.emptied(middle)) < 0.5 { &mut weak } else { &mut strong } = middle;
    }
    case.emptied(strong)
}
