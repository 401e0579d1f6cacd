//! Test cases of [`crate::kernels::nn::feed_forward_slices`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::case::wide;
use crate::kernels::linear::Activation;
use crate::kernels::nn::cases::cast_f16::has_half;
use crate::kernels::nn::cases::feed_forward::case_of;
use crate::kernels::nn::feed_forward::{FeedForward, FeedForwardShape};
use crate::kernels::nn::feed_forward_slices::{NormAfter, SLICES, SUM, SUM_NORM, SlicedFeedForward};
use crate::kernels::nn::norm::forward_reference;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const SLICES_ENTRY: Entry =
    Entry { kernel: &SLICES, summary: "W2 act(W1 x + b1) by slices of the hidden layer, a row per lane", cases };
pub(crate) const SUM_ENTRY: Entry = Entry { kernel: &SUM, summary: "residual + b2 + sum of the slices", cases: one };
pub(crate) const SUM_NORM_ENTRY: Entry =
    Entry { kernel: &SUM_NORM, summary: "norm of residual + b2 + sum of the slices", cases: norm_cases };

/// (rows, C, F, slices, units per block) and activation.
type Shape = (u32, u32, u32, u32, u32, Activation);

fn cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        (1, 4, 16, 1, 8, Activation::Relu),
        (63, 16, 48, 2, 16, Activation::Gelu),
        (64, 28, 16, 1, 16, Activation::None),
        (65, 32, 304, 2, 8, Activation::Tanh),
        (131, 32, 2048, 8, 16, Activation::Relu),
        (70_000, 4, 48, 3, 8, Activation::Relu),
    ];
    let mut cases: Vec<Case> = shapes.map(|shape| case(shape, DType::F32, false)).into();
    if has_half(gpu) {
        cases.push(case((65, 16, 80, 3, 8, Activation::Gelu), DType::F16, false));
        cases.push(case((65, 16, 80, 3, 16, Activation::Gelu), DType::F16, false));
    }
    cases
}

/// The sum of slices is part of every case; this one has most rows.
fn one(_: &Gpu) -> Vec<Case> {
    vec![case((70_001, 4, 48, 3, 8, Activation::Relu), DType::F32, false)]
}

/// Numbers of rows around those of a workgroup, widths that leave lanes of a cluster idle, and more than 65,535 rows.
fn norm_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [
        (1, 32, 64, 2, 8, Activation::Relu),
        (15, 8, 16, 1, 8, Activation::Tanh),
        (16, 16, 48, 3, 8, Activation::Relu),
        (17, 20, 48, 3, 8, Activation::Gelu),
        (131, 28, 304, 2, 8, Activation::Relu),
        (70_001, 4, 48, 3, 8, Activation::Relu),
    ];
    shapes.map(|shape| case(shape, DType::F32, true)).into()
}

fn case((rows, width, hidden, slices, block, activation): Shape, storage: DType, with_norm: bool) -> Case {
    let shape = FeedForwardShape { rows: rows.into(), width, hidden, activation };
    let record = {
        let shape = shape.clone();
        move |plan: &mut Plan, buffers: &CaseBuffers| {
            let norm = with_norm.then(|| NormAfter::from_case(buffers)).transpose()?;
            let (layers, part) = (FeedForward::from_case(buffers)?, buffers.view("part")?);
            SlicedFeedForward { layers, part, norm }.record_blocks(plan, &shape, slices, block)
        }
    };
    let mut case = case_of(&shape, storage, Box::new(record));
    case.name += &format!(" in {slices} slices, blocks of {block}");
    case.inputs.push(("part", vec![f32::NAN; (slices * rows * width) as usize].into()));
    if with_norm { normalized(case, width) } else { case }
}

/// The case with a norm after the layers.
fn normalized(mut case: Case, width: u32) -> Case {
    let mut random = RandomInputs::new(width.into());
    let [gamma, beta] = [(); 2].map(|()| random.floats(width as usize));
    for (_, expected) in &mut case.outputs {
        let Expected::Near { values, tolerance } = expected else { continue };
        (*values, _) = forward_reference(values, &wide(&gamma), &wide(&beta));
        // The norm divides by the standard deviation, which can be small for few columns.
        *tolerance *= if width < 16 { 300.0 } else { 10.0 };
    }
    case.inputs.extend([("gamma", gamma.into()), ("beta", beta.into())]);
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::nn::norm::{NormForward, NormShape};

    #[test]
    fn blocks_change_no_bit() {
        let gpu = Gpu::new().unwrap();
        let run = |block| case((65, 20, 304, 2, block, Activation::Tanh), DType::F32, false).run(&gpu).unwrap();
        assert!(run(8) == run(16), "other bits");
    }

    #[test]
    fn a_norm_has_the_bits_of_its_own_launch() {
        let (rows, width, hidden, activation) = (131, 28, 304, Activation::Relu);
        let normed = || case((rows, width, hidden, 2, 8, activation), DType::F32, true);
        let mut apart = normed();
        let scratch = |elements: u32| vec![f32::NAN; elements as usize].into();
        apart.inputs.extend([("sum", scratch(rows * width)), ("stats", scratch(2 * rows))]);
        apart.record = Box::new(move |plan, buffers| {
            let layers = FeedForward { y: buffers.view("sum")?, ..FeedForward::from_case(buffers)? };
            let sliced = SlicedFeedForward { layers, part: buffers.view("part")?, norm: None };
            let shape = FeedForwardShape { rows: rows.into(), width, hidden, activation };
            sliced.record_blocks(plan, &shape, 2, 8)?;
            let norm = NormForward { x: buffers.view("sum")?, ..NormForward::from_case(&buffers.standing_in("y")?)? };
            norm.record(plan, &NormShape::new(rows, width))
        });
        let gpu = Gpu::new().unwrap();
        assert!(normed().run(&gpu).unwrap() == apart.run(&gpu).unwrap(), "other bits");
    }
}
