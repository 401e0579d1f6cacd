//! Error bars of many quantities by batch means.
//!
//! ```text
//! m_b = mean of batch b, n_b its size        x̄ = Σ n_b m_b / n        ε² = k/(k − 1) Σ (n_b/n)² (m_b − x̄)²
//! ```
//!
//! A batch is a set of whole Markov chains, or a segment of a chain that is long compared with its autocorrelation
//! time. Batches are then independent, while samples within a batch may be correlated. Source: Geyer, Practical Markov
//! Chain Monte Carlo, Statistical Science 7, 473 (1992), section 3.2.

/// Mean over samples with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// Mean.
    pub value: f64,
    /// Standard error of the mean.
    pub error: f64,
}

/// Maximum number of batches. With 64 batches, the relative error of the error bar is 9 %.
const MOST: usize = 64;
/// Minimum length of a batch that is part of a chain, in autocorrelation times.
const TIMES: f64 = 20.0;

/// Assignment of samples to batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BatchLayout {
    /// Number of chains; 0 for independent samples.
    chains: usize,
    /// Samples per chain.
    length: usize,
    /// Batches per chain; 1 if a batch consists of several chains.
    parts: usize,
    count: usize,
}

impl BatchLayout {
    /// Creates a layout for `samples` samples. For Markov chains, `chains` = (number, τ in samples of a chain).
    pub(crate) fn new(samples: usize, chains: Option<(usize, f64)>) -> Self {
        match chains {
            None => Self { chains: 0, length: 1, parts: 1, count: samples.min(MOST) },
            Some((chains, _)) if chains >= MOST => {
                Self { chains, length: samples.div_ceil(chains), parts: 1, count: MOST }
            }
            Some((chains, time)) => {
                let length = samples.div_ceil(chains);
                let long_enough = (length as f64 / (TIMES * time)) as usize;
                // At least two batches, which an error bar requires.
                let parts = long_enough.clamp(2usize.div_ceil(chains), (MOST / chains).max(1)).min(length);
                Self { chains, length, parts, count: chains * parts }
            }
        }
    }

    /// Returns the batch of sample number `place` of chain `chain`, or of sample number `place` without chains.
    pub(crate) fn batch(&self, chain: usize, place: usize) -> usize {
        match self.chains {
            0 => place % self.count,
            _ if self.parts == 1 => chain % self.count,
            _ => chain * self.parts + (place * self.parts / self.length).min(self.parts - 1),
        }
    }
}

/// Sums of `width` quantities in each batch.
#[derive(Debug, Clone)]
pub(crate) struct Batches {
    width: usize,
    sizes: Vec<f64>,
    sums: Vec<f64>,
}

impl Batches {
    pub(crate) fn new(division: &BatchLayout, width: usize) -> Self {
        Self { width, sizes: vec![0.0; division.count], sums: vec![0.0; division.count * width] }
    }

    /// Counts a sample of a batch and returns the sums to which its quantities are added.
    pub(crate) fn sample(&mut self, batch: usize) -> &mut [f64] {
        self.sizes[batch] += 1.0;
        &mut self.sums[batch * self.width..(batch + 1) * self.width]
    }

    /// Returns the mean of Σ_k c_k x_k + constant, where `terms` are (k, c_k).
    pub(crate) fn mean_of(&self, terms: &[(usize, f64)], constant: f64) -> Mean {
        let total: f64 = self.sizes.iter().sum();
        let sums = |b: usize| terms.iter().map(|(k, c)| c * self.sums[b * self.width + k]).sum::<f64>();
        let full: Vec<usize> = (0..self.sizes.len()).filter(|b| self.sizes[*b] > 0.0).collect();
        let value = full.iter().map(|b| sums(*b)).sum::<f64>() / total;
        let spread: f64 = full.iter().map(|b| (sums(*b) - self.sizes[*b] * value).powi(2)).sum();
        let count = full.len() as f64;
        Mean { value: value + constant, error: (spread * count / (count - 1.0)).sqrt() / total }
    }

    /// Returns the mean of quantity `k`.
    pub(crate) fn mean(&self, k: usize) -> Mean {
        self.mean_of(&[(k, 1.0)], 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::process::autoregression;
    use super::*;

    fn fill(series: &[Vec<f64>], division: &BatchLayout) -> Batches {
        let mut batches = Batches::new(division, 2);
        for (chain, numbers) in series.iter().enumerate() {
            for (place, x) in numbers.iter().enumerate() {
                let sums = batches.sample(division.batch(chain, place));
                sums[0] += x;
                sums[1] += x * x;
            }
        }
        batches
    }

    /// About 68 % of many independent means lie within their error bars.
    #[test]
    fn error_bars_cover_at_their_rate() {
        for (chains, length, phi) in [(100, 40, 0.8), (64, 5, 0.5), (4, 4000, 0.9), (1, 8000, 0.7)] {
            let runs = 300;
            let all = autoregression(runs * chains, length, phi);
            let time = super::super::process::exact_time(phi);
            let division = BatchLayout::new(chains * length, Some((chains, time)));
            let means: Vec<Mean> = all.chunks(chains).map(|series| fill(series, &division).mean(0)).collect();
            let within = means.iter().filter(|mean| mean.value.abs() < mean.error).count() as f64 / runs as f64;
            assert!((within - 0.68).abs() < 0.09, "{chains} chains of {length}: {within} lie within");
            // With error bars for independent samples, far fewer means lie within them.
            let naive = |series: &[Vec<f64>]| {
                let squares: f64 = series.iter().flatten().map(|x| x * x).sum();
                let sum: f64 = series.iter().flatten().sum();
                sum.abs() < squares.sqrt()
            };
            let naive = all.chunks(chains).filter(|series| naive(series)).count() as f64 / runs as f64;
            assert!(naive < 0.52, "{chains} chains of {length}: {naive}");
        }
    }

    #[test]
    fn independent_samples_have_the_usual_error() {
        let numbers: Vec<f64> = autoregression(1, 6400, 0.0).remove(0);
        let division = BatchLayout::new(numbers.len(), None);
        let mean = fill(std::slice::from_ref(&numbers), &division).mean(0);
        let variance = numbers.iter().map(|x| (x - mean.value).powi(2)).sum::<f64>() / 6399.0;
        assert!((mean.value - numbers.iter().sum::<f64>() / 6400.0).abs() < 1e-12);
        assert!((mean.error / (variance / 6400.0).sqrt() - 1.0).abs() < 0.3, "{mean:?}");
        // The mean of a combination is that of the combined samples, and its error includes their covariance.
        let batches = fill(&[numbers], &division);
        let nothing = batches.mean_of(&[(0, 2.0), (0, -2.0)], 0.5);
        assert!((nothing.value - 0.5).abs() < 1e-12 && nothing.error < 1e-12);
    }

    #[test]
    fn batches_are_no_shorter_than_chains_remember() {
        assert_eq!(BatchLayout::new(4000, Some((4, 50.0))).count, 4);
        assert_eq!(BatchLayout::new(400_000, Some((4, 5.0))).count, 64);
        assert_eq!(BatchLayout::new(10, Some((1, 50.0))).count, 2);
        assert_eq!(BatchLayout::new(3, None).count, 3);
        let division = BatchLayout::new(1000, Some((2, 1.0)));
        let used: std::collections::BTreeSet<usize> =
            (0..2).flat_map(|chain| (0..500).map(move |place| division.batch(chain, place))).collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), (0..division.count).collect::<Vec<_>>());
    }
}
