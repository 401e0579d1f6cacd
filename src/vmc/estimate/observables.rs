//! Observables diagonal in the occupations, from samples: magnetizations, densities, correlations, structure factor.
//!
//! Sums run on the host in f64.

use crate::physics::{DIAGONAL_OBSERVABLES, Evaluate, Lattice, Order, Peak, index_of};
use crate::vmc::statistics::{BatchLayout, Batches, Mean};

/// Observables with error bars by batch means.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservableEstimates {
    /// The observables of [`DIAGONAL_OBSERVABLES`], in their order.
    pub diagonal: Vec<Mean>,
    /// Mean ⟨σˣ⟩ per site; `None` if the Hamiltonian does not flip every site.
    pub sigma_x: Option<Mean>,
    /// N (⟨m²⟩ − ⟨|m|⟩²) of the uniform and of the staggered magnetization m, in the order of [`Order::ALL`].
    pub fluctuations: [Mean; 2],
    /// The magnetization that orders, [`crate::physics::Hamiltonian::order`].
    pub order: Order,
    /// N (⟨m²⟩ − ⟨m⟩²) of the uniform magnetization m, the connected structure factor at k = 0.
    pub connected: Mean,
    /// Whether the Hamiltonian is invariant under a flip of all spins, so that ⟨m⟩ = 0 in its ground state.
    pub is_flip_symmetric: bool,
    /// ⟨n_i⟩ of every site.
    pub density_per_site: Vec<Mean>,
    /// ⟨n_i n_j⟩ − ⟨n_i⟩⟨n_j⟩, (N, N); empty for more than [`CORRELATED_SITES`] sites.
    pub correlation: Vec<Vec<Mean>>,
    /// S(k) = (1/N) ⟨|Σ_j e^(i k·r_j) (n_j − ½)|²⟩ at k = 2π (a/Lx, b/Ly), (Lx, Ly) with b fastest, not
    /// connected. At (π, π) it equals N ⟨m²⟩ of the staggered magnetization, at 0 that of the uniform one. Empty for more than [`CORRELATED_SITES`] sites.
    pub structure_factor: Vec<Mean>,
}

impl ObservableEstimates {
    /// Mean occupation (1/N) Σ ⟨n_i⟩.
    pub fn density(&self) -> Mean {
        self.diagonal[index_of("density")]
    }

    /// ⟨|m|⟩ and N (⟨m²⟩ − ⟨|m|⟩²) of a magnetization.
    pub fn order_parameter(&self, order: Order) -> [Mean; 2] {
        let [size, _] = order.rows();
        [self.diagonal[size], self.fluctuations[order as usize]]
    }

    /// Largest peak of the structure factor with its value; `None` if the structure factor is not known.
    pub fn peak(&self) -> Option<(Peak, Mean)> {
        let values: Vec<f64> = self.structure_factor.iter().map(|mean| mean.value).collect();
        let peak = Peak::of(&values, self.connected.value, self.is_flip_symmetric)?;
        Some((peak, peak.value(&self.structure_factor, self.connected)))
    }

    /// The same with all errors multiplied by `factor`.
    pub(crate) fn widened(mut self, factor: f64) -> Self {
        let all = self.diagonal.iter_mut().chain(&mut self.sigma_x).chain(&mut self.fluctuations);
        let all = all.chain([&mut self.connected]).chain(&mut self.density_per_site);
        let all = all.chain(self.correlation.iter_mut().flatten()).chain(&mut self.structure_factor);
        all.for_each(|mean| mean.error *= factor);
        self
    }

    /// ⟨|m|⟩ of the staggered magnetization.
    pub fn staggered_abs(&self) -> Mean {
        self.diagonal[index_of("staggered_abs")]
    }

    /// ⟨m²⟩ of the staggered magnetization.
    pub fn staggered_squared(&self) -> Mean {
        self.diagonal[index_of("staggered_squared")]
    }
}

/// Maximum number of sites for correlations and the structure factor, which take about N²/2 numbers per batch.
pub const CORRELATED_SITES: usize = 400;

