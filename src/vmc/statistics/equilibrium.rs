//! Error bars of Markov chains that drift, or are too short to show whether they do.
//!
//! The autocorrelation time includes what differs between chains, but not what no chain has reached yet. Chains on their
//! way to equilibrium drift together: the means of their second halves differ from those of their first halves, D on
//! average, by more than the spread of these differences over the C chains explains. The drift is added to the error.
//! Chains of fewer than four samples show nothing, and the error of the mean is that of a single sample.
//!
//! ```text
//! ε² = s² 2τ/n        ε² = s² 2τ/n + D² if |D| > 4 s(D_c)/√C and C ≥ 8        ε² = s² with fewer than 4 samples per chain
//! ```

use super::autocorrelation::autocorrelation_time;

/// Maximum split R̂ of Markov chains that count as mixed.
pub const MIXED: f64 = 1.05;

/// Number of samples that every Markov chain must have to show whether the chains agree: two for each half.
pub const NEEDED_LENGTH: usize = 4;

/// Minimum number of chains whose differences show a drift.
const FEWEST_CHAINS: usize = 8;

/// Number of standard errors from which a drift is significant.
const SIGNIFICANT: f64 = 4.0;

/// Factor of the error bar √(s²·2τ/n) of `chains`, at least 1.
pub(crate) fn widening(chains: &[Vec<f64>]) -> f64 {
    let count = chains.iter().map(Vec::len).sum::<usize>() as f64;
    let mean = chains.iter().flatten().sum::<f64>() / count;
    let variance = chains.iter().flatten().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let square = variance * 2.0 * autocorrelation_time(chains) / count;
    if square <= f64::MIN_POSITIVE {
        return 1.0;
    }
    let whole = match chains.iter().map(Vec::len).min().unwrap_or(0) < NEEDED_LENGTH {
        true => variance,
        false => square + drift(chains).powi(2),
    };
    (whole / square).sqrt().max(1.0)
}

/// Mean difference of the second and the first halves of chains; 0 if it is not significant.
fn drift(chains: &[Vec<f64>]) -> f64 {
    if chains.len() < FEWEST_CHAINS {
        return 0.0;
    }
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
    let of_chain = |chain: &Vec<f64>| {
        let (first, second) = chain.split_at(chain.len() / 2);
        mean(second) - mean(first)
    };
    let all: Vec<f64> = chains.iter().map(of_chain).collect();
    let (count, drift) = (all.len() as f64, mean(&all));
    let variance = all.iter().map(|one| (one - drift).powi(2)).sum::<f64>() / (count - 1.0);
    if drift.abs() > SIGNIFICANT * (variance / count).sqrt() { drift } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::process::autoregression;
    use super::*;

    #[test]
    fn chains_in_equilibrium_keep_their_error() {
        for (count, length, phi) in [(2, 4000, 0.0), (64, 200, 0.5), (1, 4000, 0.9), (1000, 4, 0.8), (128, 8, 0.9)] {
            assert_eq!(widening(&autoregression(count, length, phi)), 1.0, "{count} x {length}, {phi}");
        }
        assert_eq!(widening(&[vec![2.0], vec![2.0]]), 1.0);
    }

    /// The error bar of chains of fewer than four numbers is the standard deviation of one number.
    #[test]
    fn short_chains_have_the_error_of_one_number() {
        for length in [1, 2, 3] {
            let chains = autoregression(1000, length, 0.0);
            let samples = 1000.0 * length as f64;
            let relative = widening(&chains) * (2.0 * autocorrelation_time(&chains) / samples).sqrt();
            assert!((relative - 1.0).abs() < 1e-12, "{length}: {relative}");
        }
        assert!(widening(&[vec![1.0, 2.0, 3.0]]) > 1.0);
    }

    /// Chains that all approach 0 from 1: the error is of the order of what remains.
    #[test]
    fn chains_that_drift_together_have_a_wider_error() {
        let mut chains = autoregression(1000, 4, 0.0);
        chains.iter_mut().for_each(|chain| {
            chain.iter_mut().enumerate().for_each(|(k, x)| *x += 0.8f64.powi(k as i32));
        });
        let count = 4000.0;
        let mean = chains.iter().flatten().sum::<f64>() / count;
        let variance = chains.iter().flatten().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let error = widening(&chains) * (variance * 2.0 * autocorrelation_time(&chains) / count).sqrt();
        assert!(mean > 0.7 && error > 0.3 && error < 0.5, "{mean} ± {error}");
    }
}
