//! Test cases of [`crate::kernels::nn::feed_forward_slices`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::linear::Activation;
use crate::kernels::nn::cases::cast_f16::has_half;
use crate::kernels::nn::cases::feed_forward::case_of;
use crate::kernels::nn::feed_forward::FeedForwardShape;
use crate::kernels::nn::feed_forward_slices::{SLICES, SUM, SlicedFeedForward};
use crate::kernels::{Case, CaseBuffers, Entry};

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
    let shape = FeedForwardShape { rows: rows.into(), width, hidden, activation };
    let record = {
        let shape = shape.clone();
        move |plan: &mut Plan, buffers: &CaseBuffers| {
            SlicedFeedForward::from_case(buffers)?.record(plan, &shape, slices)
        }
    };
    let mut case = case_of(&shape, storage, Box::new(record));
    case.name += &format!(" in {slices} slices");
    case.inputs.push(("part", vec![f32::NAN; (slices * rows * width) as usize].into()));
    case
}
