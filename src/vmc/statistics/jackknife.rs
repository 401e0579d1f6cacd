//! Jackknife error of a ratio of means, such as a mean with weights that are not normalized.
//!
//! ```text
//! R = Σ a / Σ w        R_(i) = R without sample i        ε² = (n − 1)/n · Σ (R_(i) − mean R_(i))²
//! ```
//!
//! Source: Efron, The jackknife, the bootstrap and other resampling plans (1982), chapter 3.

/// Returns `Σ a / Σ w` and its standard error for independent samples.
pub(crate) fn ratio_of_means(a: &[f64], w: &[f64]) -> [f64; 2] {
    let count = a.len() as f64;
    let (sum_a, sum_w): (f64, f64) = (a.iter().sum(), w.iter().sum());
    let without: Vec<f64> = a.iter().zip(w).map(|(a, w)| (sum_a - a) / (sum_w - w)).collect();
    let mean = without.iter().sum::<f64>() / count;
    let spread: f64 = without.iter().map(|ratio| (ratio - mean).powi(2)).sum();
    [sum_a / sum_w, (spread * (count - 1.0) / count).sqrt()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::RandomInputs;

    #[test]
    fn equal_weights_give_the_standard_error() {
        let numbers = [1.0, 2.0, 4.0, 9.0];
        let [mean, error] = ratio_of_means(&numbers, &[1.0; 4]);
        let variance: f64 = numbers.iter().map(|x| (x - 4.0f64).powi(2)).sum::<f64>() / 3.0;
        assert!((mean - 4.0).abs() < 1e-14 && (error - (variance / 4.0).sqrt()).abs() < 1e-14);
    }

    /// The standard deviation of many independent ratios is the estimated error.
    #[test]
    fn the_error_is_the_spread_of_ratios() {
        let mut random = RandomInputs::new(3);
        let mut one = || {
            let w: Vec<f64> = random.floats(400).into_iter().map(|x| f64::from(x).powi(2)).collect();
            let noise = random.floats(400);
            let a: Vec<f64> = w.iter().zip(noise).map(|(w, x)| w * (2.0 + f64::from(x))).collect();
            ratio_of_means(&a, &w)
        };
        let all: Vec<[f64; 2]> = (0..1000).map(|_| one()).collect();
        let mean = all.iter().map(|[ratio, _]| ratio).sum::<f64>() / 1000.0;
        let spread = (all.iter().map(|[ratio, _]| (ratio - mean).powi(2)).sum::<f64>() / 999.0).sqrt();
        let error = all.iter().map(|[_, error]| error).sum::<f64>() / 1000.0;
        assert!((mean - 2.0).abs() < 5.0 * spread / 1000f64.sqrt(), "{mean}");
        assert!((error / spread - 1.0).abs() < 0.1, "{error} of {spread}");
    }
}
