//! Mixed precision: a wave function with f16 weights, keys and values. It is normalized and close to that of the f32
//! weights.

use ketformer::gpu::Gpu;
use ketformer::kernels::nn::cast_f16::cast_f16_reference;
use ketformer::model::{Precision, Weights};
use ketformer::physics::{Lattice, Rydberg};
use ketformer::vmc::{Amplitudes, LocalEnergies, SampleConfig, StepReport, TrainConfig, Trainer};
use ketformer::{ErrorKind, Ptf};

use super::cases::{Case, cases, gpu, in_turn, index, kinds};
use super::chi_squared::chance;
use super::decoding::{moves_lead_to, nan_max};
use super::energy::{exact_local, expectation, state};
use super::sampling::{LEAST_CHANCE, counts};

/// Amplitudes of all states in mixed precision.
fn amplitudes(case: &Case, weights: &Weights) -> Amplitudes {
    case.state(weights).with_precision(Precision::Mixed).full_sum().unwrap()
}

/// Weights with matrices rounded to f16, except those that multiply patches and positions, which stay f32.
fn rounded(weights: &Weights) -> Weights {
    let mut rounded = weights.clone();
    let single = |name: &str| ["tokenize", "weight_ih", "pos_encoder"].iter().any(|part| name.contains(part));
    let matrices = rounded.tensors.iter_mut().filter(|(name, tensor)| tensor.shape.len() == 2 && !single(name));
    for (_, tensor) in matrices {
        tensor.values = cast_f16_reference(&tensor.values).into_iter().map(|half| half.to_f32()).collect();
    }
    rounded
}

#[test]
fn probabilities_add_up_to_one() {
    for case in kinds() {
        let sum: f64 = amplitudes(&case, &case.weights(2)).log_p.iter().map(|log_p| log_p.exp()).sum();
        println!("{}: {:e}", case.name, sum - 1.0);
        assert!((sum - 1.0).abs() < 1e-5, "{}: Σ P = {sum}", case.name);
    }
}

/// The mixed network is close to that of the f32 weights but not equal. It depends only on the rounded weights.
#[test]
fn it_is_the_network_of_the_rounded_weights() {
    for case in kinds() {
        let weights = case.weights(1);
        let (mixed, single) = (amplitudes(&case, &weights), case.log_p(1));
        let states = case.states();
        let off = states.iter().map(|s| (mixed.log_p[*s] - single[*s]).abs()).fold(0.0, nan_max);
        let over = || states.iter().map(|s| single[*s]);
        let spread = over().fold(f64::MIN, f64::max) - over().fold(f64::MAX, f64::min);
        println!("{}: {off:e} of {spread}", case.name);
        assert!(off < 4e-3 * spread, "{}: log P is off by {off} of {spread}", case.name);
        assert!(off > 1e-4, "{}: nothing was rounded, {off:e}", case.name);
        assert_eq!(
            mixed,
            amplitudes(&case, &rounded(&weights)),
            "{}: more than the rounded weights is read",
            case.name
        );
    }
}

#[test]
fn moves_agree_with_brute_force() {
    for (case, hamiltonian) in in_turn() {
        let weights = case.weights(1);
        moves_lead_to((&case, hamiltonian), &weights, &amplitudes(&case, &weights), Precision::Mixed, TOLERANCE);
    }
}

/// Kernels with different reduction orders, such as those of linear attention, give sums that differ in their last bits
/// and may be rounded to neighboring f16 values.
const TOLERANCE: f64 = 2e-4;

