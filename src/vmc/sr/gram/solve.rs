//! Solver of (G + λ) v = f in f64 on the host.

use faer::prelude::Solve;
use faer::{Col, ColRef, Mat, MatRef, Side};

/// Gram matrix G = X Xᵀ on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct GramMatrix {
    rows: usize,
    values: Vec<f64>,
}

/// Solution of (G + λ) v = f with its diagnostics.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Solution {
    /// v
    pub values: Vec<f64>,
    /// Estimated condition number: largest over smallest eigenvalue of G + λ, without eigenvalues that were cut off.
    pub condition: f64,
    /// ‖(G + λ) v − f‖ / ‖f‖, with f projected onto the eigenvectors that were not cut off.
    pub residual: f64,
    /// λ. If G + λ is not positive definite, its smallest eigenvalue that was not cut off.
    pub lambda: f64,
    /// Number of eigenvalues that were cut off; 0 if the matrix could be factorized.
    pub cut: usize,
}

/// Eigenvalues of G below this fraction of the largest are rounding errors of single precision.
const CUT_OFF: f64 = 1e-6;
/// Number of power iterations for the estimate of the condition number.
const ROUNDS: usize = 12;

impl GramMatrix {
    /// Creates a matrix from its elements in row-major order.
    ///
    /// # Panics
    /// If the length of `values` is not `rows`².
    pub fn new(rows: usize, values: Vec<f64>) -> Self {
        assert_eq!(values.len(), rows * rows, "a Gram matrix of {rows} rows");
        Self { rows, values }
    }

    /// Number of rows of X: the number of samples, or twice as many if the wave function is complex.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements in row-major order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Returns G x.
    pub fn product(&self, x: &[f64]) -> Vec<f64> {
        let row = |row: &[f64]| row.iter().zip(x).map(|(g, x)| g * x).sum();
        self.values.chunks(self.rows).map(row).collect()
    }

    /// Projects out s = `root`, which must have norm 1, in each part of the rows: Q G Q with Q = 1 − s sᵀ.
    ///
    /// G is unchanged if the rows are already orthogonal to s.
    pub(crate) fn project(&mut self, root: &[f64]) {
        let (n, part) = (self.rows, root.len());
        for row in self.values.chunks_mut(n) {
            row.chunks_mut(part).for_each(|row| project(row, root));
        }
        // The same for every column.
        for first in (0..n).step_by(part) {
            let mut along = vec![0.0; n];
            for (r, s) in root.iter().enumerate() {
                let row = &self.values[(first + r) * n..(first + r + 1) * n];
                along.iter_mut().zip(row).for_each(|(along, g)| *along += s * g);
            }
            for (r, s) in root.iter().enumerate() {
                let row = &mut self.values[(first + r) * n..(first + r + 1) * n];
                row.iter_mut().zip(&along).for_each(|(g, along)| *g -= s * along);
            }
        }
    }

    /// Solves (G + λ) v = f by Cholesky factorization. If rounding has made G + λ indefinite, solves it by eigenvalues
    /// and cuts off those that are rounding errors. Returns `None` if G or f is not finite.
    pub fn solve(&self, right: &[f64], lambda: f64) -> Option<Solution> {
        let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
        if !(finite(&self.values) && finite(right)) {
            return None;
        }
        let n = self.rows;
        let gram = MatRef::from_row_major_slice(&self.values, n, n);
        let shifted = Mat::from_fn(n, n, |i, j| gram[(i, j)] + if i == j { lambda } else { 0.0 });
        let right = ColRef::from_slice(right);
        let solution = match shifted.llt(Side::Lower) {
            Ok(factors) => {
                let mut values = factors.solve(right);
                // One step of iterative refinement.
                let rest = right - &shifted * &values;
                values += factors.solve(&rest);
                let largest = power_iteration(n, |x| &shifted * x);
                let smallest = power_iteration(n, |x| factors.solve(x)).recip();
                let residual = (right - &shifted * &values).norm_l2() / right.norm_l2().max(f64::MIN_POSITIVE);
                Solution {
                    values: values.iter().copied().collect(),
                    condition: largest / smallest,
                    residual,
                    lambda,
                    cut: 0,
                }
            }
            Err(_) => by_eigenvalues(gram, right, lambda)?,
        };
        finite(&solution.values).then_some(solution)
    }
}

