//! Error bars by blocking: means of longer blocks of a chain are less correlated.
//!
//! ```text
//! x^(0) = x        x^(k+1)_i = ½ (x^(k)_2i + x^(k)_2i+1)        ε_k² = s²(x^(k)) · 2^k / n
//! ```
//!
//! ε_k is the error of the mean of all n numbers if blocks of 2^k numbers are independent. It grows with k until they
//! are.
//!
//! Sources: Flyvbjerg & Petersen, J. Chem. Phys. 91, 461 (1989). Stopping criterion, 8^k > 2n (ε_k/ε_0)⁴: Lee, Conduit,
//! Nemec, López Ríos & Drummond, Phys. Rev. E 83, 066706 (2011), which balances the bias of short blocks and the noise
//! of few blocks.

/// Returns the standard error of the mean of `chains` and the block length; NaN for fewer than two numbers.
///
/// Blocks do not cross chains. If the chains are too short for the stopping criterion, the longest blocks are used,
/// because the means of different chains are independent.
pub(super) fn blocking(chains: &[Vec<f64>]) -> (f64, usize) {
    let count = chains.iter().map(Vec::len).sum::<usize>() as f64;
    let (mut blocks, mut block) = (chains.to_vec(), 1);
    let (mut best, mut first) = ((f64::NAN, 1), f64::NAN);
    while let Some(variance) = variance(&blocks) {
        let square = variance * block as f64 / count;
        if block == 1 {
            first = square;
        }
        best = (square.sqrt(), block);
        if (block as f64).powi(3) > 2.0 * count * (square / first).powi(2) {
            break;
        }
        blocks.iter_mut().for_each(|chain| *chain = chain.chunks_exact(2).map(|two| 0.5 * (two[0] + two[1])).collect());
        block *= 2;
    }
    best
}

/// Returns the unbiased variance of all numbers; `None` for fewer than two.
fn variance(chains: &[Vec<f64>]) -> Option<f64> {
    let count = chains.iter().map(Vec::len).sum::<usize>() as f64;
    let mean = chains.iter().flatten().sum::<f64>() / count;
    (count >= 2.0).then(|| chains.iter().flatten().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::process::{autoregression, exact_time};
    use super::*;

    #[test]
    fn the_error_is_that_of_the_process() {
        for (count, length) in [(1, 60_000), (20, 3000), (400, 150)] {
            for phi in [0.0, 0.5, 0.8] {
                let chains = autoregression(count, length, phi);
                // Uniform noise in (−1, 1) has the variance ⅓, so x has the variance ⅓ / (1 − φ²).
                let variance = 1.0 / (3.0 * (1.0 - phi * phi));
                let exact = (variance * 2.0 * exact_time(phi) / (count * length) as f64).sqrt();
                let (found, block) = blocking(&chains);
                assert!((found / exact - 1.0).abs() < 0.1, "{count} x {length}, {phi}: {found} of {exact}");
                assert!(block as f64 > 4.0 * exact_time(phi) && block <= length);
            }
        }
    }

    /// The naive error of correlated numbers is far too small, so the test above would fail with it.
    #[test]
    fn single_numbers_know_of_no_correlation() {
        let chains = autoregression(20, 3000, 0.8);
        let naive = (variance(&chains).unwrap() / 60_000.0).sqrt();
        assert!(naive < 0.5 * blocking(&chains).0);
    }

    #[test]
    fn short_chains_give_the_error_of_their_means() {
        let chains = autoregression(500, 4, 0.95);
        let means: Vec<Vec<f64>> = chains.iter().map(|chain| vec![chain.iter().sum::<f64>() / 4.0]).collect();
        let (found, block) = blocking(&chains);
        assert_eq!(block, 4);
        assert!((found / (variance(&means).unwrap() / 500.0).sqrt() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn stuck_chains_have_the_error_of_where_they_stand() {
        let mut chains = autoregression(2, 1024, 0.0);
        chains[1].iter_mut().for_each(|x| *x += 100.0);
        let (found, block) = blocking(&chains);
        assert!(block == 1024 && (found / 50.0 - 1.0).abs() < 0.01, "{found}, blocks of {block}");
    }

    #[test]
    fn too_few_numbers_have_no_error() {
        assert!(blocking(&[vec![1.0]]).0.is_nan());
        assert_eq!(blocking(&[vec![1.0], vec![3.0]]), (1.0, 1));
        assert_eq!(blocking(&[vec![3.0; 64]]).0, 0.0);
    }
}
