//! Split R̂: convergence of Markov chains from different starts to the same distribution.
//!
//! ```text
//! W = mean s²_h        B = n · s²(means x̄_h)        R̂ = √( ((n − 1)/n · W + B/n) / W )        halves h of n numbers
//! ```
//!
//! R̂ is 1 if the means of the halves vary no more than the variance within the halves implies. The halves of a chain
//! that drifts differ, so R̂ also detects drift. Source: Gelman, Carlin, Stern, Dunson, Vehtari & Rubin, Bayesian Data
//! Analysis, third edition (2013), section 11.4. The rank normalization of Vehtari et al. (2021) is for numbers whose
//! variance may be infinite, and is not used here.

use super::NEEDED_LENGTH;

/// Returns split R̂ of `chains`, for halves of the length of the shortest chain's half; `None` if that chain has fewer
/// than 4 numbers. For constant chains, it is 1 if all have the same value, otherwise ∞.
pub(super) fn split_r_hat(chains: &[Vec<f64>]) -> Option<f64> {
    let shortest = chains.iter().map(Vec::len).min().unwrap_or(0);
    if shortest < NEEDED_LENGTH {
        return None;
    }
    let half = shortest / 2;
    let n = half as f64;
    let halves = chains.iter().flat_map(|chain| [&chain[..half], &chain[chain.len() - half..]]);
    let moments: Vec<[f64; 2]> = halves.map(mean_and_variance).collect();
    let within = moments.iter().map(|[_, variance]| variance).sum::<f64>() / moments.len() as f64;
    let means: Vec<f64> = moments.iter().map(|[mean, _]| *mean).collect();
    let [_, between] = mean_and_variance(&means);
    Some(match (within > 0.0, between > 0.0) {
        (true, _) => ((n - 1.0) / n + between / within).sqrt(),
        (false, true) => f64::INFINITY,
        (false, false) => 1.0,
    })
}

/// Returns the mean and the unbiased variance.
fn mean_and_variance(numbers: &[f64]) -> [f64; 2] {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    [mean, numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0)]
}

#[cfg(test)]
mod tests {
    use super::super::MIXED;
    use super::super::process::autoregression;
    use super::*;

    #[test]
    fn a_small_example_by_hand() {
        // Halves [1, 2] and [3, 4]: W = ½, B/n = s²(1.5, 3.5) = 2, so R̂² = ½ + 4.
        assert_eq!(split_r_hat(&[vec![1.0, 2.0, 3.0, 4.0]]), Some(4.5f64.sqrt()));
        // The middle one of five numbers is in neither half.
        assert_eq!(split_r_hat(&[vec![1.0, 2.0, 99.0, 3.0, 4.0]]), Some(4.5f64.sqrt()));
        assert_eq!(split_r_hat(&[vec![1.0, 2.0, 3.0], vec![0.0; 9]]), None);
        assert_eq!(split_r_hat(&[]), None);
    }

    #[test]
    fn chains_of_one_distribution_are_mixed() {
        for (count, length, phi) in [(2, 4000, 0.0), (64, 200, 0.0), (1000, 4, 0.0), (8, 4000, 0.9)] {
            let found = split_r_hat(&autoregression(count, length, phi)).unwrap();
            assert!((found - 1.0).abs() < 0.02, "{count} x {length}, {phi}: {found}");
        }
    }

    #[test]
    fn what_is_not_mixed_is_noticed() {
        let r_hat = |chains: &[Vec<f64>]| split_r_hat(chains).unwrap();
        let mut stuck = autoregression(2, 1000, 0.0);
        stuck[1].iter_mut().for_each(|x| *x += 1.0);
        assert!(r_hat(&stuck) > 1.2, "{}", r_hat(&stuck));
        // One chain with a drift of 1, nearly twice the standard deviation of its noise.
        let mut drifting = autoregression(1, 1000, 0.0);
        drifting[0].iter_mut().enumerate().for_each(|(k, x)| *x += k as f64 / 1000.0);
        assert!(r_hat(&drifting) > MIXED, "{}", r_hat(&drifting));
        // Chains of only a few autocorrelation times.
        assert!(r_hat(&autoregression(8, 40, 0.9)) > MIXED);
    }

    #[test]
    fn numbers_that_never_change_are_told_apart() {
        assert_eq!(split_r_hat(&[vec![2.0; 8], vec![2.0; 8]]), Some(1.0));
        assert_eq!(split_r_hat(&[vec![2.0; 8], vec![3.0; 8]]), Some(f64::INFINITY));
    }
}