/// Returns one part of f = −2 √w (E − Ē) from local energies and the square roots of their weights w, with Σ w = 1.
pub(crate) fn right_side(energies: &[f64], root: &[f64]) -> impl Iterator<Item = f64> {
    let mean: f64 = energies.iter().zip(root).map(|(energy, root)| energy * root * root).sum();
    energies.iter().zip(root).map(move |(energy, root)| -2.0 * root * (energy - mean))
}

/// Projects `root`, which must have norm 1, out of `row`.
pub(crate) fn project(row: &mut [f64], root: &[f64]) {
    let along: f64 = row.iter().zip(root).map(|(x, s)| x * s).sum();
    row.iter_mut().zip(root).for_each(|(x, s)| *x -= along * s);
}

/// Returns a lower bound on the largest eigenvalue of a symmetric positive map.
fn power_iteration(n: usize, map: impl Fn(&Col<f64>) -> Col<f64>) -> f64 {
    // An irregular start, so that no eigenvector is likely to be orthogonal to it.
    let mut x = Col::from_fn(n, |i| 1.0 + ((i * 7919) % 101) as f64 / 101.0 * if i % 2 == 0 { 1.0 } else { -1.0 });
    let mut largest = 0.0;
    for _ in 0..ROUNDS {
        let length = x.norm_l2();
        x = map(&Col::from_fn(n, |i| x[i] / length));
        largest = x.norm_l2();
    }
    largest
}

