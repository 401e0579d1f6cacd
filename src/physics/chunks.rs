//! Parallel operations on long vectors in chunks of a fixed size, with results independent of the number of cores.

use crate::host_threads;

/// Elements per chunk. The size is fixed and sums are combined in chunk order, so results are bit-identical on any
/// machine and number of cores.
pub(super) const CHUNK: usize = 1 << 14;

/// Minimum number of chunks for which threads are started.
const MIN_CHUNKS_FOR_THREADS: usize = 4;

/// Calls `work(index, chunk)` for every `size` elements of `data`, on as many threads as there are cores.
pub(super) fn for_each_chunk(data: &mut [f64], size: usize, work: impl Fn(usize, &mut [f64]) + Sync) {
    let count = data.len().div_ceil(size);
    let threads = host_threads::cores().min(count);
    if threads < 2 || count < MIN_CHUNKS_FOR_THREADS {
        return data.chunks_mut(size).enumerate().for_each(|(index, chunk)| work(index, chunk));
    }
    let each = count.div_ceil(threads);
    let work = &work;
    host_threads::run(data.chunks_mut(each * size).enumerate().map(|(group, part)| {
        move || part.chunks_mut(size).enumerate().for_each(|(index, chunk)| work(group * each + index, chunk))
    }));
}

/// `⟨v, w⟩` for each `v` of `basis`.
pub(super) fn dots<V: AsRef<[f64]> + Sync>(basis: &[V], w: &[f64]) -> Vec<f64> {
    if basis.is_empty() {
        return Vec::new();
    }
    let mut partial = vec![0.0; w.len().div_ceil(CHUNK) * basis.len()];
    for_each_chunk(&mut partial, basis.len(), |index, sums| {
        let range = index * CHUNK..w.len().min((index + 1) * CHUNK);
        for (sum, v) in sums.iter_mut().zip(basis) {
            *sum = dot(&v.as_ref()[range.clone()], &w[range.clone()]);
        }
    });
    (0..basis.len()).map(|i| partial.iter().skip(i).step_by(basis.len()).sum()).collect()
}

/// `w += Σ_i factors_i · basis_i`.
pub(super) fn add_combination<V: AsRef<[f64]> + Sync>(w: &mut [f64], basis: &[V], factors: &[f64]) {
    for_each_chunk(w, CHUNK, |index, chunk| {
        for (v, &factor) in basis.iter().zip(factors).filter(|(_, factor)| **factor != 0.0) {
            let v = &v.as_ref()[index * CHUNK..index * CHUNK + chunk.len()];
            chunk.iter_mut().zip(v).for_each(|(w, v)| *w += factor * v);
        }
    });
}

/// `‖w‖₂`.
pub(super) fn norm(w: &[f64]) -> f64 {
    dots(&[w], w)[0].sqrt()
}

/// Dot product with eight partial sums, so that consecutive additions are independent.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_eights, a_rest) = a.as_chunks::<8>();
    let (b_eights, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a_eights.iter().zip(b_eights) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_is_visited_once_with_its_index() {
        for len in [0, 1, 7, 8, 31, 100] {
            let mut data = vec![0.0; len];
            for_each_chunk(&mut data, 8, |index, chunk| {
                chunk.iter_mut().enumerate().for_each(|(i, number)| *number += (index * 8 + i) as f64 + 1.0);
            });
            assert!(data.iter().enumerate().all(|(i, &number)| number == i as f64 + 1.0), "{len}");
        }
    }

    #[test]
    fn dots_and_combinations_of_long_vectors() {
        // Integers small enough that every sum is exact in f64.
        let len = 5 * CHUNK + 3;
        let basis: Vec<Vec<f64>> = (1..4).map(|k| (0..len).map(|i| (i * k % 7) as f64 - 3.0).collect()).collect();
        let mut w: Vec<f64> = (0..len).map(|i| (i % 5) as f64).collect();
        let serial: Vec<f64> = basis.iter().map(|v| v.iter().zip(&w).map(|(a, b)| a * b).sum()).collect();
        assert_eq!(dots(&basis, &w), serial);
        assert_eq!(norm(&w), w.iter().map(|a| a * a).sum::<f64>().sqrt());
        let before = w.clone();
        add_combination(&mut w, &basis, &[2.0, 0.0, -1.0]);
        assert!((0..len).all(|i| w[i] == before[i] + 2.0 * basis[0][i] - basis[2][i]));
    }
}
