//! Correctness check of a kernel before it is timed: its outputs against the reference in 64-bit floats.

use crate::error::Result;
use crate::gpu::{Gpu, View};
use crate::kernels::{Comparison, Expected};

/// Maximum number of multiply-adds of a reference: about one second on one core.
pub(super) const REFERENCE_WORK: u64 = 1 << 27;

/// At most `most` indices below `count`, evenly spaced from the first to the last; only the last if `most` is 1.
pub(super) fn spread(count: usize, most: u64) -> Vec<usize> {
    let most = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, count.max(1));
    match most {
        1 => vec![count.saturating_sub(1)],
        _ => (0..most).map(|i| (i as u128 * (count - 1) as u128 / (most - 1) as u128) as usize).collect(),
    }
}

/// Number of items of `each` multiply-adds that the reference can compute, at least one.
pub(super) fn affordable(each: u64) -> u64 {
    (REFERENCE_WORK / each.max(1)).max(1)
}

/// Reads `view` as 32-bit words.
pub(super) fn words(gpu: &Gpu, view: &View, elements: u64) -> Result<Vec<u32>> {
    view.read(gpu, elements as usize)
}

/// Compares words with the reference, like the kernel tests.
pub(super) fn near(output: &'static str, words: &[u32], values: Vec<f64>, tolerance: f64) -> Comparison {
    Comparison::new(output, words, &Expected::Near { values, tolerance })
}

/// Rows `rows` of a matrix of width `width`, concatenated.
pub(super) fn rows_of<T: Copy>(matrix: &[T], width: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|row| matrix[row * width..(row + 1) * width].iter().copied()).collect()
}

/// Columns `columns` of a matrix of width `width`, as a matrix.
pub(super) fn columns_of<T: Copy>(matrix: &[T], width: usize, columns: &[usize]) -> Vec<T> {
    matrix.chunks(width).flat_map(|row| columns.iter().map(|column| row[*column])).collect()
}

/// Values as 64-bit floats, for the references.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_all() {
        assert_eq!(spread(5, 100), vec![0, 1, 2, 3, 4]);
        assert_eq!(spread(101, 3), vec![0, 50, 100]);
        assert_eq!(spread(7, 1), vec![6]);
        assert_eq!(spread(1, 9), vec![0]);
    }

    #[test]
    fn parts_of_a_matrix_are_cut_out() {
        let matrix = [1, 2, 3, 4, 5, 6];
        assert_eq!(rows_of(&matrix, 2, &[0, 2]), vec![1, 2, 5, 6]);
        assert_eq!(columns_of(&matrix, 3, &[2, 0]), vec![3, 1, 6, 4]);
    }

    #[test]
    fn an_output_that_was_not_written_does_not_pass() {
        let words = [1f32.to_bits(), f32::NAN.to_bits()];
        assert!(!near("y", &words, vec![1.0, 1.0], 1e-3).passed());
        assert!(!near("y", &words[..1], vec![1.0, 1.0], 1e-3).passed());
        assert!(!near("y", &words[..1], vec![1.01], 1e-3).passed());
        assert!(near("y", &words[..1], vec![1.0001], 1e-3).passed());
    }
}
