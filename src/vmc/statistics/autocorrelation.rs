//! Integrated autocorrelation time of Markov chains.
//!
//! ```text
//! ρ(t) = ⟨(x_k − x̄)(x_{k+t} − x̄)⟩ / ⟨(x_k − x̄)²⟩        τ = ½ + Σ_{t=1}^{W} ρ(t)        W = smallest W ≥ 5 τ
//! ```
//!
//! The mean of n numbers has the variance s²·2τ/n, so the effective sample size is n/2τ. Source: Sokal, Monte Carlo
//! methods in statistical mechanics (1996), section 3.

/// Window W in units of τ. A shorter sum misses part of τ, a longer sum adds noise.
const WINDOW: f64 = 5.0;

/// Returns the integrated autocorrelation time τ of numbers from independent chains, in steps of a chain. It is at
/// least ½, the value for independent numbers. The chains have the same distribution, so ρ is averaged over all of
/// them.
///
/// If the chains are too short for a window, τ follows from the variance of the means of the independent chains,
/// 2τ = length · variance of means / variance of numbers. This τ only includes correlations within the length of a
/// chain, but the error bar that follows from it is still correct.
pub(crate) fn autocorrelation_time(chains: &[Vec<f64>]) -> f64 {
    let count = chains.iter().map(Vec::len).sum::<usize>() as f64;
    let mean = chains.iter().flatten().sum::<f64>() / count;
    let variance = chains.iter().flatten().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let longest = chains.iter().map(Vec::len).max().unwrap_or(0);
    // The correlation of constant numbers is undefined.
    if longest < 2 || variance <= f64::MIN_POSITIVE {
        return 0.5;
    }
    let mut time = 0.5;
    for t in 1..longest {
        let pairs = chains.iter().flat_map(|chain| chain.iter().zip(chain.iter().skip(t)));
        let (sum, pairs) = pairs.fold((0.0, 0usize), |(sum, pairs), (a, b)| (sum + (a - mean) * (b - mean), pairs + 1));
        time += sum / pairs.max(1) as f64 / variance;
        if t as f64 >= WINDOW * time {
            return time.max(0.5);
        }
    }
    let of_chain = |chain: &Vec<f64>| (chain.iter().sum::<f64>() - mean * chain.len() as f64).powi(2);
    let squares: f64 = chains.iter().map(of_chain).sum();
    let freedom = (chains.len() as f64 / (chains.len() as f64 - 1.0).max(0.5)).max(1.0);
    (0.5 * freedom * squares / count / variance).max(0.5)
}

#[cfg(test)]
mod tests {
    use super::super::process::{autoregression, exact_time};
    use super::*;

    #[test]
    fn the_time_of_an_autoregressive_process_is_found() {
        for (count, length) in [(1, 40_000), (20, 2000), (400, 100)] {
            for phi in [0.0, 0.5, 0.8] {
                let found = autocorrelation_time(&autoregression(count, length, phi));
                let exact = exact_time(phi);
                assert!((found / exact - 1.0).abs() < 0.12, "{count} x {length}, {phi}: {found} of {exact}");
            }
        }
    }

    /// For chains much shorter than τ, the error of the overall mean is that of the means of the chains.
    #[test]
    fn short_chains_give_the_error_of_their_means() {
        let (count, length) = (2000, 8);
        let all = autoregression(count, length, 0.95);
        let mean = all.iter().flatten().sum::<f64>() / (count * length) as f64;
        let variance = all.iter().flatten().map(|x| (x - mean).powi(2)).sum::<f64>() / (count * length) as f64;
        let means = all.iter().map(|chain| chain.iter().sum::<f64>() / length as f64);
        let of_means = means.map(|m| (m - mean).powi(2)).sum::<f64>() / (count as f64 - 1.0);
        let found = variance * 2.0 * autocorrelation_time(&all) / (count * length) as f64;
        assert!((found / (of_means / count as f64) - 1.0).abs() < 1e-9);
        assert!(autocorrelation_time(&all) > 3.0);
    }

    #[test]
    fn a_single_chain_that_drifts_has_a_long_time() {
        let drifting: Vec<f64> = (0..50).map(f64::from).collect();
        assert!(autocorrelation_time(&[drifting]) > 5.0);
    }

    #[test]
    fn single_numbers_and_constants_do_not_depend_on_each_other() {
        assert_eq!(autocorrelation_time(&[vec![1.0], vec![2.0], vec![4.0]]), 0.5);
        assert_eq!(autocorrelation_time(&[vec![3.0; 100]]), 0.5);
    }
}
