//! Correctness check: the outputs of both engines, compared with each other in full and with 64-bit sums on a subset.

use ketformer::arena::{AttentionProblem, Mask, Pass};
use ketformer::kernels::attention::general::{
    GeneralInputs, GeneralShape, Layout, general_backward_reference, general_forward_reference,
};
use ketformer::kernels::linear::{LinearShape, gradient_reference, product_reference};

use crate::sizes::Sizes;
use crate::work::{AttentionInputs, Layer, LayerInputs, Product};

/// Maximum error of a benchmark, relative to the largest magnitude. Sums of 32-bit floats stay well below it; products
/// with 10-bit mantissas, such as TF32, do not.
pub const TOLERANCE: f64 = 1e-4;

/// Maximum number of heads, rows or columns that are compared with the reference.
const PICKS: usize = 8;

/// Multiply-adds of references of attention: a few seconds. At least one group of heads is compared.
const REFERENCE_WORK: f64 = 2e9;

/// Reference of some elements of one output.
pub struct Expected {
    /// Indices of the elements.
    at: Vec<usize>,
    /// Values of the elements.
    values: Vec<f64>,
}

/// At most `picks` indices below `count`, evenly spaced from the first to the last.
fn spread(count: usize, picks: usize) -> Vec<usize> {
    let picks = picks.min(count);
    (0..picks).map(|i| i * (count - 1) / (picks - 1).max(1)).collect()
}

/// References of products of a layer, each on a subset of the rows or columns.
pub fn of_layer(s: &Layer, product: Product, inputs: &LayerInputs) -> Vec<Expected> {
    let rows_at = |rows: &[usize], width: usize| rows.iter().flat_map(|row| row * width..(row + 1) * width).collect();
    let rows_of = |matrix: &[f32], rows: &[usize], width: usize| -> Vec<f32> {
        rows.iter().flat_map(|row| matrix[row * width..(row + 1) * width].iter().copied()).collect()
    };
    match product {
        Product::Output => {
            let rows = spread(s.rows, PICKS);
            let shape = LinearShape::forward(rows.len() as u32, s.inner as u32, s.columns as u32);
            let values = product_reference(&rows_of(&inputs.x, &rows, s.inner), &inputs.weight, None, &shape);
            vec![Expected { at: rows_at(&rows, s.columns), values }]
        }
        Product::InputGradient => {
            let rows = spread(s.rows, PICKS);
            let shape = LinearShape::backward(rows.len() as u32, s.columns as u32, s.inner as u32);
            let values = product_reference(&rows_of(&inputs.d_y, &rows, s.columns), &inputs.weight, None, &shape);
            vec![Expected { at: rows_at(&rows, s.inner), values }]
        }
        Product::WeightGradient => {
            let columns = spread(s.columns, PICKS);
            let d_y: Vec<f32> =
                inputs.d_y.chunks(s.columns).flat_map(|row| columns.iter().map(|column| row[*column])).collect();
            let (weights, biases) = gradient_reference(&inputs.x, &d_y, s.rows, s.inner, columns.len());
            let weights = Expected { at: rows_at(&columns, s.inner), values: weights };
            vec![weights, Expected { at: columns, values: biases }]
        }
    }
}

