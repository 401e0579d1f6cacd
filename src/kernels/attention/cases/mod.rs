//! Test cases of the kernels of `attention`: inputs, f64 results and tolerances.

pub(crate) mod backward;
pub(crate) mod factored;
pub(crate) mod forward;
pub(crate) mod suffix;
pub(crate) mod weights;

use crate::gpu::{DynamicRows, View};
use crate::kernels::RandomInputs;

pub(crate) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// Dynamic rows of a case: samples or items counted in `live`, without the first three.
pub(crate) fn window(live: View, most: u32) -> DynamicRows {
    DynamicRows::new(live, 3, most, 1)
}

/// Random `qkv` with scores of a few units, so that the softmax is neither flat nor dominated by one key.
pub(crate) fn random_qkv(random: &mut RandomInputs, count: usize) -> Vec<f32> {
    random.floats(count).into_iter().map(|v| 3.0 * v).collect()
}