#[test]
fn energies_are_those_of_the_hamiltonian() {
    for case in kinds() {
        let weights = case.weights(1);
        let state = state(&amplitudes(&case, &weights));
        let configurations = case.some_configurations(500);
        for hamiltonian in case.hamiltonians() {
            let terms = hamiltonian.terms(&case.lattice).unwrap();
            let local = |precision| {
                case.state(&weights).with_precision(precision).local_energies(hamiltonian, &configurations).unwrap()
            };
            let exact = exact_local(&terms, &state);
            let worst = |found: LocalEnergies| {
                let energies = found.energy.into_iter().zip(found.energy_imaginary);
                let off = |(c, (re, im)): (&Vec<u8>, (f64, f64))| {
                    let exact = [0, 1].map(|part| exact[part][index(c)]);
                    (exact[0] - re).hypot(exact[1] - im) / (terms.bound() + exact[0].hypot(exact[1]))
                };
                configurations.iter().zip(energies).map(off).fold(0.0, nan_max)
            };
            let (own, other) = (worst(local(Precision::Mixed)), worst(local(Precision::Single)));
            println!("{} {}: {own:e}, of the other network {other:e}", case.name, hamiltonian.name());
            assert!(own < TOLERANCE, "{} {}: {own:e}", case.name, hamiltonian.name());
            assert!(other > 2.0 * own, "{} {}: {other:e} of the f32 network", case.name, hamiltonian.name());
        }
    }
}

#[test]
fn samples_are_drawn_from_it() {
    for case in kinds() {
        let weights = case.weights(1);
        let log_p = amplitudes(&case, &weights).log_p;
        let config = SampleConfig { samples: 3000, seed: 41 };
        let draw = || case.state(&weights).with_precision(Precision::Mixed).sample(config).unwrap();
        let drawn = draw();
        let total: f64 = log_p.iter().map(|log_p| log_p.exp()).sum();
        let p: Vec<f64> = log_p.iter().map(|log_p| log_p.exp() / total).collect();
        let seen = chance(&counts(&case, &drawn.configurations), &p);
        assert!(seen > LEAST_CHANCE, "{}: frequencies are not those of P, chance {seen:e}", case.name);
        let constant = case.constant(drawn.log_p[0], log_p[index(&drawn.configurations[0])]);
        for (configuration, own) in drawn.configurations.iter().zip(&drawn.log_p) {
            let (own, expected) = (own + constant, log_p[index(configuration)]);
            assert!((own - expected).abs() < 1e-5, "{}: {configuration:?} {own} {expected}", case.name);
        }
        assert_eq!(drawn, draw(), "{}: not the same bits twice", case.name);
    }
}

#[test]
fn estimates_agree_with_enumeration() {
    for case in kinds() {
        let weights = case.weights(1);
        let state = state(&amplitudes(&case, &weights));
        let exact = expectation(&state, &exact_local(&case.hamiltonian().terms(&case.lattice).unwrap(), &state)[0]);
        let config = SampleConfig { samples: 3000, seed: 5 };
        let found = case.state(&weights).with_precision(Precision::Mixed).expect(case.hamiltonian(), config).unwrap();
        assert!((found.energy - exact).abs() < 5.0 * found.energy_error, "{}: {found:?} is not {exact}", case.name);
    }
}

fn config(samples: usize) -> TrainConfig {
    TrainConfig { samples, learning_rate: 1e-3, precision: Precision::Mixed, ..TrainConfig::default() }
}

/// Every step samples with the current weights, cast to f16.
#[test]
fn a_step_estimates_the_energy_of_the_weights_before_it() {
    for case in kinds() {
        let mut trainer = Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config(1000)).unwrap();
        let mut noticed = false;
        let mut before = f64::NAN;
        // Some weights happen to have the energy of the previous ones.
        for seed in 1..=8 {
            let weights = case.weights(seed);
            trainer.set_weights(&weights).unwrap();
            let report = trainer.steps(1).next().unwrap().unwrap();
            let state = state(&amplitudes(&case, &weights));
            let exact = expectation(&state, &exact_local(&case.hamiltonian().terms(&case.lattice).unwrap(), &state)[0]);
            assert!(report.accepted, "{}: {report:?}", case.name);
            assert!((report.energy - exact).abs() < 5.0 * report.energy_error, "{}: {report:?}, {exact}", case.name);
            noticed |= (report.energy - before).abs() > 5.0 * report.energy_error;
            before = exact;
            if noticed && seed >= 2 {
                break;
            }
        }
        assert!(noticed, "{}: the weights before would pass as well", case.name);
    }
}