/// References of attention, on a subset of the heads of keys with the heads of queries that read them: output (B, H, S, D),
/// and for gradients d_q, d_k and d_v in the layouts of q, k and v.
pub fn of_attention(problem: &AttentionProblem, inputs: &AttentionInputs) -> Vec<Expected> {
    let (s, pass) = (Sizes::of(problem), problem.pass);
    let one = GeneralShape {
        samples: 1,
        queries: s.s as u32,
        keys: s.sk as u32,
        heads: s.group() as u32,
        key_heads: Some(1),
        width: s.d as u32,
        layouts: Layout::HeadFirst.into(),
        keys_after: (s.mask == Mask::Causal).then_some(0),
        past: s.past() as u32,
        ..Default::default()
    };
    let groups = s.b * s.hk;
    let affordable = (REFERENCE_WORK * groups as f64 / (problem.flops()[0] / 2.0)) as usize;
    let (queries, keys) = (s.group() * s.s * s.d, s.sk * s.d);
    let outputs = if pass == Pass::Forward { 1 } else { 4 };
    let mut expected: Vec<Expected> = (0..outputs).map(|_| Expected { at: Vec::new(), values: Vec::new() }).collect();
    let mut add = |output: usize, at: std::ops::Range<usize>, values: Vec<f64>| {
        expected[output].at.extend(at);
        expected[output].values.extend(values);
    };
    for pick in spread(groups, affordable.clamp(1, PICKS)) {
        let (queries, keys) = (pick * queries..(pick + 1) * queries, pick * keys..(pick + 1) * keys);
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
        let (q, k, v) =
            (wide(&inputs.q[queries.clone()]), wide(&inputs.k[keys.clone()]), wide(&inputs.v[keys.clone()]));
        let picked = GeneralInputs { q: &q, k: &k, v: &v, bias: None, key_counts: None };
        add(0, queries.clone(), general_forward_reference(&picked, &one).0);
        if pass == Pass::ForwardBackward {
            let gradients = general_backward_reference(&picked, &vec![1.0; q.len()], &one);
            add(1, queries, gradients.d_q);
            add(2, keys.clone(), gradients.d_k);
            add(3, keys, gradients.d_v);
        }
    }
    expected
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

/// Whether two results have the same bits.
pub fn same_bits(a: &[Vec<f32>], b: &[Vec<f32>]) -> bool {
    let same =
        |a: &Vec<f32>, b: &Vec<f32>| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_and_missing_outputs_are_seen() {
        let s = Layer { rows: 5, inner: 3, columns: 4 };
        let expected = of_layer(&s, Product::WeightGradient, &LayerInputs::new(&s, 1));
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
    fn bits_are_compared_and_not_values() {
        let zeros = |zero: f32| vec![vec![1.0, zero]];
        assert!(same_bits(&zeros(0.0), &zeros(0.0)) && same_bits(&zeros(f32::NAN), &zeros(f32::NAN)));
        assert!(!same_bits(&zeros(0.0), &zeros(-0.0)) && !same_bits(&zeros(0.0), &[vec![1.0]]));
    }

    #[test]
    fn the_reference_of_a_head_is_at_its_place() {
        let problem = AttentionProblem::parse("2x4/2x3:5x4").unwrap();
        let problem = AttentionProblem { pass: Pass::ForwardBackward, ..problem };
        let s = Sizes::of(&problem);
        let inputs = AttentionInputs::new(&s, 7);
        let expected = of_attention(&problem, &inputs);
        assert_eq!(expected.len(), 4);
        // A sample has few heads: all are compared.
        let everything = [s.query_elements(), s.query_elements(), s.key_elements(), s.key_elements()];
        for (expected, elements) in expected.iter().zip(everything) {
            assert_eq!(expected.at, (0..elements).collect::<Vec<_>>());
        }
        // Gradients of ones: those of the values of a head add up to its queries, and those of the keys to nothing.
        for (group, d_v) in expected[3].values.chunks(s.sk * s.d).enumerate() {
            let sum: f64 = d_v.iter().sum();
            assert!((sum - (s.group() * s.s * s.d) as f64).abs() < 1e-9, "{group}: {sum}");
        }
        // The first query of a causal head sees past + 1 keys, the first of one with a single query per key its own.
        let problem = AttentionProblem::parse("1x2x3x4").unwrap();
        let s = Sizes::of(&problem);
        let inputs = AttentionInputs::new(&s, 7);
        let out = &of_attention(&problem, &inputs)[0].values;
        assert!((0..4).all(|e| (out[e] - f64::from(inputs.v[e])).abs() < 1e-12));
        assert!((0..4).all(|e| (out[12 + e] - f64::from(inputs.v[12 + e])).abs() < 1e-12));
    }
}
