//! Test cases of [`crate::kernels::nn::feed_forward`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::case::Record;
use crate::kernels::linear::Activation;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::nn::feed_forward::{
    FEED_FORWARD, FEED_FORWARD_PANEL, FeedForward, FeedForwardShape, SELECTOR, reference,
};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry =
    Entry { kernel: &FEED_FORWARD, summary: "y = residual + W2 act(W1 x + b1) + b2, hidden layer on chip", cases };
pub(crate) const PANEL_ENTRY: Entry = Entry {
    kernel: &FEED_FORWARD_PANEL,
    summary: "the same with blocks of both weights at constant indices, for the CPU",
    cases: panel_cases,
};

fn cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Strategy::Subgroup, [(1, 32, 64), (33, 36, 36), (31, 20, 2048), (130, 128, 96), (70_000, 16, 4)])
}

fn panel_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Strategy::Panel, [(1, 32, 64), (33, 64, 128), (31, 36, 2048), (130, 128, 96), (70_000, 16, 32)])
}

fn cases_of(gpu: &Gpu, strategy: Strategy, shapes: [(u32, u32, u32); 5]) -> Vec<Case> {
    let Some(lanes) = Strategy::lanes(gpu) else { return Vec::new() };
    let activations = [Activation::Relu, Activation::Gelu, Activation::Tanh];
    let storages = [DType::F32, DType::F16].into_iter().filter(|s| *s == DType::F32 || has_half(gpu));
    let cases = |storage| {
        let of_shape = move |(i, (rows, width, hidden)): (usize, (u32, u32, u32))| {
            let shape = FeedForwardShape { rows: rows.into(), width, hidden, activation: activations[i % 3] };
            // All variants of the first shape, which compiles quickly; one variant of every other shape, in rotation.
            let variants = SELECTOR.of_case(gpu, strategy, &shape, i == 0, 2 * i);
            let of_variant = |variant| case((rows, width, hidden), shape.activation, lanes, variant, storage);
            variants.into_iter().map(of_variant).collect::<Vec<_>>()
        };
        shapes.into_iter().enumerate().flat_map(of_shape)
    };
    storages.flat_map(cases).collect()
}

fn case(
    (rows, width, hidden): (u32, u32, u32),
    activation: Activation,
    lanes: u32,
    variant: Variant,
    storage: DType,
) -> Case {
    let shape = FeedForwardShape { rows: rows.into(), width, hidden, activation };
    let record = {
        let shape = shape.clone();
        move |plan: &mut Plan, buffers: &CaseBuffers| {
            FeedForward::from_case(buffers)?.record_variant(plan, &shape, lanes, &variant)
        }
    };
    case_of(&shape, storage, Box::new(record)).of_variant(&variant)
}

/// Case of a kernel for feed-forward layers of this shape, which `record` records.
pub(super) fn case_of(shape: &FeedForwardShape, storage: DType, record: Record) -> Case {
    let FeedForwardShape { ref rows, width, hidden, activation } = *shape;
    let rows = rows.capacity;
    let mut random = RandomInputs::new(u64::from(rows + width + hidden));
    let (x, residual) = (random.floats((rows * width) as usize), random.floats((rows * width) as usize));
    let (weight1, bias1) = (random.floats((hidden * width) as usize), random.floats(hidden as usize));
    let (weight2, bias2) = (random.floats((hidden * width) as usize), random.floats(width as usize));
    let ((weight1, stored1), (weight2, stored2)) = (stored(weight1, storage), stored(weight2, storage));
    let expected = reference(&x, &residual, [&weight1, &bias1, &weight2, &bias2], activation);
    let tolerance = 1e-6 * (1.0 + f64::from(hidden + width).sqrt() / 4.0);
    Case {
        name: format!(
            "({rows}, {width}, {hidden}) {activation:?}{}",
            if storage == DType::F16 { " f16 weights" } else { "" }
        ),
        inputs: vec![
            ("x", x.into()),
            ("residual", residual.into()),
            ("weight1", stored1),
            ("bias1", bias1.into()),
            ("weight2", stored2),
            ("bias2", bias2.into()),
        ],
        outputs: vec![("y", Expected::Near { values: expected, tolerance })],
        record,
    }
}
