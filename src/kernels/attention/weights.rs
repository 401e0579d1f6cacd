//! Attention weights averaged over samples, from the buffers of a forward pass.

use super::linear::{dot, features};
use super::{AttentionShape, LANES, part, scale};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Cost, Groups, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::device::probe::MOST_ITERATIONS;
use crate::kernels::{kernel, record};

pub(super) static WEIGHTS: Kernel = kernel!("attention", "attention_weights");

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
pub(super) fn scores(
    qkv: &[f64],
    shape: &AttentionShape,
    of: WeightsOf,
    [sample, head, query]: [usize; 3],
) -> Vec<f64> {
    let (t, h, d) = (shape.t as usize, shape.h as usize, shape.d as usize);
    let at = |position: usize, third| part(qkv, sample * t + position, third, head, h, d);
    let score = |key: usize| match of {
        WeightsOf::Softmax => (dot(at(query, 0), at(key, 1)) / (d as f64).sqrt()).exp(),
        WeightsOf::Linear => dot(&features(at(query, 0)), &features(at(key, 1))),
    };
    (0..if shape.causal { query + 1 } else { t }).map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::RandomInputs;
    use crate::kernels::attention::cases::random_qkv;
    use crate::kernels::case::wide;

    #[test]
    fn rows_add_up_to_one_and_nobody_looks_ahead() {
        let shape = AttentionShape { b: 3.into(), t: 5, h: 2, d: 4, causal: true, ..Default::default() };
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
        let shape = AttentionShape { b: 1.into(), t: 7, h: 1, d: 3, ..Default::default() };
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
