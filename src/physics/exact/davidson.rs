//! Lowest eigenpairs of a symmetric operator by the Davidson method with thick restarts (Davidson, Journal of
//! Computational Physics 17, 87 (1975); Stathopoulos & Saad, SIAM Journal on Scientific Computing 19, 227 (1998)).
//!
//! A basis `V` with images `W = H V` yields the lowest Ritz pair `(θ, x)` and its residual `r = H x − θ x`. The next
//! basis vector is `M⁻¹ r`, orthogonalized, with the positive preconditioner `M = D − θ` of the diagonal `D`. With `M =
//! 1` this is Lanczos. `M` removes what makes Lanczos slow and inaccurate: configurations of very large energy, such as
//! two neighboring Rydberg atoms with `V = 10¹²`, get components of their small size `1/D` from the beginning, and all
//! operations keep the relative precision of each component. When the basis is full, the lowest Ritz vectors start a
//! new one. If the correction lies in the space of the basis, the Ritz vector alone starts a new one, after `x → x − M⁻¹
//! r`. Converged vectors are locked: later bases are orthogonal to them.

use faer::{Mat, Side};

use super::operator::SymmetricMatrix;
use super::pieces::pause;
use crate::error::{Error, ErrorKind, Result};
use crate::physics::chunks::{CHUNK, add_combination, dots, for_each_chunk, norm};

/// Vectors in a full basis: with their images 320 MiB for 2^20 states.
const BASIS: usize = 20;
/// Ritz vectors kept by a restart.
const KEPT: usize = 8;
/// Smallest element of the preconditioner, in units of the sum of the magnitudes of the off-diagonal amplitudes.
const LEAST: f64 = 0.05;
/// Fraction of a vector below which the remainder of an orthogonalization is not used: rescaled to norm 1, it would
/// have large components at configurations of large energy, or be rounding error.
const VANISHED: f64 = 1e-2;
/// Maximum number of consecutive relaxations that do not lead to a new basis vector.
const MOST_RELAXATIONS: usize = 4;

/// An approximate eigenpair.
pub(super) struct RitzPair {
    pub value: f64,
    pub vector: Vec<f64>,
    /// `‖H x − θ x‖₂`
    pub residual: f64,
    /// `‖D x‖₂`, the scale of the energies of the configurations in it.
    pub scale: f64,
}

/// Search for the lowest eigenpairs, one after the other.
pub(super) struct Davidson<'a, M> {
    operator: &'a M,
    locked: Vec<Vec<f64>>,
    /// Number of products of `H` and a vector so far.
    pub products: usize,
    /// Maximum number of products.
    pub most_products: usize,
}

impl<'a, M: SymmetricMatrix> Davidson<'a, M> {
    /// Search with at most `most_products` products of `H` and a vector.
    pub(super) fn new(operator: &'a M, most_products: usize) -> Self {
        Self { operator, locked: Vec::new(), products: 0, most_products }
    }

    /// Adds a vector of norm 1 to those to which all later eigenpairs are orthogonal.
    pub(super) fn lock(&mut self, vector: Vec<f64>) {
        self.locked.push(vector);
    }

    /// The locked vectors.
    pub(super) fn into_locked(self) -> Vec<Vec<f64>> {
        self.locked
    }

