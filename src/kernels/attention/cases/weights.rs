//! Test cases of [`crate::kernels::attention::weights`].

use crate::gpu::{DType, Gpu, Plan};
use crate::kernels::attention::AttentionShape;
use crate::kernels::attention::cases::random_qkv;
use crate::kernels::attention::weights::{AttentionWeights, WEIGHTS, WeightsOf, scores, weights_reference};
use crate::kernels::case::wide;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const WEIGHTS_ENTRY: Entry =
    Entry { kernel: &WEIGHTS, summary: "mean over samples of the weights p_ij of attention", cases };

fn cases(gpu: &Gpu) -> Vec<Case> {
    let shapes = [
        [1, 1, 1, 1],
        [3, 5, 2, 4],
        [2, 17, 3, 8],
        [7, 13, 5, 3],
        [1, 9, 1, 66],
        [65, 16, 4, 8],
        [2, 70, 2, 20],
        // More than 65,535 rows, and more than 65,535 workgroups.
        [14_000, 5, 1, 4],
        [1, 2053, 1, 1],
    ];
    let cases = |[b, t, h, d]: [u32; 4]| {
        let (causal, full) = (
            AttentionShape { b: b.into(), t, h, d, causal: true, ..Default::default() },
            AttentionShape { b: b.into(), t, h, d, ..Default::default() },
        );
        let softmax = [full, causal.clone()].map(|shape| case(shape, WeightsOf::Softmax, DType::F32));
        let linear = case(causal.clone(), WeightsOf::Linear, DType::F32);
        let half = has_half(gpu).then(|| case(causal, WeightsOf::Softmax, DType::F16));
        softmax.into_iter().chain([linear]).chain(half)
    };
    shapes.into_iter().flat_map(cases).collect()
}

fn case(shape: AttentionShape, of: WeightsOf, storage: DType) -> Case {
    let (b, t, h, d) = (shape.b.capacity, shape.t, shape.h, shape.d);
    let mut random = RandomInputs::new(u64::from(b * 31 + t * 7 + h * 3 + d));
    let (qkv, stored_qkv) = stored(random_qkv(&mut random, (3 * b * t * h * d) as usize), storage);
    let qkv = wide(&qkv);
    let totals = (0..(b * t) as usize).flat_map(|row| (0..h as usize).map(move |head| (row, head)));
    let total = |(row, head): (usize, usize)| {
        let (sample, query) = (row / t as usize, row % t as usize);
        let sum: f64 = scores(&qkv, &shape, of, [sample, head, query]).iter().sum();
        if of == WeightsOf::Softmax { sum.ln() as f32 } else { sum as f32 }
    };
    let values = weights_reference(&qkv, &shape, of);
    let name = format!("({b}, {t}, {h}, {d}) {of:?} causal {}, {storage:?}", shape.causal);
    let inputs = vec![("qkv", stored_qkv), ("total", totals.map(total).collect::<Vec<f32>>().into())];
    let record =
        move |plan: &mut Plan, buffers: &CaseBuffers| AttentionWeights::from_case(buffers)?.record(plan, &shape, of);
    Case {
        name,
        inputs,
        outputs: vec![("weight", Expected::Near { values, tolerance: 1e-5 })],
        record: Box::new(record),
    }
}
