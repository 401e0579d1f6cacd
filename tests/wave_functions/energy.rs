//! Local energies against the Hamiltonian as an operator on all 2^N states.

use ketformer::physics::{DIAGONAL_OBSERVABLES, Hamiltonian, Observables, Operator, Terms};
use ketformer::vmc::{Amplitudes, Mean, SampleConfig, TrainConfig, Trainer};

use super::cases::{Case, gpu, in_turn, index, kinds, problems};
use super::decoding::nan_max;

/// Real and imaginary parts of the amplitudes of all states.
pub type Parts = [Vec<f64>; 2];

/// Ψ = √P e^(i·phase), of norm 1.
pub fn state(amplitudes: &Amplitudes) -> Parts {
    let Amplitudes { log_p, phase } = amplitudes;
    let norm = log_p.iter().map(|log_p| log_p.exp()).sum::<f64>().sqrt();
    [f64::cos, f64::sin]
        .map(|of| log_p.iter().zip(phase).map(|(log_p, phase)| (0.5 * log_p).exp() / norm * of(*phase)).collect())
}

/// (HΨ)(σ) / Ψ(σ) of every state; 0 where Ψ(σ) = 0.
pub fn exact_local(terms: &Terms, state: &Parts) -> Parts {
    let operator = Operator::new(terms).unwrap();
    let [re, im] = state;
    let [h_re, h_im] = state.each_ref().map(|part| {
        let mut product = vec![f64::NAN; part.len()];
        operator.apply(part, &mut product);
        product
    });
    let weight = densities(state);
    let divided = |s: usize, numerator: f64| if weight[s] == 0.0 { 0.0 } else { numerator / weight[s] };
    [
        (0..re.len()).map(|s| divided(s, h_re[s] * re[s] + h_im[s] * im[s])).collect(),
        (0..re.len()).map(|s| divided(s, h_im[s] * re[s] - h_re[s] * im[s])).collect(),
    ]
}

/// |Ψ|² of every state.
fn densities(state: &Parts) -> Vec<f64> {
    state[0].iter().zip(&state[1]).map(|(re, im)| re * re + im * im).collect()
}

/// Σ |Ψ|² local
pub fn expectation(state: &Parts, local: &[f64]) -> f64 {
    densities(state).iter().zip(local).map(|(weight, local)| weight * local).sum()
}

/// Tolerance in units of `Terms::bound`, the largest possible energy.
const TOLERANCE: f64 = 5e-7;

/// Copies of the terms with one coefficient of each kind changed, and with one move removed.
fn altered(terms: &Terms) -> [Terms; 5] {
    let alter = |change: fn(&mut Terms)| {
        let mut copy = terms.clone();
        change(&mut copy);
        copy
    };
    [
        alter(|terms| terms.constant += 0.05),
        alter(|terms| terms.field[0] += 0.05),
        alter(|terms| terms.pairs[0].coefficient += 0.1),
        alter(|terms| terms.moves[0].amplitude -= 0.05),
        alter(|terms| {
            terms.moves.remove(1);
        }),
    ]
}

/// Maximum number of local energies of a case. Larger cases use random configurations.
const MOST: usize = 1 << 10;

#[test]
fn energies_are_those_of_the_hamiltonian() {
    for (case, hamiltonians) in problems() {
        let weights = case.weights(1);
        let state = state(&case.amplitudes(1));
        for hamiltonian in hamiltonians {
            let terms = hamiltonian.terms(&case.lattice).unwrap();
            let name = format!("{} {}", case.name, hamiltonian.name());
            let configurations = case.some_configurations(MOST);
            let found = case.state(&weights).local_energies(hamiltonian, &configurations).unwrap();
            assert_eq!(found.energy.len(), configurations.len());
            let states: Vec<usize> = configurations.iter().map(|c| index(c)).collect();
            let exact = exact_local(&terms, &state);
            let size = |s: usize| terms.bound() + exact[0][s].hypot(exact[1][s]);
            let worst = [&found.energy, &found.energy_imaginary].into_iter().zip(&exact).map(|(found, exact)| {
                states.iter().zip(found).map(|(s, found)| (exact[*s] - found).abs() / size(*s)).fold(0.0, nan_max)
            });
            let worst = worst.fold(0.0, nan_max);
            assert!(worst < 2e-6, "{name}: a local energy is off by {worst:e}");
            let imaginary = found.energy_imaginary.iter().any(|energy| *energy != 0.0);
            assert_eq!(imaginary, case.model.is_complex(), "{name}");

            // Over all states this is ⟨Ψ|H|Ψ⟩.
            let all = densities(&state);
            let weight: Vec<f64> = states.iter().map(|s| all[*s]).collect();
            let total: f64 = weight.iter().sum();
            let mean = |local: &dyn Fn(usize) -> f64| {
                weight.iter().enumerate().map(|(at, weight)| weight * local(at)).sum::<f64>() / total
            };
            let energy = mean(&|at| found.energy[at]);
            let error = |terms: &Terms| {
                let exact = exact_local(terms, &state);
                (energy - mean(&|at| exact[0][states[at]])).abs() / terms.bound()
            };
            println!("{name}: each {worst:e}, mean {:e}", error(&terms));
            assert!(error(&terms) < TOLERANCE, "{name}: ⟨H⟩ is off by {:e}", error(&terms));
            for (kind, wrong) in altered(&terms).iter().enumerate() {
                assert!(error(wrong) > TOLERANCE, "{name}: other terms ({kind}) are not noticed, {:e}", error(wrong));
            }
        }
    }
}

