//! Properties of vision transformers in addition to those of all wave functions: symmetry, phases, and chains that stay
//! in a sector.

use std::f64::consts::TAU;

use ketformer::kernels::RandomInputs;
use ketformer::model::{Metropolis, Model, Proposal, Vit, VitAttention, Weights};
use ketformer::physics::{Hamiltonian, Heisenberg, Lattice, Patch};
use ketformer::vmc::{Likelihood, SampleConfig, State};

use super::cases::{gpu, index};
use super::chains::chance_of;
use super::sampling::LEAST_CHANCE;

/// Small network with 2x1 patches on a 4x3 lattice.
fn small(attention: VitAttention) -> (Vit, Lattice) {
    let sampling = Metropolis { sweeps: 6, burn_in: 12, ..Vit::default_sampling() };
    (Vit { patch: Patch::Block([2, 1]), width: 8, heads: 2, layers: 2, attention, sampling }, Lattice::square(4, 3))
}

/// The same network without restriction to a sector, for the amplitudes of all configurations.
fn flipping(vit: &Vit) -> Vit {
    Vit { sampling: Metropolis { proposal: Proposal::Flip, ..vit.sampling.clone() }, ..vit.clone() }
}

/// Initial weights with noise on all of them.
fn weights(vit: &Vit, lattice: &Lattice) -> Weights {
    let mut weights = vit.layout(lattice).unwrap().initial(2);
    let mut random = RandomInputs::new(9);
    for tensor in weights.tensors.values_mut() {
        let noise = random.floats(tensor.values.len());
        tensor.values.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.3 * noise);
    }
    weights
}

/// Random configurations with half of the sites up.
fn half_filled(lattice: &Lattice, count: usize) -> Vec<Vec<u8>> {
    let sites = lattice.sites();
    let mut random = RandomInputs::new(4);
    let configuration = || {
        let mut order: Vec<(u32, usize)> =
            random.integers(sites, 1 << 20).into_iter().enumerate().map(|(site, word)| (word, site)).collect();
        order.sort_unstable();
        let mut occupied = vec![0; sites];
        order[..sites / 2].iter().for_each(|(_, site)| occupied[*site] = 1);
        occupied
    };
    std::iter::repeat_with(configuration).take(count).collect()
}

/// Configuration translated by (x, y) on the periodic lattice.
fn moved(configuration: &[u8], lattice: &Lattice, [x, y]: [usize; 2]) -> Vec<u8> {
    let from = |site: usize| {
        let (at_x, at_y) = lattice.position(site);
        (at_x + x) % lattice.lx * lattice.ly + (at_y + y) % lattice.ly
    };
    (0..lattice.sites()).map(|site| configuration[from(site)]).collect()
}

/// Largest distance of log psi between configurations and their translations, with phases modulo 2π.
fn change(vit: &Vit, lattice: &Lattice, by: [usize; 2]) -> f64 {
    let given = half_filled(lattice, 20);
    let all: Vec<Vec<u8>> = given.iter().cloned().chain(given.iter().map(|c| moved(c, lattice, by))).collect();
    let likelihood = Likelihood::new(&State::new(gpu(), lattice, vit, &weights(vit, lattice)), &all).unwrap();
    let (log_p, phase) = (likelihood.log_p().unwrap(), likelihood.phase().unwrap());
    let distance = |at: usize| {
        let turn = phase[at] - phase[at + given.len()];
        (0.5 * (log_p[at] - log_p[at + given.len()])).hypot(turn - (turn / TAU).round() * TAU)
    };
    (0..given.len()).map(distance).fold(0.0, f64::max)
}

#[test]
fn factored_attention_does_not_see_translations_by_a_patch() {
    let (vit, lattice) = small(VitAttention::Factored);
    for by in [[2, 0], [0, 1], [2, 2]] {
        let change = change(&vit, &lattice, by);
        println!("{by:?}: {change:e}");
        assert!(change < 1e-4, "{by:?}: {change:e}");
    }
    // Translation by half a patch is not a symmetry, and positions break all translations.
    assert!(change(&vit, &lattice, [1, 0]) > 0.05);
    assert!(change(&small(VitAttention::Softmax).0, &lattice, [2, 0]) > 0.05);
}

