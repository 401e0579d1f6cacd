//! Rényi-2 entropy from samples, against that of the reduced density matrix.

use ketformer::ErrorKind;
use ketformer::vmc::{RenyiEntropy, SampleConfig};

use super::cases::{Case, cases, kinds};
use super::energy::{Parts, state};

/// tr ρ_A² of a state, where A are the sites that are `true` in `part`.
fn purity([re, im]: &Parts, part: &[bool]) -> f64 {
    let inside: usize = part.iter().enumerate().map(|(site, inside)| usize::from(*inside) << site).sum();
    let (a, b): (Vec<usize>, Vec<usize>) = {
        let all = 0..re.len();
        (all.clone().filter(|s| s & !inside == 0).collect(), all.filter(|s| s & inside == 0).collect())
    };
    // Σ |ρ(a, a')|² with ρ(a, a') = Σ_b ψ(a b) ψ*(a' b).
    let mut sum = 0.0;
    for x in &a {
        for y in &a {
            let (mut real, mut imaginary) = (0.0, 0.0);
            for z in &b {
                let (s, t) = (x | z, y | z);
                real += re[s] * re[t] + im[s] * im[t];
                imaginary += im[s] * re[t] - re[s] * im[t];
            }
            sum += real * real + imaginary * imaginary;
        }
    }
    sum
}

fn entropy(case: &Case, part: &[bool], samples: usize, seed: u64) -> ketformer::Result<RenyiEntropy> {
    let config = SampleConfig { samples, seed };
    case.state(&case.weights(1)).renyi_entropy(part, config)
}

#[test]
fn it_is_that_of_the_reduced_density_matrix() {
    for case in kinds().iter().filter(|case| case.lattice.sites() <= 12) {
        let n = case.lattice.sites();
        let state = state(&case.amplitudes(1));
        for part in [(0..n).map(|i| i < n / 2).collect::<Vec<bool>>(), (0..n).map(|i| i % 3 == 1).collect()] {
            let exact = purity(&state, &part);
            let found = entropy(case, &part, 2000, 3).unwrap();
            println!("{}: {:?} of {exact}, {:?}", case.name, found.purity, found.entropy);
            assert!((found.purity.value - exact).abs() < 5.0 * found.purity.error, "{}: {found:?} {exact}", case.name);
            assert!(found.purity.error < 0.15 && (found.entropy.value + found.purity.value.ln()).abs() < 1e-12);
            assert_eq!(found.sites, part.iter().filter(|inside| **inside).count());
        }
        // For all sites, and for none, the state is pure and the entropy has no error.
        for all in [true, false] {
            let found = entropy(case, &vec![all; n], 100, 3).unwrap();
            assert!(found.entropy.value.abs() < 1e-4 && found.entropy.error < 1e-4, "{}: {found:?}", case.name);
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let case = &cases()[1];
    for refused in [entropy(case, &[true; 3], 100, 1), entropy(case, &[true; 8], 3, 1)] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Settings);
    }
}
