//! Projections onto the symmetries of a Hamiltonian: estimates from samples agree with full sums.

use std::collections::BTreeSet;

use ketformer::model::{Metropolis, Ptf, Rbm, Rnn};
use ketformer::physics::{
    Hamiltonian, Heisenberg, Lattice, Operator, Patch, Rydberg, Symmetry, SymmetryGroup, Terms, Tfim,
};
use ketformer::run::Enumeration;
use ketformer::vmc::{Amplitudes, ProjectedEstimate, SampleConfig, State, TrainConfig, Trainer};
use ketformer::{ErrorKind, Model, Weights};

use super::cases::{Case, cases, gpu};
use super::hamiltonians::ISING;

/// Real and imaginary part of a projection, from its definition.
fn projection(amplitudes: &Amplitudes, group: &SymmetryGroup, character: usize) -> [Vec<f64>; 2] {
    [f64::cos, f64::sin].map(|of: fn(f64) -> f64| {
        let all = amplitudes.log_p.iter().zip(&amplitudes.phase);
        group.project(character, &all.map(|(log_p, phase)| (0.5 * log_p).exp() * of(*phase)).collect::<Vec<f64>>())
    })
}

fn square(vectors: &[Vec<f64>; 2]) -> f64 {
    vectors.iter().flatten().map(|x| x * x).sum()
}

/// The variance of the local energy in the projected state, ⟨|Hψ − Eψ|²⟩ over the states of `seen`.
fn variance_over(terms: &Terms, projection: &[Vec<f64>; 2], energy: f64, seen: impl Fn(usize) -> bool) -> f64 {
    let operator = Operator::new(terms).unwrap();
    let deviations = projection.each_ref().map(|part| {
        let mut product = vec![0.0; part.len()];
        operator.apply(part, &mut product);
        let of_state = |state: usize| if seen(state) { product[state] - energy * part[state] } else { 0.0 };
        (0..part.len()).map(of_state).collect()
    });
    square(&deviations) / square(projection)
}

fn estimate(
    (lattice, hamiltonian): (&Lattice, &dyn Hamiltonian),
    (model, weights): (&dyn Model, &Weights),
    group: &SymmetryGroup,
) -> ProjectedEstimate {
    let config = SampleConfig { samples: 1500, seed: 3 };
    State::new(gpu(), lattice, model, weights).expect_projected(hamiltonian, group, config).unwrap()
}

/// Asserts that the estimate for `case` agrees with the full sum within its error bar. Returns the distance of its
/// energy from that of the unprojected wave function, in error bars.
fn agrees(case: &Case, lattice: &Lattice, hamiltonian: &dyn Hamiltonian) -> f64 {
    let (name, weights) = (case.name, case.weights(1));
    let terms = hamiltonian.terms(lattice).unwrap();
    let group = SymmetryGroup::new(&terms, lattice).unwrap();
    let found = estimate((lattice, hamiltonian), (&*case.model, &weights), &group);
    let amplitudes = State::new(gpu(), lattice, &*case.model, &weights).full_sum().unwrap();
    let of = |character| projection(&amplitudes, &group, character);
    let enumerated = Enumeration::projected(&terms, lattice, &amplitudes, &group, found.character).unwrap();
    let (weight, energy) = (enumerated.total, enumerated.observables.energy);
    // |Hψ| can be large where |ψ| is tiny: contributions of orbits that are rarely drawn may be missed.
    let drawn = |state: usize| {
        let images: BTreeSet<usize> = group.elements().iter().map(|g| g.image_of_state(state)).collect();
        found.samples as f64 * images.iter().map(|image| amplitudes.log_p[*image].exp()).sum::<f64>() > 10.0
    };
    let least = variance_over(&terms, &of(found.character), energy, drawn);
    let variance = variance_over(&terms, &of(found.character), energy, |_| true);
    println!("{name}, {} symmetries: {found:?}, exact {weight} {energy} {variance}", group.order());
    assert!((found.energy - energy).abs() < 5.0 * found.energy_error + 1e-4, "{name}: {found:?}, exact {energy}");
    assert!(found.energy_error < 5.0 * (variance / found.effective_samples).sqrt(), "{name}: {found:?}, {variance}");
    let range = 0.6 * least..1.4 * variance;
    assert!(
        range.contains(&found.variance) && least > 0.2 * variance,
        "{name}: {found:?}, exact {least} to {variance}"
    );
    // Weights are between 0 and 1, so that the standard error of their mean is at most ½ / √n.
    let spread = 0.5 / found.effective_samples.sqrt();
    assert!((found.weight - weight).abs() < 5.0 * spread && found.weight <= 1.0 + 1e-6, "{name}: {found:?}, {weight}");
    assert!(
        (0..group.characters().len()).all(|c| square(&of(c)) < weight + 5.0 * spread),
        "{name}: another holds more"
    );
    assert!(case.model.is_complex() || found.character == 0, "{name}: positive numbers add up to most");
    let plain = Enumeration::new(&terms, lattice, &amplitudes).unwrap().observables.energy;
    (found.energy - plain).abs() / found.energy_error
}

