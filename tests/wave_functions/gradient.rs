//! Gradients against finite differences.

use ketformer::kernels::RandomInputs;
use ketformer::model::Weights;
use ketformer::vmc::Likelihood;

use super::cases::{Case, cases};

/// Half-widths of the differences. The widest are affected by kinks of relu, the narrowest by rounding.
const REACHES: [f32; 3] = [6e-4, 3e-4, 1.5e-4];

/// Maximum number of points (weights) at which a gradient is compared.
const POINTS: u64 = 5;
/// Number of points that must agree. Others may lie at a kink.
const AGREEING: usize = 3;

/// Few configurations, since each has its own kinks.
const CONFIGURATIONS: usize = 4;

/// Largest error of a slope, in units of the norm of the tensor's gradient and of the slope itself.
const TOLERANCE: [f64; 2] = [4e-3, 1e-2];

/// Sum Σ_b w_b log P(σ_b) + v_b phase(σ_b) over a few random configurations.
struct Sum {
    likelihood: Likelihood,
    weights: Weights,
    coefficients: Vec<f32>,
    /// Empty if the wave function is real.
    phase_coefficients: Vec<f32>,
}

impl Sum {
    fn new(case: &Case, seed: u64) -> Self {
        let weights = case.weights(seed);
        let mut random = RandomInputs::new(seed);
        let states = case.states();
        let picked = random.integers(CONFIGURATIONS, states.len() as u32);
        let picked: Vec<Vec<u8>> = picked.into_iter().map(|at| case.configuration(states[at as usize])).collect();
        let likelihood = Likelihood::new(&case.state(&weights), &picked).unwrap();
        let coefficients = random.floats(CONFIGURATIONS);
        let phase_coefficients = random.floats(if case.model.is_complex() { CONFIGURATIONS } else { 0 });
        Self { likelihood, weights, coefficients, phase_coefficients }
    }

    /// Value with one tensor shifted by `by` · `direction`.
    fn at(&self, tensor: &str, direction: &[f32], by: f32) -> f64 {
        let mut weights = self.weights.clone();
        let values = &mut weights.tensors.get_mut(tensor).unwrap().values;
        values.iter_mut().zip(direction).for_each(|(value, d)| *value += by * d);
        self.likelihood.set_weights(&weights).unwrap();
        let log_p = self.likelihood.log_p().unwrap();
        let sum = |numbers: &[f64], weights: &[f32]| -> f64 {
            numbers.iter().zip(weights).map(|(number, weight)| number * f64::from(*weight)).sum()
        };
        sum(&log_p, &self.coefficients) + sum(&self.likelihood.phase().unwrap(), &self.phase_coefficients)
    }

    fn gradient(&self) -> Weights {
        self.likelihood.gradient_of_log_psi(&self.coefficients, &self.phase_coefficients).unwrap()
    }

    fn difference(&self, tensor: &str, direction: &[f32], reach: f32) -> f64 {
        (self.at(tensor, direction, reach) - self.at(tensor, direction, -reach)) / (2.0 * f64::from(reach))
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Whether each of three gradients has the slopes of the sum: `found`, one that is a tenth longer, and one with
/// reversed elements. The slope along the gradient detects errors of its length, the slope along a random direction
/// errors of its direction. All three are compared with the same differences, of decreasing width until the first
/// gradient agrees.
fn agreement(sum: &Sum, tensor: &str, found: &[f32], seed: u64) -> [bool; 3] {
    let norm = dot(found, found).sqrt();
    let along: Vec<f32> = found.iter().map(|g| (f64::from(*g) / norm.max(1e-30)) as f32).collect();
    let directions = [along, RandomInputs::new(seed + 100).floats(found.len())];
    let mut agree = [true; 3];
    for direction in directions {
        let slope = dot(found, &direction);
        let tolerance = TOLERANCE[0] * norm + TOLERANCE[1] * slope.abs();
        let reversed: Vec<f32> = direction.iter().rev().copied().collect();
        let slopes = [slope, 1.1 * slope, dot(found, &reversed)];
        let mut near = [false; 3];
        for reach in REACHES {
            let difference = sum.difference(tensor, &direction, reach);
            near.iter_mut().zip(slopes).for_each(|(near, slope)| *near |= (difference - slope).abs() <= tolerance);
            if near[0] {
                break;
            }
        }
        agree.iter_mut().zip(near).for_each(|(agree, near)| *agree &= near);
    }
    agree
}

#[test]
fn gradients_are_directional_derivatives() {
    for case in cases() {
        let layout = case.model.layout(&case.lattice).unwrap();
        let sums: Vec<Sum> = (1..=POINTS).map(|seed| Sum::new(&case, seed)).collect();
        let gradients: Vec<Weights> = sums.iter().map(Sum::gradient).collect();
        for (at, slot) in layout.slots().iter().enumerate() {
            let name = format!("{} {}", case.name, slot.spec.name);
            let mut counts = [0; 3];
            let mut norm = 0.0;
            for ((sum, gradient), seed) in sums.iter().zip(&gradients).zip(1..) {
                if counts[0] == AGREEING {
                    break;
                }
                let found = &gradient.tensors[&slot.spec.name].values;
                norm += dot(found, found).sqrt();
                let agree = agreement(sum, &slot.spec.name, found, seed);
                counts.iter_mut().zip(agree).for_each(|(count, agrees)| *count += usize::from(agrees));
            }
            println!("{name}: {counts:?}");
            assert!(counts[0] >= AGREEING, "{name}: right at {} of {POINTS} points", counts[0]);
            // With a single patch or large patch, the only input of the embedding, whose weights come first, is the
            // empty patch, and the only recurrent state is zero.
            let patching = case.model.patching(&case.lattice).unwrap();
            let single = patching.patches() == patching.sub_patches().unwrap_or(1);
            let first = at == 0 || slot.spec.name == "rnn.weight_hh_l0";
            let unused = first && single && case.is_normalized();
            assert_eq!(norm == 0.0, unused, "{name}: norm {norm}");
            let noticed = counts[1] < AGREEING && counts[2] < AGREEING;
            assert!(noticed || unused, "{name}: a gradient too long or in another order is not noticed, {counts:?}");
        }
    }
}
