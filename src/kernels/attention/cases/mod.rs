//! Test cases of the kernels of `attention`: inputs, f64 results and tolerances.

pub(crate) mod backward;
pub(crate) mod factored;
pub(crate) mod forward;
pub(crate) mod inputs;
pub(crate) mod suffix;
pub(crate) mod weights;

use super::{AttentionDropout, AttentionMask, AttentionShape};
use crate::error::Result;
use crate::gpu::{DynamicRows, View};
use crate::kernels::{Case, CaseBuffers, RandomInputs};

/// Dropout of the cases that have it.
pub(crate) const MASK: AttentionMask =
    AttentionMask { step: [0x1234_5678, u32::MAX, 17, 0], rate: 0.3, site: 5, first_sample: 9 };

/// The shape with the dropout of `mask`, whose step is in a buffer.
pub(crate) fn dropped(
    shape: AttentionShape,
    mask: Option<AttentionMask>,
    buffers: &CaseBuffers,
) -> Result<AttentionShape> {
    let Some(AttentionMask { rate, site, first_sample, .. }) = mask else { return Ok(shape) };
    let dropout = AttentionDropout { step: buffers.view("step")?, rate, site, first_sample };
    Ok(AttentionShape { dropout: Some(dropout), ..shape })
}

/// Shapes that variants in workgroup memory run with dropout: one position, and positions around the ends of tiles.
pub(crate) const DROPOUT_SHAPES: [[u32; 4]; 7] =
    [[2, 15, 3, 32], [3, 1, 2, 16], [5, 13, 2, 16], [2, 17, 1, 64], [1, 31, 3, 16], [1, 65, 1, 64], [2, 67, 2, 32]];

/// Cases with those with dropout in between, because tables begin with usual shapes and end with the most rows.
pub(crate) fn with_dropout(mut cases: Vec<Case>, dropout: Vec<Case>) -> Vec<Case> {
    let middle = cases.len() / 2;
    cases.splice(middle..middle, dropout);
    cases
}

/// Whether small cases of a scalar kernel for heads of width `d` also run with dropout.
pub(crate) fn has_dropout(kernel: &str, [b, t, d]: [u32; 3]) -> bool {
    kernel.ends_with("_scalar") && b < 1000 && t < 1000 && d <= 20
}

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
