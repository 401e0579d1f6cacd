//! Training steps: independent of deduplication and of chunks, and reproducible.

use ketformer::model::Weights;
use ketformer::vmc::{Likelihood, StepReport, TrainConfig, Trainer};

use super::cases::{Case, cases, gpu, kinds};
use super::decoding::nan_max;
use super::memory::least_memory;

const SAMPLES: usize = 130;
const STEPS: u64 = 3;

fn config() -> TrainConfig {
    TrainConfig { samples: SAMPLES, learning_rate: 1e-3, seed: 5, ..TrainConfig::default() }
}

fn trainer(case: &Case, config: TrainConfig) -> Trainer {
    let mut trainer = Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config).unwrap();
    trainer.set_weights(&case.weights(1)).unwrap();
    trainer
}

/// Takes [`STEPS`] steps. Returns their reports without times, and the final weights.
fn train(case: &Case, config: TrainConfig) -> (Vec<StepReport>, Weights) {
    let mut trainer = trainer(case, config);
    let timeless = |report: ketformer::Result<StepReport>| StepReport { seconds: 0.0, ..report.unwrap() };
    let reports: Vec<StepReport> = trainer.steps(STEPS).map(timeless).collect();
    assert_eq!(reports.iter().map(|report| report.step).collect::<Vec<_>>(), (1..=STEPS).collect::<Vec<_>>());
    (reports, trainer.weights().unwrap())
}

/// Bits of the sample statistics of one step.
fn statistics(report: &StepReport) -> [u64; 6] {
    let StepReport { energy, energy_error, variance, density, sigma_x, staggered, .. } = report;
    [energy, energy_error, variance, density, sigma_x, staggered].map(|value| value.to_bits())
}

/// Largest difference between log-probabilities. Unlike the weights, they do not depend on parameters whose gradient is
/// only rounding error, for which Adam's steps are as large as for any other.
fn distance(case: &Case, a: &Weights, b: &Weights) -> f64 {
    let configurations = case.some_configurations(256);
    let likelihood = Likelihood::new(&case.state(a), &configurations).unwrap();
    let before = likelihood.log_p().unwrap();
    likelihood.set_weights(b).unwrap();
    before.iter().zip(likelihood.log_p().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, nan_max)
}

/// Fraction of the weights that differ by more than a tenth of the learning rate.
fn strayed(a: &Weights, b: &Weights) -> f64 {
    let pairs = a.tensors.values().zip(b.tensors.values()).flat_map(|(a, b)| a.values.iter().zip(&b.values));
    let far: Vec<bool> = pairs.map(|(a, b)| (a - b).abs() > 1e-4 || a.is_nan() || b.is_nan()).collect();
    far.iter().filter(|far| **far).count() as f64 / far.len() as f64
}

/// Asserts that two runs agree up to the rounding of their gradients.
fn agree(case: &Case, what: &str, a: &(Vec<StepReport>, Weights), b: &(Vec<StepReport>, Weights)) {
    let name = format!("{}, {what}", case.name);
    assert_eq!(statistics(&a.0[0]), statistics(&b.0[0]), "{name}: {:?} {:?}", a.0[0], b.0[0]);
    for (a, b) in a.0.iter().zip(&b.0) {
        let close = |x: f64, y: f64, part: f64| (x - y).abs() <= part * x.abs().max(y.abs()).max(1.0);
        assert!(close(a.energy, b.energy, 1e-4), "{name}: {a:?} {b:?}");
        assert!(close(a.gradient_norm, b.gradient_norm, 1e-3), "{name}: {a:?} {b:?}");
        assert!(a.accepted && b.accepted && a.gradient_norm > 0.0, "{name}: {a:?} {b:?}");
    }
    let (far, part) = (distance(case, &a.1, &b.1), strayed(&a.1, &b.1));
    let moved = distance(case, &a.1, &case.weights(1));
    let norm = (a.0[0].gradient_norm / b.0[0].gradient_norm - 1.0).abs();
    println!("{name}: {far:e} of {moved:e}, {part:e}, norms of the first gradient {norm:e}");
    assert!(far < 0.02 * moved, "{name}: {far:e} apart after steps of {moved:e}");
    assert!(part < 0.1, "{name}: {part} of the weights differ");
}

#[test]
fn sharing_equal_samples_changes_nothing() {
    for case in kinds() {
        let shared = train(&case, config());
        let apart = train(&case, TrainConfig { unique: false, ..config() });
        assert!(shared.0.iter().all(|report| report.unique <= SAMPLES as u32));
        assert!(apart.0.iter().all(|report| report.unique == SAMPLES as u32));
        let repeats = shared.0[0].unique < SAMPLES as u32;
        assert!(repeats || case.lattice.sites() > 12, "{}: no sample repeats: {:?}", case.name, shared.0[0]);
        agree(&case, "unique", &shared, &apart);
    }
}