/// Gradient of a weighted sum of log |psi|² and phases, along itself and along a random direction.
#[test]
fn gradients_by_phases_are_directional_derivatives() {
    for attention in [VitAttention::Factored, VitAttention::Softmax] {
        let (vit, lattice) = small(attention);
        let start = weights(&vit, &lattice);
        let likelihood =
            Likelihood::new(&State::new(gpu(), &lattice, &vit, &start), &half_filled(&lattice, 5)).unwrap();
        let mut random = RandomInputs::new(8);
        let [by_size, by_phase] = [(); 2].map(|()| random.floats(5));
        let gradient = likelihood.gradient_of_log_psi(&by_size, &by_phase).unwrap();
        let value = |tensor: &str, direction: &[f32], by: f32| -> f64 {
            let mut weights = start.clone();
            let values = &mut weights.tensors.get_mut(tensor).unwrap().values;
            values.iter_mut().zip(direction).for_each(|(value, d)| *value += by * d);
            likelihood.set_weights(&weights).unwrap();
            let (log_p, phase) = (likelihood.log_p().unwrap(), likelihood.phase().unwrap());
            let sum = |values: Vec<f64>, weights: &[f32]| -> f64 {
                values.iter().zip(weights).map(|(value, weight)| value * f64::from(*weight)).sum()
            };
            sum(log_p, &by_size) + sum(phase, &by_phase)
        };
        for (name, found) in &gradient.tensors {
            let norm = found.values.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!(norm > 0.0, "{name} has no gradient");
            let along: Vec<f32> = found.values.iter().map(|g| (f64::from(*g) / norm) as f32).collect();
            for direction in [along, random.floats(found.values.len())] {
                let slope: f64 = found.values.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                let h = 1e-3;
                let difference = (value(name, &direction, h) - value(name, &direction, -h)) / (2.0 * f64::from(h));
                let error = (difference - slope).abs();
                assert!(error < 0.01 * norm, "{attention:?} {name}: {difference} for {slope}, norm {norm}");
            }
        }
    }
}

/// Local energies from ratios of whole passes agree with the Hamiltonian's matrix and all amplitudes.
#[test]
fn local_energies_are_those_of_all_amplitudes() {
    let (vit, lattice) = small(VitAttention::Factored);
    let (weights, given) = (weights(&vit, &lattice), half_filled(&lattice, 70));
    let model = Heisenberg { j2: 0.5, ..Heisenberg::default() };
    let found = State::new(gpu(), &lattice, &vit, &weights).local_energies(&model, &given).unwrap();
    let everywhere = Likelihood::new(&State::new(gpu(), &lattice, &flipping(&vit), &weights), &all(&lattice)).unwrap();
    let (log_p, phase) = (everywhere.log_p().unwrap(), everywhere.phase().unwrap());
    let terms = model.terms(&lattice).unwrap();
    for (at, configuration) in given.iter().enumerate() {
        let own = index(configuration);
        let mut energy = [terms.diagonal(configuration), 0.0];
        for step in &terms.moves {
            let (a, b) = (step.first, step.second.unwrap());
            if configuration[a] != configuration[b] {
                let to = own ^ (1 << a) ^ (1 << b);
                let size = step.amplitude * (0.5 * (log_p[to] - log_p[own])).exp();
                let turn = phase[to] - phase[own];
                energy[0] += size * turn.cos();
                energy[1] += size * turn.sin();
            }
        }
        let error = (found.energy[at] - energy[0]).hypot(found.energy_imaginary[at] - energy[1]);
        assert!(error < 1e-4, "{at}: {} {} for {energy:?}", found.energy[at], found.energy_imaginary[at]);
    }
    assert!(found.energy_imaginary.iter().any(|e| e.abs() > 0.1), "nothing is complex");
}

/// Every configuration, ordered by the index of its state.
fn all(lattice: &Lattice) -> Vec<Vec<u8>> {
    let sites = lattice.sites();
    (0..1usize << sites).map(|state| (0..sites).map(|site| (state >> site & 1) as u8).collect()).collect()
}

/// p-values of samples of chains with `proposal`: under P, and under the uniform distribution on their sector.
fn chances(proposal: Proposal, sector: fn(usize) -> bool) -> [f64; 2] {
    let (mut vit, lattice) = small(VitAttention::Factored);
    vit.sampling.proposal = proposal;
    let weights = weights(&vit, &lattice);
    let config = SampleConfig { samples: 8000, seed: 5 };
    let drawn = State::new(gpu(), &lattice, &vit, &weights).sample(config).unwrap().configurations;
    let log_p = State::new(gpu(), &lattice, &flipping(&vit), &weights).full_sum().unwrap().log_p;
    [chance_of(&drawn, &log_p, sector), chance_of(&drawn, &vec![0.0; log_p.len()], sector)]
}

/// The number of possible exchanges differs between configurations, which the acceptance must include.
#[test]
fn exchanges_draw_from_the_sector_of_half_the_sites() {
    let [of_p, flat] = chances(Proposal::Exchange, |state| state.count_ones() == 6);
    println!("{of_p} {flat}");
    assert!(of_p > LEAST_CHANCE, "chance {of_p:e}");
    assert!(flat < LEAST_CHANCE, "a flat distribution would pass as well");
}

#[test]
fn flips_draw_from_all_configurations() {
    let [of_p, flat] = chances(Proposal::Flip, |_| true);
    println!("{of_p} {flat}");
    assert!(of_p > LEAST_CHANCE, "chance {of_p:e}");
    assert!(flat < LEAST_CHANCE, "a flat distribution would pass as well");
}
