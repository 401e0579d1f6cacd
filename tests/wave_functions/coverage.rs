//! Coverage of the exact values by error bars over many seeds, for independent samples and for correlated samples of
//! Markov chains.

use ketformer::model::{Metropolis, Rbm};
use ketformer::physics::{Lattice, Observables};
use ketformer::vmc::{Mean, SampleConfig};

use super::cases::{Case, cases};
use super::energy::{exact_local, expectation, state};
use super::hamiltonians::ISING;

const SEEDS: u64 = 100;

/// Fractions of estimates within one and within two error bars of the exact value: 0.68 and 0.95 for normally
/// distributed errors.
fn covered(case: &Case) -> [f64; 2] {
    let weights = case.weights(1);
    let amplitudes = case.state(&weights).full_sum().unwrap();
    let state = state(&amplitudes);
    let terms = ketformer::Hamiltonian::terms(&ISING, &case.lattice).unwrap();
    let energy = expectation(&state, &exact_local(&terms, &state)[0]);
    let exact = Observables::of_complex(&terms, &case.lattice, [&state[0], &state[1]]).unwrap();
    let mut counts = [0.0; 3];
    for seed in 1..=SEEDS {
        let config = SampleConfig { samples: 1024, seed };
        let found = case.state(&weights).expect(&ISING, config).unwrap();
        let of = &found.observables;
        let pair = exact.density_per_site[0] * exact.density_per_site[1];
        let both = state.iter().flat_map(|part| part.iter().enumerate()).filter(|(s, _)| s & 3 == 3);
        let both: f64 = both.map(|(_, amplitude)| amplitude * amplitude).sum();
        let means = [
            (Mean { value: found.energy, error: found.energy_error }, energy),
            (of.density(), exact.density()),
            (of.sigma_x.unwrap(), exact.sigma_x),
            (of.staggered_abs(), exact.staggered_abs()),
            (of.staggered_squared(), exact.staggered_squared()),
            (of.density_per_site[1], exact.density_per_site[1]),
            (of.correlation[0][1], both - pair),
        ];
        for (mean, exact) in means {
            let off = (mean.value - exact).abs() / mean.error;
            assert!(off < 6.0, "{} seed {seed}: {mean:?} {exact}", case.name);
            counts[0] += 1.0;
            counts[1] += f64::from(u8::from(off < 1.0));
            counts[2] += f64::from(u8::from(off < 2.0));
        }
    }
    [counts[1] / counts[0], counts[2] / counts[0]]
}

#[test]
fn error_bars_cover_as_often_as_they_say() {
    let independent = cases().into_iter().find(|case| case.name == "ptf, a single patch").unwrap();
    let one_sweep = |chains| {
        let sampling = Metropolis { chains: Some(chains), sweeps: 1, burn_in: 50, ..Metropolis::default() };
        let model = Box::new(Rbm { alpha: 1.5, sampling });
        Case { name: "rbm with correlated samples", lattice: Lattice::chain(5), model, amplitude: 0.6 }
    };
    // Few chains are split into long batches; of many chains, several form a batch.
    for case in [independent, one_sweep(8), one_sweep(128)] {
        let [one, two] = covered(&case);
        println!("{}: {one} within one error bar, {two} within two", case.name);
        assert!((one - 0.68).abs() < 0.08 && (two - 0.95).abs() < 0.04, "{}: {one}, {two}", case.name);
    }
}
