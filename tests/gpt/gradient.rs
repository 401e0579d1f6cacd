//! Gradients equal directional derivatives.

use ketformer::Weights;
use ketformer::gpt::{GptState, IGNORED, TokenBatch};
use ketformer::kernels::RandomInputs;

use super::{configs, gpu, tokens, weights};

#[test]
fn the_gradient_of_every_parameter_is_its_directional_derivative() {
    let gpu = gpu();
    for config in configs() {
        let (center, rows) = (weights(&config), 3 * config.block);
        let mut targets = tokens(&config, rows, 2);
        targets[rows / 2] = IGNORED;
        let batch = TokenBatch { tokens: tokens(&config, rows, 1), targets };
        let state = |weights: &Weights| GptState::new(&gpu, &config, weights, 3).unwrap();
        let (_, gradient) = state(&center).gradient(&batch).unwrap();
        let mean = |weights: &Weights| {
            let losses = state(weights).losses(&batch).unwrap();
            losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / (rows - 1) as f64
        };
        assert_eq!(gradient.tensors.keys().collect::<Vec<_>>(), center.tensors.keys().collect::<Vec<_>>());
        for name in center.tensors.keys() {
            let direction = RandomInputs::new(9).floats(center.tensors[name].values.len());
            let moved = |step: f32| {
                let mut weights = center.clone();
                let values = &mut weights.tensors.get_mut(name).unwrap().values;
                values.iter_mut().zip(&direction).for_each(|(value, d)| *value += step * d);
                weights
            };
            let step = 2e-3;
            let difference = (mean(&moved(step)) - mean(&moved(-step))) / (2.0 * f64::from(step));
            let along: f64 = gradient.tensors[name].values.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
            assert!(
                (difference - along).abs() < 3e-3 * along.abs().max(0.1),
                "{config:?} {name}: {difference} {along}"
            );
        }
    }
}