#[test]
fn estimates_are_those_of_the_projected_state() {
    let mut apart: f64 = 0.0;
    for case in cases().into_iter().filter(|case| case.lattice.sites() <= 10) {
        let (lattice, hamiltonian) = match case.model.is_complex() {
            true => (case.lattice.periodic(), Heisenberg { j2: 0.5, ..Heisenberg::default() }),
            false => (case.lattice, Heisenberg { marshall: true, ..Heisenberg::default() }),
        };
        apart = apart.max(agrees(&case, &lattice, &hamiltonian));
    }
    assert!(apart > 10.0, "the energy of what is not projected would pass as well, {apart} error bars away");
}

/// Torus with translations, which are not symmetries of the wave function.
#[test]
fn translations_are_projected_too() {
    let case = cases().into_iter().find(|case| case.lattice == Lattice::square(3, 3)).unwrap();
    agrees(&case, &case.lattice.periodic(), &Tfim { h: 1.5, ..Tfim::default() });
}

/// Constant amplitudes equal their projection.
#[test]
fn a_symmetric_wave_function_stays_as_it_is() {
    let lattice = Lattice::square(3, 3);
    let rbm = Rbm { alpha: 1.0, sampling: Metropolis { chains: Some(300), ..Metropolis::default() } };
    let mut weights = rbm.layout(&lattice).unwrap().initial(4);
    weights.tensors.values_mut().flat_map(|tensor| &mut tensor.values).for_each(|value| *value = 0.0);
    let rydberg = Rydberg::default();
    let group = SymmetryGroup::new(&rydberg.terms(&lattice).unwrap(), &lattice).unwrap();
    let found = estimate((&lattice, &rydberg), (&rbm, &weights), &group);
    let config = SampleConfig { samples: 1500, seed: 3 };
    let plain = State::new(gpu(), &lattice, &rbm, &weights).expect(&rydberg, config).unwrap();
    println!("{found:?} {plain:?}");
    assert!((found.weight - 1.0).abs() < 1e-6 && found.character == 0);
    assert!((found.energy - plain.energy).abs() < 1e-5 && (found.variance / plain.variance - 1.0).abs() < 1e-3);
    assert!((found.energy_error / plain.energy_error - 1.0).abs() < 1e-2);
    assert!((found.v_score / plain.v_score - 1.0).abs() < 1e-3);
}

/// The projection of a trained wave function is symmetric and closer to the ground state.
#[test]
fn a_projection_brings_a_wave_function_nearer() {
    let lattice = Lattice::square(3, 3);
    let ptf = Ptf { patch: Patch::Line(3), width: 8, heads: 2, layers: 1, feed_forward: 8, ..Ptf::default() };
    let rydberg = Rydberg::default();
    let config = TrainConfig { samples: 256, learning_rate: 1e-2, ..TrainConfig::default() };
    let mut trainer = Trainer::new(gpu(), &lattice, &rydberg, &ptf, config).unwrap();
    trainer.steps(60).for_each(|report| assert!(report.unwrap().accepted));
    let weights = trainer.weights().unwrap();
    let terms = rydberg.terms(&lattice).unwrap();
    let group = SymmetryGroup::new(&terms, &lattice).unwrap();
    let amplitudes = State::new(gpu(), &lattice, &ptf, &weights).full_sum().unwrap();
    let plain = Enumeration::new(&terms, &lattice, &amplitudes).unwrap();
    let projected = Enumeration::projected(&terms, &lattice, &amplitudes, &group, 0).unwrap();
    let ground = ketformer::physics::ground_state(&terms, 9).unwrap();
    println!("{} {} {}", plain.observables.energy, projected.observables.energy, ground.energy);
    assert!(projected.observables.energy < plain.observables.energy - 1e-4);
    // The ground state is in the representation, so that the projection removes no part of it.
    assert!((plain.fidelity(&ground) / projected.total - projected.fidelity(&ground)).abs() < 1e-6);
    // Densities are those of a symmetric state: equal on all corners, and equal on all edges.
    let density = &projected.observables.density_per_site;
    assert!([2, 6, 8].iter().all(|corner| (density[*corner] - density[0]).abs() < 1e-9));
    assert!([3, 5, 7].iter().all(|edge| (density[*edge] - density[1]).abs() < 1e-9));
    assert!((plain.observables.density_per_site[0] - plain.observables.density_per_site[8]).abs() > 1e-4);
}