fn by_eigenvalues(gram: MatRef<'_, f64>, right: ColRef<'_, f64>, lambda: f64) -> Option<Solution> {
    let pairs = gram.self_adjoint_eigen(Side::Lower).ok()?;
    let values: Vec<f64> = pairs.S().column_vector().iter().copied().collect();
    let vectors = pairs.U();
    let largest = values.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let kept = |value: f64| value > CUT_OFF * largest && value + lambda > 0.0;
    let along = vectors.transpose() * right;
    let n = values.len();
    let parts = Col::from_fn(n, |i| if kept(values[i]) { along[i] / (values[i] + lambda) } else { 0.0 });
    let solution = vectors * &parts;
    // The residual is relative to the part of f that was kept.
    let aim = vectors * Col::from_fn(n, |i| if kept(values[i]) { along[i] } else { 0.0 });
    let reached = gram * &solution + &solution * faer::Scale(lambda);
    let smallest = values.iter().copied().filter(|value| kept(*value)).fold(f64::INFINITY, f64::min) + lambda;
    Some(Solution {
        values: solution.iter().copied().collect(),
        condition: (largest + lambda) / smallest,
        residual: (&reached - &aim).norm_l2() / aim.norm_l2().max(f64::MIN_POSITIVE),
        lambda: smallest,
        cut: values.iter().filter(|value| !kept(**value)).count(),
    })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    use super::*;

    fn random(rows: usize, columns: usize, seed: u64) -> Mat<f64> {
        let mut random = SmallRng::seed_from_u64(seed);
        Mat::from_fn(rows, columns, |_, _| random.random_range(-1.0..1.0))
    }

    /// Centered X and f of `samples` samples and `parameters` parameters, with `parts` = 2 for a complex wave function.
    fn problem(samples: usize, parameters: usize, parts: usize) -> (Mat<f64>, Vec<f64>) {
        let jacobian = random(parts * samples, parameters, 3);
        let energies = random(parts * samples, 1, 4);
        let scale = (samples as f64).sqrt().recip();
        let mean = |of: &Mat<f64>, row: usize, k: usize| {
            let first = row / samples * samples;
            (first..first + samples).map(|r| of[(r, k)]).sum::<f64>() / samples as f64
        };
        let centered = |of: &Mat<f64>, row: usize, k: usize| scale * (of[(row, k)] - mean(of, row, k));
        let x = Mat::from_fn(parts * samples, parameters, |r, k| centered(&jacobian, r, k));
        let f = (0..parts * samples).map(|r| -2.0 * centered(&energies, r, 0)).collect();
        (x, f)
    }

    fn gram_of(x: &Mat<f64>) -> GramMatrix {
        let gram = x * x.transpose();
        let n = x.nrows();
        GramMatrix::new(n, (0..n * n).map(|at| gram[(at / n, at % n)]).collect())
    }

    /// Xᵀ(X Xᵀ + λ)⁻¹ f = (Xᵀ X + λ)⁻¹ Xᵀ f for real and complex wave functions.
    #[test]
    fn the_small_problem_has_the_solution_of_the_large_one() {
        for (samples, parameters, parts) in [(40, 23, 1), (17, 60, 1), (40, 23, 2), (17, 60, 2)] {
            let (x, f) = problem(samples, parameters, parts);
            let lambda = 1e-3;
            let solution = gram_of(&x).solve(&f, lambda).unwrap();
            let small = x.transpose() * ColRef::from_slice(&solution.values);
            let metric = x.transpose() * &x + Mat::<f64>::identity(parameters, parameters) * faer::Scale(lambda);
            let force = x.transpose() * ColRef::from_slice(&f);
            let large = metric.llt(Side::Lower).unwrap().solve(&force);
            let apart = (&small - &large).norm_l2() / large.norm_l2();
            assert!(apart < 1e-8, "{samples} samples, {parameters} parameters, {parts} parts: {apart:e}");
            assert!(solution.residual < 1e-10 && solution.cut == 0 && solution.lambda == lambda, "{solution:?}");
        }
    }

    #[test]
    fn the_condition_is_about_that_of_the_matrix() {
        let (x, f) = problem(30, 50, 1);
        let gram = gram_of(&x);
        let solution = gram.solve(&f, 1e-2).unwrap();
        let matrix = MatRef::from_row_major_slice(gram.values(), 30, 30);
        let values = matrix.self_adjoint_eigenvalues(Side::Lower).unwrap();
        let largest = values.iter().fold(0.0f64, |most, value| most.max(*value));
        let condition = (largest + 1e-2) / 1e-2;
        assert!(
            solution.condition > 0.5 * condition && solution.condition < 1.01 * condition,
            "{solution:?} {condition}"
        );
    }

    /// Rounding in single precision makes G indefinite. If λ is too small to compensate, rounding errors are cut off.
    #[test]
    fn an_indefinite_matrix_is_solved_where_it_is_known() {
        let (x, f) = problem(24, 5, 1);
        let mut gram = gram_of(&x);
        (0..24).for_each(|i| gram.values[i * 24 + i] -= 1e-7);
        let solution = gram.solve(&f, 1e-9).unwrap();
        assert_eq!(solution.cut, 24 - 5, "{solution:?}");
        assert!(solution.residual < 1e-10 && solution.lambda > 1e-3, "{solution:?}");
        let step = x.transpose() * ColRef::from_slice(&solution.values);
        let exact = gram_of(&x).solve(&f, 1e-7).unwrap();
        let exact = x.transpose() * ColRef::from_slice(&exact.values);
        assert!((&step - &exact).norm_l2() < 1e-4 * exact.norm_l2());
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        let (x, mut f) = problem(8, 5, 1);
        let mut gram = gram_of(&x);
        gram.values[3] = f64::NAN;
        assert_eq!(gram.solve(&f, 1e-3), None);
        gram = gram_of(&x);
        f[2] = f64::INFINITY;
        assert_eq!(gram.solve(&f, 1e-3), None);
    }

    #[test]
    fn projecting_is_centering() {
        let root: Vec<f64> = [1.0f64, 2.0, 3.0, 1.0, 5.0].iter().map(|count| (count / 12.0).sqrt()).collect();
        let rows = random(10, 7, 9);
        let mut gram = gram_of(&rows);
        gram.project(&root);
        let mean = |r: usize, k: usize| (0..5).map(|q| root[q] * rows[(r / 5 * 5 + q, k)]).sum::<f64>();
        let centered = Mat::from_fn(10, 7, |r, k| rows[(r, k)] - root[r % 5] * mean(r, k));
        let apart = gram.values.iter().zip(gram_of(&centered).values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-12, "{apart:e}");
    }
}
