//! Correctness check: the outputs of both engines, compared with each other in full and with 64-bit sums on a subset.

use ketformer::kernels::attention::{AttentionShape, backward_reference, forward_reference};
use ketformer::kernels::linear::{LinearShape, gradient_reference, product_reference};

use crate::work::{Heads, Inputs, Work};

/// Maximum error of a benchmark, relative to the largest magnitude. Sums of 32-bit floats stay well below it; products
/// with 10-bit mantissas, such as TF32, do not.
pub const TOLERANCE: f64 = 1e-4;

/// Number of heads, rows or columns that are compared with the reference.
const PICKS: usize = 8;

/// Reference of some elements of one output.
pub struct Expected {
    /// Indices of the elements.
    at: Vec<usize>,
    /// Values of the elements.
    values: Vec<f64>,
}

/// `PICKS` indices below `count`, evenly spaced from the first to the last.
fn spread(count: usize) -> Vec<usize> {
    let picks = PICKS.min(count);
    (0..picks).map(|i| i * (count - 1) / (picks - 1).max(1)).collect()
}

/// Indices of head `head` of sample `sample` in rows of `thirds` thirds.
fn head_at(s: &Heads, thirds: usize, sample: usize, head: usize) -> Vec<usize> {
    let place = |position: usize, third: usize| (((sample * s.t + position) * thirds + third) * s.h + head) * s.d;
    let places = (0..s.t).flat_map(|position| (0..thirds).map(move |third| place(position, third)));
    places.flat_map(|at| at..at + s.d).collect()
}

/// References of the outputs of `work`, each on a subset of its elements.
pub fn expected(work: &Work, inputs: &Inputs) -> Vec<Expected> {
    let rows_at = |rows: &[usize], width: usize| rows.iter().flat_map(|row| row * width..(row + 1) * width).collect();
    let rows_of = |matrix: &[f32], rows: &[usize], width: usize| -> Vec<f32> {
        rows.iter().flat_map(|row| matrix[row * width..(row + 1) * width].iter().copied()).collect()
    };
    match work {
        Work::Attention(s) => attention(s, inputs, false),
        Work::AttentionGradient(s) => attention(s, inputs, true),
        Work::Product(s) => {
            let rows = spread(s.rows);
            let shape = LinearShape::forward(rows.len() as u32, s.inner as u32, s.columns as u32);
            let values = product_reference(&rows_of(&inputs.x, &rows, s.inner), &inputs.weight, None, &shape);
            vec![Expected { at: rows_at(&rows, s.columns), values }]
        }
        Work::InputGradient(s) => {
            let rows = spread(s.rows);
            let shape = LinearShape::backward(rows.len() as u32, s.columns as u32, s.inner as u32);
            let values = product_reference(&rows_of(&inputs.d_y, &rows, s.columns), &inputs.weight, None, &shape);
            vec![Expected { at: rows_at(&rows, s.inner), values }]
        }
        Work::WeightGradient(s) => {
            let columns = spread(s.columns);
            let d_y: Vec<f32> =
                inputs.d_y.chunks(s.columns).flat_map(|row| columns.iter().map(|column| row[*column])).collect();
            let (weights, biases) = gradient_reference(&inputs.x, &d_y, s.rows, s.inner, columns.len());
            let weights = Expected { at: rows_at(&columns, s.inner), values: weights };
            vec![weights, Expected { at: columns, values: biases }]
        }
    }
}

fn attention(s: &Heads, inputs: &Inputs, gradient: bool) -> Vec<Expected> {
    let one = AttentionShape { b: 1.into(), t: s.t as u32, h: 1, d: s.d as u32, causal: true, ..Default::default() };
    let mut out = Expected { at: Vec::new(), values: Vec::new() };
    let mut d_qkv = Expected { at: Vec::new(), values: Vec::new() };
    for pick in spread(s.b * s.h) {
        let (sample, head) = (pick / s.h, pick % s.h);
        let qkv_at = head_at(s, 3, sample, head);
        let qkv: Vec<f64> = qkv_at.iter().map(|at| f64::from(inputs.x[*at])).collect();
        out.values.extend(forward_reference(&qkv, &one).0);
        out.at.extend(head_at(s, 1, sample, head));
        if gradient {
            d_qkv.values.extend(backward_reference(&qkv, &vec![1.0; s.t * s.d], &one).0);
            d_qkv.at.extend(qkv_at);
        }
    }
    if gradient { vec![out, d_qkv] } else { vec![out] }
}

/// Largest difference divided by the largest magnitude; infinite if a difference is not finite or all values are zero.
fn error(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut difference, mut magnitude) = (0f64, 0f64);
    for (got, expected) in pairs {
        let off = (got - expected).abs();
        if !off.is_finite() {
            return f64::INFINITY;
        }
        (difference, magnitude) = (difference.max(off), magnitude.max(expected.abs()));
    }
    if magnitude > 0.0 { difference / magnitude } else { f64::INFINITY }
}

/// Largest error of the outputs of an engine against the reference.
pub fn error_of(made: &[Vec<f32>], expected: &[Expected]) -> f64 {
    if made.len() != expected.len() {
        return f64::INFINITY;
    }
    let errors = made.iter().zip(expected).map(|(made, expected)| {
        if expected.at.iter().any(|at| *at >= made.len()) {
            return f64::INFINITY;
        }
        error(expected.at.iter().map(|at| f64::from(made[*at])).zip(expected.values.iter().copied()))
    });
    errors.fold(0.0, f64::max)
}

/// Largest difference between the outputs of two engines.
pub fn difference(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let errors = ours.iter().zip(theirs).map(|(ours, theirs)| {
        if ours.len() != theirs.len() {
            return f64::INFINITY;
        }
        error(ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a), f64::from(*b))))
    });
    errors.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Layer;

    #[test]
    fn wrong_and_missing_outputs_are_seen() {
        let work = Work::WeightGradient(Layer { rows: 5, inner: 3, columns: 4 });
        let inputs = work.inputs(1);
        let expected = expected(&work, &inputs);
        let mut made = vec![vec![0f32; 12], vec![0f32; 4]];
        for (made, expected) in made.iter_mut().zip(&expected) {
            expected.at.iter().zip(&expected.values).for_each(|(at, value)| made[*at] = *value as f32);
        }
        assert!(error_of(&made, &expected) < 1e-6);
        assert_eq!(difference(&made, &made), 0.0);
        let right = made.clone();
        made[1][3] += 0.01;
        assert!(error_of(&made, &expected) > TOLERANCE && difference(&made, &right) > TOLERANCE);
        made[1][3] = f32::NAN;
        assert!(error_of(&made, &expected).is_infinite() && difference(&made, &right).is_infinite());
        assert!(error_of(&right[..1], &expected).is_infinite() && difference(&right[..1], &right).is_infinite());
    }

    #[test]
    fn a_head_of_attention_is_where_the_reference_says() {
        // One sample, one head: the whole buffer in order.
        let s = Heads { b: 1, h: 1, t: 3, d: 4 };
        assert_eq!(head_at(&s, 3, 0, 0), (0..36).collect::<Vec<_>>());
        // The first position attends only to itself: its output is its value.
        let work = Work::Attention(Heads { b: 2, h: 2, t: 3, d: 4 });
        let (inputs, expected) = (work.inputs(7), expected(&work, &work.inputs(7)));
        let first = expected[0].at.iter().position(|at| *at == 0).unwrap();
        assert!((expected[0].values[first] - f64::from(inputs.x[2 * 2 * 4])).abs() < 1e-12);
    }
}
