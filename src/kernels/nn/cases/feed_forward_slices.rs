//! Test cases of [`crate::kernels::nn::feed_forward_slices`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::linear::Activation;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::nn::feed_forward::{FeedForwardShape, reference};
use crate::kernels::nn::feed_forward_slices::{SLICES, SUM, SlicedFeedForward};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const SLICES_ENTRY: Entry =
    Entry { kernel: &SLICES, summary: "W2 act(W1 x + b1) by slices of the hidden layer, a row per lane", cases };
pub(crate) const SUM_ENTRY: Entry = Entry { kernel: &SUM, summary: "residual + b2 + sum of the slices", cases: one };

fn cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        (1, 4, 16, 1, Activation::Relu),
        (63, 16, 36, 2, Activation::Gelu),
        (65, 32, 300, 2, Activation::Tanh),
        (130, 32, 2048, 8, Activation::Relu),
        (70_000, 4, 8, 2, Activation::Relu),
    ];
    let mut cases: Vec<Case> = shapes.map(|shape| case(shape, DType::F32)).into();
    if has_half(gpu) {
        cases.push(case((65, 16, 36, 3, Activation::Gelu), DType::F16));
    }
    cases
}

/// The sum of slices is part of every case; this one has most rows.
fn one(_: &Gpu) -> Vec<Case> {
    vec![case((70_001, 4, 12, 3, Activation::Relu), DType::F32)]
}

fn case((rows, width, hidden, slices, activation): (u32, u32, u32, u32, Activation), storage: DType) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + width + hidden));
    let (x, residual) = (random.floats((rows * width) as usize), random.floats((rows * width) as usize));
    let (weight1, bias1) = (random.floats((hidden * width) as usize), random.floats(hidden as usize));
    let (weight2, bias2) = (random.floats((hidden * width) as usize), random.floats(width as usize));
    let ((weight1, stored1), (weight2, stored2)) = (stored(weight1, storage), stored(weight2, storage));
    let expected = reference(&x, &residual, [&weight1, &bias1, &weight2, &bias2], activation);
    let part = vec![f32::NAN; (slices * rows * width) as usize];
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let kernel = SlicedFeedForward::from_case(buffers)?;
        kernel.record(plan, &FeedForwardShape { rows: rows.into(), width, hidden, activation }, slices)
    };
    Case {
        name: format!(
            "({rows}, {width}, {hidden}) in {slices}, {activation:?}{}",
            if storage == DType::F16 { ", f16 weights" } else { "" }
        ),
        inputs: vec![
            ("x", x.into()),
            ("residual", residual.into()),
            ("weight1", stored1),
            ("bias1", bias1.into()),
            ("weight2", stored2),
            ("bias2", bias2.into()),
            ("part", part.into()),
        ],
        outputs: vec![(
            "y",
            Expected::Near { values: expected, tolerance: 1e-6 * (1.0 + f64::from(hidden + width).sqrt() / 4.0) },
        )],
        record: Box::new(record),
    }
}
