//! Gram matrix of the gradients of single samples, against gradients computed one by one.

use ketformer::kernels::RandomInputs;
use ketformer::model::Weights;
use ketformer::vmc::{GramMatrix, GramProbe, Likelihood};

use super::cases::{Case, cases, kinds};

/// More than one chunk, and not a multiple of any tile size.
const CONFIGURATIONS: usize = 67;

/// Centered Jacobian X of equally weighted configurations, by rows: real parts, then imaginary parts of the gradients
/// O = ½ ∂ log P/∂θ + i ∂ phase/∂θ.
fn jacobian(case: &Case, weights: &Weights, configurations: &[Vec<u8>]) -> Vec<Vec<f64>> {
    let likelihood = Likelihood::new(&case.state(weights), configurations).unwrap();
    let (count, parts) = (configurations.len(), 1 + usize::from(case.model.is_complex()));
    let row = |r: usize| {
        let (mut by_log_p, mut by_phase) = (vec![0f32; count], vec![0f32; (parts - 1) * count]);
        if r < count {
            by_log_p[r] = 0.5;
        } else {
            by_phase[r - count] = 1.0;
        }
        flat(&likelihood.gradient_of_log_psi(&by_log_p, &by_phase).unwrap())
    };
    let mut rows: Vec<Vec<f64>> = (0..parts * count).map(row).collect();
    for part in rows.chunks_mut(count) {
        for k in 0..part[0].len() {
            let mean = part.iter().map(|row| row[k]).sum::<f64>() / count as f64;
            part.iter_mut().for_each(|row| row[k] = (row[k] - mean) / (count as f64).sqrt());
        }
    }
    rows
}

fn flat(weights: &Weights) -> Vec<f64> {
    weights.tensors.values().flat_map(|tensor| tensor.values.iter().map(|value| f64::from(*value))).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn explicit_gram(rows: &[Vec<f64>]) -> GramMatrix {
    let products = rows.iter().flat_map(|a| rows.iter().map(move |b| dot(a, b)));
    GramMatrix::new(rows.len(), products.collect())
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).fold(0.0, f64::max)
}

#[test]
fn the_gram_matrix_is_that_of_the_jacobian() {
    let mut additions = [0; 2];
    for case in cases() {
        let weights = case.weights(1);
        let configurations = case.some_configurations(CONFIGURATIONS);
        let explicit = explicit_gram(&jacobian(&case, &weights, &configurations));
        let new = |memory| GramProbe::new(&case.state(&weights).with_memory(memory), &configurations).unwrap();
        let probe = new(None);
        additions.iter_mut().zip(probe.additions()).for_each(|(sum, count)| *sum += count);
        let gram = probe.gram().unwrap();
        let apart = largest(gram.values().iter().zip(explicit.values()).map(|(a, b)| a - b));
        let size = largest(explicit.values().iter().copied());
        println!("{}: {:e}, {:?}", case.name, apart / size, probe.additions());
        assert!(apart < 1e-5 * size, "{}: {apart:e} of {size:e}", case.name);
        // No bit depends on the size of chunks.
        assert!(new(Some(0)).gram().unwrap() == gram, "{}: other bits with little memory", case.name);
    }
    assert!(
        additions.iter().all(|count| *count > 10),
        "one of the ways to compute the matrix is hardly used: {additions:?}"
    );
}

#[test]
fn directions_solve_the_problem_of_all_parameters() {
    for case in kinds() {
        let weights = case.weights(1);
        let configurations = case.some_configurations(CONFIGURATIONS);
        let rows = jacobian(&case, &weights, &configurations);
        let mut random = RandomInputs::new(3);
        let count = configurations.len();
        let parts = [0, 1].map(|_| random.floats(count).into_iter().map(f64::from).collect::<Vec<f64>>());
        let energies: Vec<[f64; 2]> =
            parts[0].iter().zip(&parts[1]).map(|(real, imaginary)| [*real, *imaginary]).collect();
        let scale = -2.0 / (count as f64).sqrt();
        let centered = |part: &Vec<f64>| {
            let mean = part.iter().sum::<f64>() / count as f64;
            part.iter().map(|energy| scale * (energy - mean)).collect::<Vec<f64>>()
        };
        let right: Vec<f64> = parts.iter().take(rows.len() / count).flat_map(centered).collect();
        let lambda = 1e-2;
        let exact = explicit_gram(&rows).solve(&right, lambda).unwrap();
        let expected: Vec<f64> =
            (0..rows[0].len()).map(|k| rows.iter().zip(&exact.values).map(|(row, v)| row[k] * v).sum()).collect();
        let probe = GramProbe::new(&case.state(&weights), &configurations).unwrap();
        let (direction, solution) = probe.direction(&energies, lambda).unwrap();
        let apart: Vec<f64> = flat(&direction).iter().zip(&expected).map(|(a, b)| a - b).collect();
        let error = (dot(&apart, &apart) / dot(&expected, &expected)).sqrt();
        println!("{}: {error:e}, {:e}, {:e}", case.name, solution.condition, solution.residual);
        assert!(error < 1e-3, "{}: {error:e}, {solution:?}", case.name);
        assert!(solution.residual < 1e-8 && solution.cut == 0, "{}: {solution:?}", case.name);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let case = cases().swap_remove(0);
    let weights = case.weights(1);
    let configurations = case.some_configurations(5);
    let new = |configurations: &[Vec<u8>]| GramProbe::new(&case.state(&weights), configurations);
    assert!(new(&[]).err().unwrap().to_string().contains("configuration"));
    assert!(new(&[vec![0; 3]]).err().unwrap().to_string().contains("16 occupations"));
    let probe = new(&configurations).unwrap();
    assert!(probe.direction(&[[0.0; 2]; 4], 1e-3).unwrap_err().to_string().contains("one each"));
    assert!(probe.direction(&[[f64::NAN, 0.0]; 5], 1e-3).unwrap_err().to_string().contains("not finite"));
}