    /// Returns the lowest eigenpair in the space that `start` generates, orthogonal to the locked vectors, once
    /// `accepts` it. `None` if there is no such space, or without further products. Each poll takes about the time of one
    /// product.
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`] if the projected problem cannot be solved.
    pub(super) async fn lowest(
        &mut self,
        start: Vec<f64>,
        accepts: impl Fn(&RitzPair) -> bool,
    ) -> Result<Option<RitzPair>> {
        let states = self.operator.states();
        let capacity = BASIS.min(states - self.locked.len().min(states));
        let (mut basis, mut images): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
        let mut projected = Mat::<f64>::zeros(capacity, capacity);
        let (mut next, mut relaxations) = (start, 0);
        while capacity > 0 && self.products < self.most_products {
            pause().await;
            if !self.orthonormalize(&mut next, &basis, VANISHED) {
                if relaxations < MOST_RELAXATIONS && !basis.is_empty() {
                    relaxations += 1;
                    let (_, vectors) = ritz_pairs(&projected, basis.len())?;
                    let lowest = combined(&basis, &vectors, 1).remove(0);
                    let lowest = self.relaxed(lowest);
                    let (image, pair, correction) = self.alone(lowest);
                    if accepts(&pair) {
                        return Ok(Some(pair));
                    }
                    projected[(0, 0)] = pair.value;
                    (basis, images, next) = (vec![pair.vector], vec![image], correction);
                    continue;
                }
                next = pseudorandom(self.operator, self.products as u64);
                if !self.orthonormalize(&mut next, &basis, f64::EPSILON) {
                    break;
                }
            }
            relaxations = 0;
            images.push(self.image(&next));
            basis.push(next);
            let last = basis.len() - 1;
            for (row, value) in dots(&basis, &images[last]).into_iter().enumerate() {
                projected[(row, last)] = value;
                projected[(last, row)] = value;
            }
            let (values, vectors) = ritz_pairs(&projected, basis.len())?;
            let factors: Vec<f64> = (0..basis.len()).map(|j| vectors[(j, 0)]).collect();
            let (pair, correction) = self.pair(values[0], &basis, &images, &factors);
            next = correction;
            if accepts(&pair) {
                // Images of combined vectors have their rounding errors, so the pair is verified by a new product.
                let (image, pair, correction) = self.alone(pair.vector);
                if accepts(&pair) {
                    return Ok(Some(pair));
                }
                projected[(0, 0)] = pair.value;
                (basis, images, next) = (vec![pair.vector], vec![image], correction);
            } else if basis.len() == capacity {
                let kept = KEPT.min(capacity - 1);
                [&mut basis, &mut images].into_iter().for_each(|all| *all = combined(all, &vectors, kept));
                projected.fill(0.0);
                (0..kept).for_each(|i| projected[(i, i)] = values[i]);
            }
        }
        Ok(None)
    }

    /// Image, Rayleigh quotient and correction of a single vector of norm 1.
    fn alone(&mut self, vector: Vec<f64>) -> (Vec<f64>, RitzPair, Vec<f64>) {
        let image = self.image(&vector);
        let value = dots(&[&vector], &image)[0];
        let (pair, correction) = self.pair(value, &[vector], std::slice::from_ref(&image), &[1.0]);
        (image, pair, correction)
    }

    /// `x − M⁻¹ r` of norm 1, orthogonal to the locked vectors, which is accurate for components of large energy.
    fn relaxed(&mut self, vector: Vec<f64>) -> Vec<f64> {
        let (_, pair, correction) = self.alone(vector);
        let mut relaxed = pair.vector;
        add_combination(&mut relaxed, &[correction], &[-1.0]);
        self.orthonormalize(&mut relaxed, &[], 0.0);
        relaxed
    }

    /// `H · vector`, counted as a product.
    fn image(&mut self, vector: &[f64]) -> Vec<f64> {
        let mut image = vec![0.0; vector.len()];
        self.operator.apply(vector, &mut image);
        self.products += 1;
        image
    }

    /// Returns the Ritz pair of `factors`, and `M⁻¹ r`.
    fn pair(&self, value: f64, basis: &[Vec<f64>], images: &[Vec<f64>], factors: &[f64]) -> (RitzPair, Vec<f64>) {
        let (diagonal, least) = (self.operator.diagonal(), LEAST * self.operator.largest_off_diagonal_sum());
        let (mut vector, mut residual) = (vec![0.0; diagonal.len()], vec![0.0; diagonal.len()]);
        add_combination(&mut vector, basis, factors);
        add_combination(&mut residual, images, factors);
        add_combination(&mut residual, &[&vector], &[-value]);
        let mut scaled = vector.clone();
        for_each_chunk(&mut scaled, CHUNK, |index, chunk| {
            chunk.iter_mut().zip(&diagonal[index * CHUNK..]).for_each(|(x, energy)| *x *= energy);
        });
        let pair = RitzPair { value, vector, residual: norm(&residual), scale: norm(&scaled) };
        for_each_chunk(&mut residual, CHUNK, |index, chunk| {
            chunk.iter_mut().zip(&diagonal[index * CHUNK..]).for_each(|(r, energy)| *r /= (energy - value).max(least));
        });
        (pair, residual)
    }

    /// Makes `next` orthogonal to the locked vectors and to `basis` and rescales it to norm 1. Returns `false` if no
    /// more than the fraction `least` of it remains. If most of a vector cancels, the remainder is mostly rounding error, so the
    /// projection is repeated ("twice is enough", Parlett, The Symmetric Eigenvalue Problem, 6.9).
    fn orthonormalize(&self, next: &mut [f64], basis: &[Vec<f64>], least: f64) -> bool {
        let first = norm(next);
        let mut before = first;
        for _ in 0..4 {
            for known in [&self.locked[..], basis] {
                let overlaps: Vec<f64> = dots(known, next).iter().map(|overlap| -overlap).collect();
                add_combination(next, known, &overlaps);
            }
            let after = norm(next);
            if after > 0.5 * before {
                next.iter_mut().for_each(|number| *number /= after);
                return after > least * first;
            }
            before = after;
        }
        false
    }
}

/// Start vector of amplitudes `of(s)`, smaller for configurations `s` of large energy.
pub(super) fn damped(operator: &impl SymmetricMatrix, of: impl Fn(usize) -> f64) -> Vec<f64> {
    let sum = operator.largest_off_diagonal_sum();
    let energies = operator.diagonal().iter().enumerate();
    let mut start: Vec<f64> = energies.map(|(s, energy)| of(s) / (1.0 + energy.abs() / sum)).collect();
    operator.restrict(&mut start);
    start
}

/// Pseudorandom start vector.
pub(super) fn pseudorandom(operator: &impl SymmetricMatrix, number: u64) -> Vec<f64> {
    damped(operator, |index| scatter(index as u64 ^ number << 40))
}

/// A pseudorandom number in [−1, 1) for each index: the finalizer of SplitMix64.
fn scatter(index: u64) -> f64 {
    let mut bits = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ bits >> 31) as i64 as f64 / 2.0_f64.powi(63)
}

/// Eigenvalues in ascending order and eigenvectors, as columns, of the leading `size` × `size` block.
fn ritz_pairs(projected: &Mat<f64>, size: usize) -> Result<(Vec<f64>, Mat<f64>)> {
    let pairs = projected.as_ref().submatrix(0, 0, size, size).self_adjoint_eigen(Side::Lower).map_err(|cause| {
        Error::new(
            ErrorKind::NotFinite,
            format!("exact: the {size}x{size} eigenproblem of Davidson failed, {cause:?}; give smaller couplings"),
        )
    })?;
    let values = pairs.S().column_vector().iter().copied().collect();
    Ok((values, pairs.U().to_owned()))
}

/// `Σ_j vectors[j, i] · all_j` for each `i` below `count`.
fn combined(all: &[Vec<f64>], vectors: &Mat<f64>, count: usize) -> Vec<Vec<f64>> {
    let of = |i: usize| {
        let factors: Vec<f64> = (0..all.len()).map(|j| vectors[(j, i)]).collect();
        let mut sum = vec![0.0; all[0].len()];
        add_combination(&mut sum, all, &factors);
        sum
    };
    (0..count).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::exact::pieces::finish;
    use crate::physics::{Hamiltonian, Lattice, Operator, Rydberg};

    #[test]
    fn too_few_products_find_nothing_and_restarts_lose_nothing() {
        let terms = Rydberg { delta: 3.0, ..Rydberg::default() }.terms(&Lattice::square(4, 3)).unwrap();
        let mut operator = Operator::new(&terms).unwrap();
        operator.shift_to_zero();
        let start = |number| pseudorandom(&operator, number);
        let accepts = |pair: &RitzPair| pair.residual < 1e-11;
        let mut few = Davidson::new(&operator, 10);
        assert!(finish(few.lowest(start(0), accepts)).unwrap().is_none() && few.products == 10);
        let mut davidson = Davidson::new(&operator, 1000);
        let first = finish(davidson.lowest(start(0), accepts)).unwrap().unwrap();
        assert!(davidson.products > 2 * BASIS, "{} products", davidson.products);
        let other = finish(Davidson::new(&operator, 1000).lowest(start(1), accepts)).unwrap().unwrap();
        assert!((first.value - other.value).abs() < 1e-12);
        // The next one is orthogonal to a locked one and has a larger value.
        davidson.lock(first.vector);
        let second = finish(davidson.lowest(start(2), accepts)).unwrap().unwrap();
        let locked = davidson.into_locked();
        assert!(second.value > first.value + 1e-3 && dots(&locked, &second.vector)[0].abs() < 1e-12);
    }
}
