//! Error bars of Markov chains that disagree, or are too short to show whether they do.
//!
//! The autocorrelation time within the chains says nothing about what they have not reached. Split R̂² compares the
//! variance s² of all samples with that within the halves of chains, so that 1 − 1/R̂² is the part of the variance by
//! which chains, or the beginning and the end of chains, differ. If R̂ shows disagreement, the error of the mean of C
//! chains contains that part divided by C, and a systematic part that no number of chains reduces, because all of them
//! may be on their way to equilibrium: it grows from 0 at the limit of R̂ to s for R̂ → ∞. Without R̂ the error is s.
//!
//! ```text
//! ε² = s² min(1, 2τ/n + (1 − 1/R̂²)/C + (1 − 1.05²/R̂²)²) if R̂ > 1.05        ε² = s² without R̂        n_eff = s²/ε²
//! ```

use super::autocorrelation::autocorrelation_time;
use super::r_hat::split_r_hat;

/// Maximum split R̂ of Markov chains that count as mixed.
pub const MIXED: f64 = 1.05;

/// Number of samples that every Markov chain must have to show whether the chains agree: two for each half.
pub const NEEDED_LENGTH: usize = 4;

/// Factor of the error bar √(s²·2τ/n) of `chains`, at least 1.
pub(crate) fn widening(chains: &[Vec<f64>]) -> f64 {
    let samples = chains.iter().map(Vec::len).sum::<usize>() as f64;
    let share = 2.0 * autocorrelation_time(chains) / samples;
    let whole = match split_r_hat(chains) {
        None => 1.0,
        Some(r_hat) if r_hat > MIXED => {
            let [between, systematic] = [1.0, MIXED].map(|limit| 1.0 - (limit / r_hat).powi(2));
            share + between / chains.len() as f64 + systematic.powi(2)
        }
        Some(_) => share,
    };
    (whole.min(1.0) / share).sqrt().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::process::autoregression;
    use super::*;

    #[test]
    fn chains_that_agree_keep_their_error() {
        for (count, length, phi) in [(2, 4000, 0.0), (64, 200, 0.5), (1, 4000, 0.9)] {
            assert_eq!(widening(&autoregression(count, length, phi)), 1.0, "{count} x {length}, {phi}");
        }
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
        assert!(widening(&[vec![1.0, 2.0, 3.0]]).is_finite());
    }

    /// Two chains around 0 and 1 with a standard deviation of 0.58: the mean may be wrong by about ½.
    #[test]
    fn chains_that_disagree_have_an_error_that_covers_both() {
        let mut chains = autoregression(2, 1000, 0.0);
        chains[1].iter_mut().for_each(|x| *x += 1.0);
        let variance = 1.0 / 3.0 + 0.25;
        let plain = variance * 2.0 * autocorrelation_time(&chains) / 2000.0;
        let error = widening(&chains) * plain.sqrt();
        assert!((0.4..0.8).contains(&error), "{error}");
        // Chains that never move have the error of one number.
        let stuck = [vec![0.0; 8], vec![1.0; 8]];
        assert!((widening(&stuck).powi(2) * 2.0 * autocorrelation_time(&stuck) / 16.0 - 1.0).abs() < 1e-12);
    }
}