/// Training lowers the energy, with the same bits each time.
#[test]
fn training_descends() {
    for case in cases().into_iter().take(2) {
        let train = || {
            let config = TrainConfig { learning_rate: 1e-2, ..config(200) };
            let mut trainer = Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config).unwrap();
            let reports: Vec<StepReport> = trainer.steps(60).map(|report| report.unwrap()).collect();
            let energies: Vec<f64> = reports.iter().map(|report| report.energy).collect();
            (energies, trainer.weights().unwrap())
        };
        let (energies, weights) = train();
        let mean = |energies: &[f64]| energies.iter().sum::<f64>() / energies.len() as f64;
        let (first, last) = (mean(&energies[..10]), mean(&energies[50..]));
        println!("{}: from {first} to {last}", case.name);
        let least =
            ketformer::physics::ground_state(&case.hamiltonian().terms(&case.lattice).unwrap(), case.lattice.sites());
        let least = least.unwrap().energy;
        assert!(last - least < 0.7 * (first - least), "{}: from {first} to {last} of {least}", case.name);
        assert_eq!((energies, weights), train(), "{}: not the same bits twice", case.name);
    }
}

#[test]
fn weights_that_f16_cannot_hold_are_refused() {
    for case in kinds() {
        let good = case.weights(1);
        let named = |rank| good.tensors.iter().find(|(_, tensor)| tensor.shape.len() == rank).unwrap().0.clone();
        let (matrix, bias) = (named(2), named(1));
        let with = |name: &str, value| {
            let mut weights = good.clone();
            weights.tensors.get_mut(name).unwrap().values[0] = value;
            weights
        };
        let of = |weights, precision| case.state(&weights).with_precision(precision).full_sum();
        let error = of(with(&matrix, -65505.0), Precision::Mixed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights);
        let said = error.to_string();
        assert!(said.contains(&matrix) && said.contains("single precision") && !said.contains('\n'), "{said}");
        // Tensors that are not rounded, and values in the range of f16, are accepted.
        of(with(&bias, 1e6), Precision::Mixed).unwrap();
        of(with(&matrix, -65504.0), Precision::Mixed).unwrap();
        of(with(&matrix, -65505.0), Precision::Single).unwrap();
    }
}

/// Buffers of f16 are counted as half, so that more samples fit into a budget, which is not exceeded.
#[test]
fn more_samples_fit_into_a_budget() {
    // A separate device: allocations of other tests on a shared one would be counted too.
    let gpu = Gpu::new().unwrap();
    let lattice = Lattice::square(8, 8);
    let model = Ptf { width: 64, feed_forward: 64, ..Ptf::default() };
    let trainer = |memory, precision| {
        let config = TrainConfig { samples: 128, memory: Some(memory), precision, ..TrainConfig::default() };
        Trainer::new(&gpu, &lattice, &Rydberg::default(), &model, config).unwrap()
    };
    let taken = [Precision::Single, Precision::Mixed].map(|precision| trainer(8 << 30, precision).memory());
    println!("{taken:?}");
    // With the memory of mixed precision plus the reserve of a budget, f32 must be split into more chunks.
    let budget = taken[1] + (9 << 20);
    assert!(budget < taken[0], "{taken:?}");
    let chunks = [Precision::Single, Precision::Mixed].map(|precision| {
        let trainer = trainer(budget, precision);
        assert!(trainer.memory() <= budget, "{precision:?}: {} of {budget} bytes", trainer.memory());
        trainer.chunks()
    });
    println!("{chunks:?}");
    assert!(chunks[1].iter().zip(chunks[0]).all(|(mixed, single)| *mixed >= single), "{chunks:?}");
    assert!(chunks[1][1] > chunks[0][1], "no more samples are moved together: {chunks:?}");
    for case in kinds() {
        let config = |memory| TrainConfig { memory: Some(memory), ..config(65) };
        let memory = 12 << 20;
        let trainer = Trainer::new(&gpu, &case.lattice, case.hamiltonian(), &*case.model, config(memory)).unwrap();
        assert!(trainer.memory() <= memory, "{}: {} of {memory} bytes", case.name, trainer.memory());
    }
}
