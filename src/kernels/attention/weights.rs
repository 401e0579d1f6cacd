//! Attention weights averaged over samples, from the buffers of a forward pass.

use super::linear::{dot, features};
use super::{AttentionShape, LANES, part, random_qkv, scale, wide};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, DType, Gpu, Groups, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::device::probe::MOST_ITERATIONS;
use crate::kernels::nn::cast_f16::{has_half, stored};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static WEIGHTS: Kernel = kernel!("attention", "attention_weights");

pub(crate) const WEIGHTS_ENTRY: Entry =
    Entry { kernel: &WEIGHTS, summary: "mean over samples of the weights p_ij of attention", cases };

/// Type of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightsOf {
    /// exp(q_i · k_j / √D − lse_i)
    Softmax = 0,
    /// φ(q_i) · φ(k_j), divided by its sum over j
    Linear = 1,
}

record! {
    /// Attention weights averaged over samples.
    #[derive(Debug, Clone)]
    pub struct AttentionWeights {
        /// (B·T, 3C), f32 or f16
        pub qkv: View,
        /// (B·T, H): log-sum-exp or denominators, from the forward pass
        pub total: View,
        /// (H, T, T)
        pub weight: View,
    }
}

impl AttentionWeights {
    /// Maximum number of samples per launch for heads of width `d`. An invocation loops over all samples.
    pub fn most_samples(d: u32) -> u32 {
        // Iterations per sample: the sample, its parts and the end of the loop over parts.
        MOST_ITERATIONS / (d.div_ceil(4) + 2)
    }

    /// Records the kernel for all samples of `shape`, whose number must be known on the host.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a window of queries, for samples counted on the GPU, for heads wider than 128, or for
    /// 0 samples or more than [`AttentionWeights::most_samples`]; as [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &AttentionShape, of: WeightsOf) -> Result<()> {
        shape.check_whole(&WEIGHTS)?;
        let (samples, most) = (shape.b.capacity, Self::most_samples(shape.d));
        if shape.b.live.is_some() || !(1..=most).contains(&samples) {
            let name = WEIGHTS.name;
            let message = format!("{name}: expected 1 to {most} samples counted on the host, got {samples}");
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let (rows, width, heads) = (shape.rows(), shape.width(), u64::from(shape.h));
        let made = heads * u64::from(shape.t).pow(2);
        plan.launch(&Launch {
            kernel: &WEIGHTS,
            spec: &[("HEAD_DIM", shape.d), ("LINEAR", of as u32), ("CACHE_BITS", self.qkv.storage().bits())],
            bindings: &bind!(
                self.qkv[rows * 3 * width],
                qkv4 = self.qkv[rows * 3 * width],
                self.total[rows * heads],
                self.weight[made]
            ),
            params: &[
                ("samples", samples.into()),
                ("tokens", shape.t.into()),
                ("heads", shape.h.into()),
                ("causal", u32::from(shape.causal).into()),
                ("scale", scale(shape.d)),
                ("share", Param::F32((1.0 / f64::from(samples)) as f32)),
            ],
            groups: Groups::Fixed(made.div_ceil(LANES.into())),
            cost: Cost {
                flops: shape.pairs() * (2.0 * f64::from(shape.d) + 2.0),
                bytes: (self.qkv.storage().bytes() * 2 * rows * width + 4 * (rows * heads + made)) as f64,
            },
            shape: shape.text(),
        })
    }
}

/// Reference in f64: mean weights (H, T, T).
pub fn weights_reference(qkv: &[f64], shape: &AttentionShape, of: WeightsOf) -> Vec<f64> {
    let (b, t, h) = (shape.b.capacity as usize, shape.t as usize, shape.h as usize);
    let mut mean = vec![0.0; h * t * t];
    for (at, row) in mean.chunks_mut(t).enumerate() {
        let (head, query) = (at / t, at % t);
        for sample in 0..b {
            let scores = scores(qkv, shape, of, [sample, head, query]);
            let total: f64 = scores.iter().sum();
            row.iter_mut().zip(scores).for_each(|(mean, score)| *mean += score / total / b as f64);
        }
    }
    mean
}

/// Unnormalized weights of one query for each key allowed by the mask.
fn scores(qkv: &[f64], shape: &AttentionShape, of: WeightsOf, [sample, head, query]: [usize; 3]) -> Vec<f64> {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let at = |position: usize, third| part(qkv, sample * t + position, third, head, h, d);
    let score = |key: usize| match of {
        WeightsOf::Softmax => (dot(at(query, 0), at(key, 1)) / (d as f64).sqrt()).exp(),
        WeightsOf::Linear => dot(&features(at(query, 0)), &features(at(key, 1))),
    };
    (0..if shape.causal { query + 1 } else { t }).map(score).collect()
}

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
        let (causal, full) = (AttentionShape::causal(b, t, h, d), AttentionShape::full(b, t, h, d));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up_to_one_and_nobody_looks_ahead() {
        let shape = AttentionShape::causal(3, 5, 2, 4);
        let qkv = wide(&random_qkv(&mut RandomInputs::new(1), 3 * 3 * 5 * 2 * 4));
        for of in [WeightsOf::Softmax, WeightsOf::Linear] {
            let weights = weights_reference(&qkv, &shape, of);
            for (at, row) in weights.chunks(5).enumerate() {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "row {at}: {row:?}");
                assert!(row[at % 5 + 1..].iter().all(|weight| *weight == 0.0), "row {at}: {row:?}");
            }
        }
    }

    #[test]
    fn a_row_of_values_weighted_by_them_is_what_attention_makes() {
        let shape = AttentionShape::full(1, 7, 1, 3);
        let qkv = wide(&random_qkv(&mut RandomInputs::new(2), 3 * 7 * 3));
        let (out, _) = super::super::forward_reference(&qkv, &shape);
        let weights = weights_reference(&qkv, &shape, WeightsOf::Softmax);
        for (query, row) in weights.chunks(7).enumerate() {
            for e in 0..3 {
                let sum: f64 =
                    row.iter().enumerate().map(|(key, weight)| weight * part(&qkv, key, 2, 0, 1, 3)[e]).sum();
                assert!((sum - out[query * 3 + e]).abs() < 1e-12);
            }
        }
    }
}