/// Sums of observables over samples, by batch.
pub(crate) struct Accumulator {
    lattice: Lattice,
    division: BatchLayout,
    values: Vec<Evaluate>,
    /// Diagonal observables, σˣ, then sites, pairs i < j, and wave vectors.
    batches: Batches,
    /// cos and sin of k·r for each wave vector and site.
    waves: Vec<[f64; 2]>,
}

/// Number of scalars: the diagonal observables and σˣ.
const SCALARS: usize = DIAGONAL_OBSERVABLES.len() + 1;
const SIGMA_X: usize = SCALARS - 1;

impl Accumulator {
    pub(crate) fn new(lattice: &Lattice, division: BatchLayout) -> Self {
        let n = lattice.sites();
        let correlated = if n <= CORRELATED_SITES { n } else { 0 };
        let waves = (0..correlated).flat_map(|k| lattice.phases(k)).map(|angle| [angle.cos(), angle.sin()]).collect();
        let batches = Batches::new(&division, SCALARS + n + pairs(correlated) + correlated);
        let values = DIAGONAL_OBSERVABLES.iter().map(|row| (row.on)(lattice)).collect();
        Self { lattice: *lattice, division, values, batches, waves }
    }

    /// Adds a configuration, sample number `place` of chain `chain`, with its σˣ.
    pub(crate) fn add(&mut self, [chain, place]: [usize; 2], configuration: &[u8], sigma_x: f64) {
        let n = self.lattice.sites();
        let spin = |site: usize| f64::from(configuration[site]) - 0.5;
        let occupied: Vec<usize> = (0..n).filter(|site| configuration[*site] != 0).collect();
        let sums = self.batches.sample(self.division.batch(chain, place));
        let (scalars, sums) = sums.split_at_mut(SCALARS);
        let (sites, sums) = sums.split_at_mut(n);
        let correlated = self.waves.len() / n;
        let (pairs, waves) = sums.split_at_mut(pairs(correlated));
        scalars.iter_mut().zip(&self.values).for_each(|(sum, value)| *sum += value(configuration));
        scalars[SIGMA_X] += sigma_x;
        for (at, j) in occupied.iter().enumerate() {
            sites[*j] += 1.0;
            if correlated > 0 {
                occupied[..at].iter().for_each(|i| pairs[pair(*i, *j)] += 1.0);
            }
        }
        for (sum, wave) in waves.iter_mut().zip(self.waves.chunks(n)) {
            let part = |of: usize| wave.iter().enumerate().map(|(site, wave)| wave[of] * spin(site)).sum::<f64>();
            *sum += (part(0).powi(2) + part(1).powi(2)) / n as f64;
        }
    }

    /// Estimates for a Hamiltonian that flips every site or not, is invariant under a flip of all spins or not, and has
    /// an order.
    pub(crate) fn estimates(
        &self,
        flips_every_site: bool,
        is_flip_symmetric: bool,
        order: Order,
    ) -> ObservableEstimates {
        let n = self.lattice.sites();
        let correlated = self.waves.len() / n;
        let (site, wave) = (|i: usize| SCALARS + i, |k: usize| SCALARS + n + pairs(correlated) + k);
        let density_per_site: Vec<Mean> = (0..n).map(|i| self.batches.mean(site(i))).collect();
        // To first order in the errors of the two densities, this is the mean of (n_i − ⟨n_i⟩)(n_j − ⟨n_j⟩).
        let correlation = |i: usize, j: usize| {
            let [a, b] = [i, j].map(|site| density_per_site[site].value);
            let both = if i == j { site(i) } else { SCALARS + n + pair(i.min(j), i.max(j)) };
            self.batches.mean_of(&[(both, 1.0), (site(i), -b), (site(j), -a)], a * b)
        };
        ObservableEstimates {
            diagonal: (0..SIGMA_X).map(|row| self.batches.mean(row)).collect(),
            sigma_x: flips_every_site.then(|| self.batches.mean(SIGMA_X)),
            // To first order in the error of ⟨|m|⟩ and ⟨m⟩, as for correlations.
            fluctuations: Order::ALL.map(|order| {
                let [abs, squared] = order.rows();
                let (n, m) = (n as f64, self.batches.mean(abs).value);
                self.batches.mean_of(&[(squared, n), (abs, -2.0 * n * m)], n * m * m)
            }),
            order,
            connected: {
                let ([_, squared], density) = (Order::Uniform.rows(), index_of("density"));
                let (n, m) = (n as f64, self.batches.mean(density).value - 0.5);
                self.batches.mean_of(&[(squared, n), (density, -2.0 * n * m)], n * m * (m + 1.0))
            },
            is_flip_symmetric,
            correlation: (0..correlated).map(|i| (0..n).map(|j| correlation(i, j)).collect()).collect(),
            structure_factor: (0..correlated).map(|k| self.batches.mean(wave(k))).collect(),
            density_per_site,
        }
    }
}

