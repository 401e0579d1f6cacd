//! Lowest eigenpair of a symmetric operator by thick-restart Lanczos (Wu & Simon, SIAM J. Matrix Anal. Appl. 22, 602
//! (2000)).
//!
//! From `v_0` the Krylov vectors follow from `β_j v_(j+1) = H v_j − α_j v_j − Σ_(i<j) T_ij v_i`. Each is orthogonalized
//! again to all previous ones against rounding errors. When the basis is full, the lowest Ritz vectors and the next
//! Krylov vector start a new basis, which bounds the memory and keeps what has converged. There `T = diag(θ)`, with
//! couplings `T_ik = β y_i(last)` of Ritz vector `i` to the next vector `k`. The residual of the lowest Ritz pair is
//! `|β y_0(last)|`.

use faer::{Mat, Side};

use super::Operator;
use super::chunks::{add_combination, dots, norm};
use crate::error::{Error, ErrorKind, Result};

/// Vectors in a full basis: 256 MiB for 2^20 states.
const BASIS: usize = 32;
/// Ritz vectors kept by a restart.
const KEPT: usize = 10;
/// Number of products between two solutions of the projected problem, which test for convergence.
const CHECK_EVERY: usize = 4;

/// The lowest eigenpair.
pub(super) struct Lowest {
    pub value: f64,
    pub vector: Vec<f64>,
    pub residual: f64,
    pub products: usize,
}

/// Computes the lowest eigenpair within the Krylov space of `start`, which must not be zero, to a residual of
/// `tolerance`.
///
/// # Errors
/// [`ErrorKind::Settings`] if that takes more than `most_products` products of `H` and a vector;
/// [`ErrorKind::NotFinite`] if the projected problem cannot be solved.
pub(super) fn lowest(operator: &Operator, mut start: Vec<f64>, tolerance: f64, most_products: usize) -> Result<Lowest> {
    let capacity = BASIS.min(operator.states());
    normalize(&mut start);
    let mut basis = vec![start];
    let mut projected = Mat::<f64>::zeros(capacity, capacity);
    for products in 1..=most_products {
        let last = basis.len() - 1;
        let mut next = vec![0.0; operator.states()];
        operator.apply(&basis[last], &mut next);
        projected[(last, last)] = dots(&basis[last..], &next)[0];
        let known: Vec<f64> = (0..=last).map(|i| -projected[(i, last)]).collect();
        add_combination(&mut next, &basis, &known);
        let beta = orthogonalise(&mut next, &basis);

        let full = basis.len() == capacity;
        if full || basis.len().is_multiple_of(CHECK_EVERY) || beta <= tolerance {
            let (values, vectors) = ritz_pairs(&projected, basis.len())?;
            if beta * vectors[(last, 0)].abs() <= tolerance {
                return Ok(finish(operator, combine(&basis, &vectors, 0), products));
            }
            if full {
                let kept = KEPT.min(capacity - 1);
                basis = (0..kept).map(|i| combine(&basis, &vectors, i)).collect();
                projected.fill(0.0);
                for i in 0..kept {
                    projected[(i, i)] = values[i];
                    couple(&mut projected, i, kept, beta * vectors[(last, i)]);
                }
            }
        }
        if !full {
            couple(&mut projected, last, last + 1, beta);
        }
        normalize(&mut next);
        basis.push(next);
    }
    Err(Error::new(
        ErrorKind::Settings,
        format!(
            "exact: Lanczos did not reach a residual of {tolerance:.1e} in {most_products} products, since \
             the levels are too close together; give couplings that split them"
        ),
    ))
}

/// Sets one off-diagonal element of the symmetric projected matrix.
fn couple(projected: &mut Mat<f64>, row: usize, column: usize, value: f64) {
    projected[(row, column)] = value;
    projected[(column, row)] = value;
}

/// Makes `next` orthogonal to `basis` and returns its norm. If most of a vector cancels, the remainder is mostly
/// rounding error, so the projection is repeated ("twice is enough", Parlett, The Symmetric Eigenvalue Problem, 6.9).
fn orthogonalise(next: &mut [f64], basis: &[Vec<f64>]) -> f64 {
    let mut before = norm(next);
    for _ in 0..3 {
        let overlaps: Vec<f64> = dots(basis, next).iter().map(|overlap| -overlap).collect();
        add_combination(next, basis, &overlaps);
        let after = norm(next);
        if after > 0.5 * before {
            return after;
        }
        before = after;
    }
    before
}

/// Eigenvalues in ascending order and eigenvectors, as columns, of the leading `size` × `size` block.
fn ritz_pairs(projected: &Mat<f64>, size: usize) -> Result<(Vec<f64>, Mat<f64>)> {
    let pairs = projected.as_ref().submatrix(0, 0, size, size).self_adjoint_eigen(Side::Lower).map_err(|cause| {
        Error::new(
            ErrorKind::NotFinite,
            format!("exact: the {size}x{size} eigenproblem of Lanczos failed, {cause:?}; give smaller couplings"),
        )
    })?;
    let values = pairs.S().column_vector().iter().copied().collect();
    Ok((values, pairs.U().to_owned()))
}

/// `Σ_j vectors[j, column] · basis_j`.
fn combine(basis: &[Vec<f64>], vectors: &Mat<f64>, column: usize) -> Vec<f64> {
    let factors: Vec<f64> = (0..basis.len()).map(|j| vectors[(j, column)]).collect();
    let mut sum = vec![0.0; basis[0].len()];
    add_combination(&mut sum, basis, &factors);
    sum
}

/// Rescales to norm 1.
fn normalize(vector: &mut [f64]) {
    let factor = 1.0 / norm(vector);
    vector.iter_mut().for_each(|number| *number *= factor);
}

/// Computes the Rayleigh quotient and the true residual `‖Hx − Ex‖₂` of `vector`, independently of the recurrence.
fn finish(operator: &Operator, mut vector: Vec<f64>, products: usize) -> Lowest {
    normalize(&mut vector);
    let mut product = vec![0.0; vector.len()];
    operator.apply(&vector, &mut product);
    let value = dots(&[&vector], &product)[0];
    add_combination(&mut product, &[&vector], &[-value]);
    let residual = norm(&product);
    Lowest { value, vector, residual, products: products + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Hamiltonian, Lattice, Rydberg};

    #[test]
    fn giving_up_is_an_error_and_restarts_lose_nothing() {
        let terms = Rydberg { delta: 3.0, ..Rydberg::default() }.terms(&Lattice::square(4, 3)).unwrap();
        let operator = Operator::new(&terms).unwrap();
        let start = || (0..4096).map(|i| f64::from(i * 37 % 101) - 50.0).collect::<Vec<f64>>();
        let error = lowest(&operator, start(), 1e-11, 40).err().unwrap();
        assert!(error.to_string().contains("in 40 products"), "{error}");
        // After several restarts the residual of the recurrence is still accurate.
        let found = lowest(&operator, start(), 1e-11, 1000).unwrap();
        assert!(found.products > 2 * BASIS, "{} products", found.products);
        assert!(found.residual < 1e-10, "{}", found.residual);
        let other = lowest(&operator, vec![1.0; 4096], 1e-11, 1000).unwrap();
        assert!((found.value - other.value).abs() < 1e-12);
    }
}