/// A group permutes the sites of its own lattice, and leaves its own Hamiltonian invariant.
#[test]
fn a_group_of_another_problem_is_refused() {
    let (lattice, rydberg) = (Lattice::square(2, 3), Rydberg::default());
    let rnn = Rnn { width: 8, ..Rnn::default() };
    let weights = rnn.layout(&lattice).unwrap().initial(1);
    let state = State::new(gpu(), &lattice, &rnn, &weights);
    let of = |hamiltonian: &dyn Hamiltonian, other: Lattice| {
        let group = SymmetryGroup::new(&hamiltonian.terms(&other).unwrap(), &other).unwrap();
        let error = state.expect_projected(&rydberg, &group, SampleConfig::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Settings);
        error.to_string()
    };
    for other in [Lattice::square(3, 3), Lattice::square(3, 2), Lattice::chain(6), lattice.periodic()] {
        let text = of(&rydberg, other);
        assert!(
            text.contains(&format!("of the lattice {other} with")) && text.contains("; build it for this"),
            "{text}"
        );
    }
    let text = of(&Tfim::default(), lattice);
    assert!(text.contains("does not leave the Hamiltonian on 2x3 invariant; build it"), "{text}");
}

#[test]
fn a_hamiltonian_without_symmetry_is_refused() {
    let case = &cases()[1];
    let group = SymmetryGroup::new(&ISING.terms(&case.lattice).unwrap(), &case.lattice).unwrap();
    assert_eq!(group.order(), 1);
    let (lattice, weights) = (&case.lattice, case.weights(1));
    let error =
        State::new(gpu(), lattice, &*case.model, &weights).expect_projected(&ISING, &group, SampleConfig::default());
    let error = error.unwrap_err();
    assert!(error.kind() == ErrorKind::Settings && error.to_string().contains("leave symmetrize out"), "{error}");
}

/// Symmetries that a network states are exact, and hold for wave functions that state none only by chance: translations
/// by a site are none of theirs.
#[test]
fn stated_symmetries_are_exact() {
    let mut stated = 0;
    for case in cases() {
        let symmetries = case.model.symmetries(&case.lattice).unwrap();
        let amplitudes = case.amplitudes(1);
        for (name, g) in &symmetries {
            let [re, im] = amplitudes.expectation(g);
            assert!((re - 1.0).abs() < 1e-5 && im.abs() < 1e-5, "{} {name}: {re} {im}", case.name);
            stated += 1;
        }
        let all = [[1, 0], [0, 1]].map(|shift| Symmetry::translation(&case.lattice, shift));
        for g in all.iter().filter(|g| !g.is_identity() && symmetries.is_empty()) {
            let [re, _] = amplitudes.expectation(g);
            assert!(re < 1.0 - 1e-4, "{} has a symmetry that it does not state: {re}", case.name);
        }
    }
    assert!(stated >= 4, "{stated}");
}

/// Estimates of expectation values of symmetries from samples agree with the sum over all configurations.
#[test]
fn expectations_of_symmetries_agree_with_enumeration() {
    for case in super::cases::kinds() {
        let symmetries = [[1, 0], [0, 1]].map(|shift| Symmetry::translation(&case.lattice, shift));
        let weights = case.weights(1);
        let config = SampleConfig { samples: 2000, seed: 6 };
        let found = case.state(&weights).expect_symmetries(&symmetries, config).unwrap();
        for (g, found) in symmetries.iter().zip(found) {
            let exact = case.amplitudes(1).expectation(g);
            for part in [0, 1] {
                let off = (found.value[part] - exact[part]).abs();
                assert!(off < 5.0 * found.error[part] + 1e-4, "{}: {found:?} is not {exact:?}", case.name);
            }
        }
    }
}