fn estimate(case: &Case, hamiltonian: &dyn Hamiltonian, samples: usize, seed: u64) -> ketformer::vmc::Estimate {
    let config = SampleConfig { samples, seed };
    case.state(&case.weights(1)).expect(hamiltonian, config).unwrap()
}

/// Estimates from samples agree with the full sum within their error bars, which have the expected size.
#[test]
fn estimates_agree_with_enumeration() {
    for (case, hamiltonian) in in_turn() {
        let state = state(&case.amplitudes(1));
        // Four for each of 1024 chains, without which errors are wider.
        let samples = 4096;
        let terms = hamiltonian.terms(&case.lattice).unwrap();
        let name = format!("{} {}", case.name, hamiltonian.name());
        let [local, imaginary] = exact_local(&terms, &state);
        let energy = expectation(&state, &local);
        let squares = local.iter().zip(imaginary).map(|(re, im)| (re - energy).powi(2) + im.powi(2));
        let squares: Vec<f64> = squares.collect();
        let sigma = (expectation(&state, &squares) / samples as f64).sqrt();
        let found = estimate(&case, hamiltonian, samples, 5);
        assert_eq!(found.samples, samples);
        println!("{name}: {} ± {} is {energy} ± {sigma}", found.energy, found.energy_error);
        assert!((found.energy - energy).abs() < 5.0 * sigma, "{name}: {found:?} is not {energy} ± {sigma}");
        assert!((found.energy - energy).abs() < 5.0 * found.energy_error, "{name}: {found:?} is not {energy}");
        assert!((found.energy_error / sigma - 1.0).abs() < 0.5, "{name}: the error of {found:?} is not {sigma}");

        // Each agrees within five error bars.
        let exact = Observables::of_complex(&terms, &case.lattice, [&state[0], &state[1]]).unwrap();
        let found = found.observables;
        let agrees = |what: &str, mean: Mean, exact: f64| {
            // In a sector some observables are constant.
            let off = (mean.value - exact).abs();
            assert!(off < 5.0 * mean.error + 1e-6, "{name}: {what} {mean:?} {exact}");
            assert!(mean.error < 0.1, "{name}: {what} {mean:?}");
        };
        for ((row, mean), exact) in DIAGONAL_OBSERVABLES.iter().zip(&found.diagonal).zip(&exact.diagonal) {
            agrees(row.name, *mean, *exact);
        }
        let sites = found.density_per_site.iter().zip(&exact.density_per_site);
        sites.for_each(|(mean, exact)| agrees("density of a site", *mean, *exact));
        let flips_every_site = matches!(hamiltonian.name(), "rydberg" | "ising");
        assert_eq!(found.sigma_x.is_some(), flips_every_site, "{name}: {found:?}");
        if let Some(sigma_x) = found.sigma_x {
            agrees("σˣ", sigma_x, exact.sigma_x);
        }
        let p = densities(&state);
        let mean = |of: &dyn Fn(usize) -> f64| p.iter().enumerate().map(|(s, p)| p * of(s)).sum::<f64>();
        let occupied = |s: usize, site: usize| (s >> site & 1) as f64;
        for i in 0..case.lattice.sites() {
            let j = (7 * i + 1) % case.lattice.sites();
            let both = mean(&|s| occupied(s, i) * occupied(s, j));
            let apart = exact.density_per_site[i] * exact.density_per_site[j];
            agrees("correlation", found.correlation[i][j], both - apart);
        }
    }
}

#[test]
fn estimates_depend_on_the_seed_alone() {
    for case in kinds() {
        // Compared as text, in which NaN equals NaN.
        let found = |seed| format!("{:?}", estimate(&case, case.hamiltonian(), 300, seed));
        let first = found(7);
        assert_eq!(first, found(7), "{}", case.name);
        assert_ne!(first, found(8), "{}", case.name);
        assert_ne!(first, found(7 | 1 << 32), "{}: half of the seed is not used", case.name);
    }
}

/// The energy of a training step agrees with the full sum for the same weights.
#[test]
fn a_step_estimates_the_energy_of_the_weights_before_it() {
    for case in kinds() {
        let config = TrainConfig { samples: 1000, ..TrainConfig::default() };
        let mut trainer = Trainer::new(gpu(), &case.lattice, case.hamiltonian(), &*case.model, config).unwrap();
        trainer.set_weights(&case.weights(1)).unwrap();
        let report = trainer.steps(1).next().unwrap().unwrap();
        let state = state(&case.amplitudes(1));
        let exact = expectation(&state, &exact_local(&case.hamiltonian().terms(&case.lattice).unwrap(), &state)[0]);
        assert!((report.energy - exact).abs() < 5.0 * report.energy_error, "{}: {report:?}, {exact}", case.name);
        assert!(report.accepted && report.step == 1);
    }
}