/// Asserts that reports and weights are bit-identical. Debug prints the shortest text that parses to the same bits, and
/// NaN as NaN.
fn same_bits(name: &str, a: &(Vec<StepReport>, Weights), b: &(Vec<StepReport>, Weights)) {
    assert_eq!(format!("{:?}", a.0), format!("{:?}", b.0), "{name}");
    assert!(a.1 == b.1, "{name}: other weights");
}

/// Number of rows in a block of the row sums of a gradient.
const BLOCK: usize = 512;

/// Reports and weights have the same bits under any budget.
#[test]
fn cutting_a_step_into_parts_changes_no_bit() {
    let mut chunks_of_gradients = 0;
    for case in kinds() {
        let whole = trainer(&case, config()).chunks();
        let new = |memory| {
            let config = TrainConfig { memory: Some(memory), ..config() };
            Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config).err()
        };
        let least = least_memory(new);
        let at_once = train(&case, config());
        // Without deduplication.
        let apart = train(&case, TrainConfig { unique: false, ..config() });
        for memory in [least, least + (1 << 20)] {
            let small = TrainConfig { memory: Some(memory), ..config() };
            let parts = trainer(&case, small.clone()).chunks();
            println!("{}: {whole:?} {parts:?} in {memory}", case.name);
            if memory == least {
                assert!(parts[0] < whole[0] && parts[1] < whole[1], "{}: {parts:?} {whole:?}", case.name);
                let rows = SAMPLES * case.rows_of_a_sample();
                assert!(parts[2] < whole[2] || rows <= BLOCK, "{}: {parts:?} {whole:?}", case.name);
                chunks_of_gradients += usize::from(parts[2] < whole[2]);
            }
            same_bits(case.name, &at_once, &train(&case, small.clone()));
            if memory == least {
                same_bits(case.name, &apart, &train(&case, TrainConfig { unique: false, ..small }));
            }
        }
    }
    assert!(chunks_of_gradients > 2, "too few gradients are computed in chunks");
}

/// Batches that are too large for one deduplication go through the gradient in spans of 32,768 samples, whatever the
/// memory.
#[test]
fn a_large_batch_gives_the_same_bits_under_any_budget() {
    let case = &cases()[4];
    assert_eq!(case.lattice.sites(), 4, "the smallest case, so that this takes little time");
    let config = |memory| TrainConfig { samples: 33_000, memory, ..config() };
    let run = |memory| {
        let mut trainer = trainer(case, config(memory));
        let chunks = trainer.chunks();
        let report = StepReport { seconds: 0.0, ..trainer.steps(1).next().unwrap().unwrap() };
        (chunks, (vec![report], trainer.weights().unwrap()))
    };
    let (whole, at_once) = run(None);
    let (parts, in_parts) = run(Some(24 << 20));
    println!("{whole:?} {parts:?} {:?}", at_once.0);
    assert!(whole[0] == 32_768 && parts[0] < whole[0], "{whole:?} {parts:?}");
    assert_eq!(at_once.0[0].unique, 32, "16 configurations in each of two spans");
    same_bits(case.name, &at_once, &in_parts);
}

#[test]
fn the_same_run_gives_the_same_bits() {
    for case in kinds() {
        let (first, second) = (train(&case, config()), train(&case, config()));
        same_bits(case.name, &first, &second);
        let other = train(&case, TrainConfig { seed: 6, ..config() });
        assert_ne!(statistics(&first.0[0]), statistics(&other.0[0]), "{}: another seed, the same step", case.name);
        assert!(first.1 != other.1);
    }
}

/// Steps requested one by one, or with the iterator dropped early, equal those requested at once.
#[test]
fn steps_go_on_where_they_were_left() {
    let case = &cases()[1];
    let at_once = train(case, config());
    let mut trainer = trainer(case, config());
    let mut energies = Vec::new();
    energies.extend(trainer.steps(1).map(|report| report.unwrap().energy));
    // Dropped after one report: the other step is under way and is the next one reported.
    energies.push(trainer.steps(2).next().unwrap().unwrap().energy);
    energies.extend(trainer.steps(0).map(|report| report.unwrap().energy));
    assert_eq!(energies, at_once.0.iter().map(|report| report.energy).collect::<Vec<_>>());
    assert_eq!(trainer.weights().unwrap(), at_once.1);
}

/// Steps along the gradient lower the energy.
#[test]
fn training_lowers_the_energy() {
    for case in kinds() {
        let config = TrainConfig { learning_rate: 1e-2, ..config() };
        let energies: Vec<f64> = trainer(&case, config).steps(25).map(|report| report.unwrap().energy).collect();
        let (before, after) = (energies[..3].iter().sum::<f64>() / 3.0, energies[22..].iter().sum::<f64>() / 3.0);
        println!("{}: {before} {after}", case.name);
        assert!(after < before - 0.02 * before.abs(), "{}: from {before} to {after}", case.name);
    }
}