/// Number of pairs of `sites` sites.
fn pairs(sites: usize) -> usize {
    sites * sites.saturating_sub(1) / 2
}

/// Index of the pair i < j among all pairs.
fn pair(i: usize, j: usize) -> usize {
    pairs(j) + i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observables_are_those_of_the_configurations() {
        let lattice = Lattice::square(2, 3);
        let configurations = [[1, 0, 0, 1, 0, 0], [0, 1, 1, 0, 1, 1], [1, 1, 0, 0, 0, 1], [1, 0, 1, 0, 1, 0]];
        let mut sums = Accumulator::new(&lattice, BatchLayout::new(4, None));
        configurations.iter().enumerate().for_each(|(at, c)| sums.add([0, at], c, at as f64));
        let found = sums.estimates(true, false, Order::Staggered);
        let mean = |of: &dyn Fn(&[u8; 6]) -> f64| configurations.iter().map(of).sum::<f64>() / 4.0;
        let close = |mean: Mean, exact: f64| assert!((mean.value - exact).abs() < 1e-12, "{mean:?} {exact}");
        close(found.density(), mean(&|c| c.iter().map(|n| f64::from(*n)).sum::<f64>() / 6.0));
        close(found.sigma_x.unwrap(), 1.5);
        // (0,0) (0,1) (0,2) (1,0) (1,1) (1,2): + − + − + −.
        let m = |c: &[u8; 6]| {
            c.iter().enumerate().map(|(i, n)| (1.0 - 2.0 * (i % 2) as f64) * (f64::from(*n) - 0.5)).sum::<f64>() / 6.0
        };
        close(found.staggered_abs(), mean(&|c| m(c).abs()));
        close(found.staggered_squared(), mean(&|c| m(c).powi(2)));
        let fluctuation = mean(&|c| m(c).powi(2)) - mean(&|c| m(c).abs()).powi(2);
        close(found.fluctuations[1], 6.0 * fluctuation);
        assert_eq!(found.order_parameter(Order::Staggered), [found.staggered_abs(), found.fluctuations[1]]);
        let uniform = |c: &[u8; 6]| c.iter().map(|n| f64::from(*n) - 0.5).sum::<f64>() / 6.0;
        let squared = mean(&|c| uniform(c).powi(2));
        close(found.fluctuations[0], 6.0 * (squared - mean(&|c| uniform(c).abs()).powi(2)));
        close(found.connected, 6.0 * (squared - mean(&uniform).powi(2)));
        for i in 0..6 {
            close(found.density_per_site[i], mean(&|c| f64::from(c[i])));
            for j in 0..6 {
                let [a, b] = [i, j].map(|i| mean(&|c| f64::from(c[i])));
                close(found.correlation[i][j], mean(&|c| f64::from(c[i] * c[j])) - a * b);
            }
        }
        // k = 0: square of the total; sum over all k: N/4 = 1.5.
        close(found.structure_factor[0], mean(&|c| (c.iter().map(|n| f64::from(*n) - 0.5).sum::<f64>()).powi(2) / 6.0));
        assert!((found.structure_factor.iter().map(|s| s.value).sum::<f64>() - 1.5).abs() < 1e-12);
        // On a lattice with even sides, (π, π) gives the staggered magnetization.
        let lattice = Lattice::square(2, 2);
        let mut sums = Accumulator::new(&lattice, BatchLayout::new(2, None));
        [[1, 0, 0, 1], [1, 1, 1, 0]].iter().enumerate().for_each(|(at, c)| sums.add([0, at], c, 0.0));
        let found = sums.estimates(false, false, Order::Uniform);
        close(found.structure_factor[3], 4.0 * found.staggered_squared().value);
        assert_eq!(found.sigma_x, None);
    }
}
