//! Test cases of [`crate::kernels::attention::inputs`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::attention::general::{Layout, Strides};
use crate::kernels::attention::inputs::{
    AttentionDraw, AttentionModified, DRAW, DrawnInputs, DrawnTensor, MODIFIED, draw_reference,
};
use crate::kernels::nn::cases::cast_f16::has_half;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, Values};

pub(crate) const DRAW_ENTRY: Entry =
    Entry { kernel: &DRAW, summary: "x = n / 64, integers of a generator: inputs of benchmarks", cases: draw_cases };
pub(crate) const MODIFIED_ENTRY: Entry =
    Entry { kernel: &MODIFIED, summary: "elements that differ from what was drawn", cases: modified_cases };

/// Tolerance of values that are multiples of 1/64 up to 4: none of them is this near to another.
const EXACT: f64 = 1e-3;

/// Sizes, tensors and layouts.
fn shapes() -> Vec<(DrawnInputs, DrawnTensor, Layout)> {
    let inputs = |[samples, heads, key_heads, queries, keys, width]: [u32; 6], causal| DrawnInputs {
        samples,
        heads,
        key_heads,
        queries,
        keys,
        width,
        causal,
        seed: 0x1234_5678_9abc_def0 ^ u64::from(width),
    };
    let mut shapes = Vec::new();
    for tensor in [DrawnTensor::Q, DrawnTensor::K, DrawnTensor::V, DrawnTensor::DOut] {
        shapes.push((inputs([2, 6, 3, 5, 11, 7], true), tensor, Layout::HeadFirst));
        shapes.push((inputs([1, 1, 1, 1, 1, 1], true), tensor, Layout::BatchFirst));
        shapes.push((inputs([3, 2, 2, 13, 4, 16], false), tensor, Layout::BatchFirst));
    }
    let rows = Strides { offset: 0, sample: 9 * 3 * 24, position: 3 * 24, head: 12 };
    shapes.push((inputs([4, 2, 2, 9, 9, 12], true), DrawnTensor::Q, Layout::Strided(rows)));
    // More than 65,535 workgroups.
    shapes.push((inputs([70_000, 16, 16, 4, 4, 4], true), DrawnTensor::Q, Layout::HeadFirst));
    shapes
}

fn strides(inputs: &DrawnInputs, tensor: DrawnTensor, layout: Layout) -> Strides {
    let is_query = matches!(tensor, DrawnTensor::Q | DrawnTensor::DOut);
    let (positions, heads) = if is_query { (inputs.queries, inputs.heads) } else { (inputs.keys, inputs.key_heads) };
    layout.strides(positions, heads, inputs.width)
}

fn name(inputs: &DrawnInputs, tensor: DrawnTensor, layout: Layout, storage: DType) -> String {
    let DrawnInputs { samples, heads, key_heads, queries, keys, width, .. } = inputs;
    format!("{tensor:?} of {samples}x{heads}/{key_heads}x{queries}:{keys}x{width}, {layout:?}, {storage}")
}

fn draw_cases(gpu: &Gpu) -> Vec<Case> {
    let storages = [Some(DType::F32), has_half(gpu).then_some(DType::F16)];
    let all =
        shapes().into_iter().flat_map(|shape| storages.into_iter().flatten().map(move |storage| (shape, storage)));
    let is_small = |inputs: &DrawnInputs, storage| inputs.samples < 70_000 || storage == DType::F32;
    all.filter(|((inputs, ..), storage)| is_small(inputs, *storage)).map(draw_case).collect()
}

fn draw_case(((inputs, tensor, layout), storage): ((DrawnInputs, DrawnTensor, Layout), DType)) -> Case {
    let strides = strides(&inputs, tensor, layout);
    let values = draw_reference(&inputs, tensor, &strides);
    // Between rows the initial values remain.
    let start: Vec<f32> = values.iter().map(|value| if value.is_nan() { 9.0 } else { 0.0 }).collect();
    let values = values.into_iter().map(|value| if value.is_nan() { 9.0 } else { value }).collect();
    let halves = || start.iter().map(|v| half::f16::from_f32(*v)).collect::<Vec<_>>();
    let (start, expected): (Values, _) = match storage {
        DType::F32 => (start.clone().into(), Expected::Near { values, tolerance: EXACT }),
        DType::F16 => (halves().into(), Expected::NearHalf { values, tolerance: EXACT }),
    };
    Case {
        name: name(&inputs, tensor, layout, storage),
        inputs: vec![("x", start)],
        outputs: vec![("x", expected)],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            AttentionDraw::from_case(buffers)?.record(plan, &inputs, tensor, &strides)
        }),
    }
}

fn modified_cases(gpu: &Gpu) -> Vec<Case> {
    let storages = [Some(DType::F32), has_half(gpu).then_some(DType::F16)];
    let small = shapes().into_iter().filter(|(inputs, ..)| inputs.samples < 70_000);
    small.flat_map(|shape| storages.into_iter().flatten().map(move |storage| modified_case((shape, storage)))).collect()
}

/// Every seventh element is changed, and the last one is NaN.
fn modified_case(((inputs, tensor, layout), storage): ((DrawnInputs, DrawnTensor, Layout), DType)) -> Case {
    let strides = strides(&inputs, tensor, layout);
    let mut values = draw_reference(&inputs, tensor, &strides);
    let mut changed = 0;
    let count = values.iter().filter(|value| !value.is_nan()).count();
    for (i, value) in values.iter_mut().filter(|value| !value.is_nan()).enumerate() {
        if i % 7 == 3 || i + 1 == count {
            changed += 1;
            *value = if i + 1 == count { f64::NAN } else { *value + 1.0 / 64.0 };
        }
    }
    let values: Values = match storage {
        DType::F32 => values.into_iter().map(|v| v as f32).collect::<Vec<_>>().into(),
        DType::F16 => values.into_iter().map(half::f16::from_f64).collect::<Vec<_>>().into(),
    };
    Case {
        name: name(&inputs, tensor, layout, storage),
        inputs: vec![("x", values), ("counts", vec![3].into())],
        outputs: vec![("counts", Expected::Exactly(vec![3 + changed]))],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            AttentionModified::from_case(buffers)?.record(plan, &inputs, tensor, &strides)
        }),
    }
}
