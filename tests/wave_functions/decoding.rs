//! Agreement between all ways to compute a wave function: for sampling (patch by patch if it is autoregressive), for
//! the gradient (all patches at once), and for connected configurations (over a shared prefix, or from a sample's
//! activations).

use std::f64::consts::TAU;

use ketformer::model::{Precision, Weights};
use ketformer::physics::Hamiltonian;
use ketformer::vmc::{Amplitudes, Likelihood};

use super::cases::{Case, cases, index, problems};

#[test]
fn probabilities_add_up_to_one() {
    for case in cases() {
        for seed in [1, 2] {
            let sum: f64 = case.log_p(seed).iter().map(|log_p| log_p.exp()).sum();
            println!("{}: {:e}", case.name, sum - 1.0);
            assert!((sum - 1.0).abs() < 1e-5, "{}: Σ P = {sum}", case.name);
        }
    }
}

#[test]
fn sampling_agrees_with_the_pass_with_gradient() {
    for case in cases() {
        let weights = case.weights(1);
        let configurations = case.some_configurations(300);
        let amplitudes = case.amplitudes(1);
        let decoded: Vec<f64> = configurations.iter().map(|c| amplitudes.log_p[index(c)]).collect();
        let forced = Likelihood::new(&case.state(&weights), &configurations).unwrap();
        assert_eq!(forced.is_normalized(), case.is_normalized());
        let phases = forced.phase().unwrap();
        let apart = configurations.iter().zip(&phases).map(|(c, phase)| (amplitudes.phase[index(c)] - phase).abs());
        let apart = apart.fold(0.0, nan_max);
        assert!(apart < 2e-5, "{}: phases are {apart:e} apart", case.name);
        assert_eq!(phases.iter().any(|phase| *phase != 0.0), case.model.is_complex(), "{}", case.name);
        let forced = forced.log_p().unwrap();
        let constant = case.constant(forced[0], decoded[0]);
        assert_eq!(forced.len(), decoded.len());
        let worst = decoded.iter().zip(&forced).map(|(a, b)| (a - b - constant).abs()).fold(0.0, nan_max);
        println!("{}: {worst:e}", case.name);
        assert!(worst < 2e-5, "{}: {worst:e}", case.name);
    }
}

/// A move recomputes only what it changes. A full evaluation of the connected configuration gives the same.
#[test]
fn moves_agree_with_brute_force() {
    for (case, hamiltonians) in problems() {
        for hamiltonian in hamiltonians {
            moves_lead_to((&case, hamiltonian), &case.weights(1), &case.amplitudes(1), Precision::Single, 5e-5);
        }
    }
}

/// Asserts that log P and phases of connected configurations agree with `amplitudes` of all states within `tolerance`.
pub fn moves_lead_to(
    (case, hamiltonian): (&Case, &dyn Hamiltonian),
    weights: &Weights,
    amplitudes: &Amplitudes,
    precision: Precision,
    tolerance: f64,
) {
    let Amplitudes { log_p, phase } = amplitudes;
    let patching = case.model.patching(&case.lattice).unwrap();
    let configurations = case.some_configurations(200);
    let mut moves = hamiltonian.terms(&case.lattice).unwrap().moves;
    let patch = |site: usize| patching.patch_of()[site].0;
    moves.sort_by_key(|m| m.second.map_or(patch(m.first), |second| patch(second).min(patch(m.first))));
    let found = case.state(weights).with_precision(precision).local_energies(hamiltonian, &configurations).unwrap();
    assert_eq!(found.moved_log_p.len(), configurations.len());
    assert_eq!(found.normalized, case.is_normalized());
    let constant = case.constant(found.log_p[0], log_p[index(&configurations[0])]);
    let (mut worst, mut least) = (0.0, 0.0f64);
    let mut kinds = [0; 3];
    for (at, configuration) in configurations.iter().enumerate() {
        let (own, moved) = (found.log_p[at], found.moved_log_p[at].iter().zip(&found.moved_phase[at]));
        worst = nan_max(worst, (own + constant - log_p[index(configuration)]).abs());
        assert_eq!(moved.len(), moves.len());
        for (step, (moved, moved_phase)) in moves.iter().zip(moved) {
            if !step.acts_on(configuration) {
                assert!(*moved < -1e29, "{} {}: {step:?} on {configuration:?}", case.name, hamiltonian.name());
                kinds[0] += 1;
                continue;
            }
            let mut there = configuration.clone();
            step.flip_in(&mut there);
            worst = nan_max(worst, (moved + constant - log_p[index(&there)]).abs());
            // Ratios determine phases modulo 2π.
            let turn = moved_phase - phase[index(&there)];
            worst = nan_max(worst, (turn - (turn / TAU).round() * TAU).abs());
            least = least.max((log_p[index(configuration)] - log_p[index(&there)]).abs());
            let across = step.second.is_some_and(|second| patch(second) != patch(step.first));
            kinds[if across { 2 } else { 1 }] += 1;
        }
    }
    let name = format!("{} {} {precision:?}", case.name, hamiltonian.name());
    println!("{name}: {worst:e} of {least:e}, {kinds:?}");
    assert!(worst < tolerance, "{name}: {worst:e}");
    assert!(least > 0.1, "{name}: no move changes P by more than {least:e}");
}

/// Maximum of the two, or infinity if one is NaN.
pub fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::INFINITY } else { a.max(b) }
}
