//! Sampling of whole sequences from a narrow causal transformer in one launch, for GPUs.
//!
//! ```text
//! for t in 0..T:  x        = embedding of patch t − 1, plus position t
//!                 x        = K layers of attention to the patches up to t and of feed-forward layers
//!                 logits_t = W_b relu(W_a x + b_a) + b_b,  phases_t likewise
//!                 patch t ~ softmax(logits_t)
//! ```
//!
//! One position of a narrow transformer takes as long as its launches, of which there are 18 with two layers. Here a
//! workgroup decodes 4 or 8 samples. Their rows stay in workgroup memory, and all weights are read once per position.
//! The results are those of the kernels of the single parts, up to rounding.

use std::ops::Range;

use super::categorical::{CategoricalShape, draw_reference, log_p_reference, log_sum_exp, philox};
use super::weights_pack::PackedLayout;
use super::{embed, norm};
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Param, Plan, Rows, View, bind};
use crate::kernels::case::wide;
use crate::kernels::linear::Activation;
use crate::kernels::{attention, kernel, record};

pub(super) static DECODE: Kernel = kernel!("nn", "transformer_decode");

/// Maximum width C: a workgroup holds 8 rows with at most one vec4 for each invocation.
const MOST_WIDTH: u32 = 64;
/// Maximum number of heads and of outcomes, whose scores and logits share workgroup memory with the hidden layer.
const MOST_HEADS: u32 = 16;
const MOST_OUTCOMES: u32 = 256;
/// Maximum number of patches, for which a workgroup attends to all earlier ones by itself.
const MOST_PATCHES: u32 = 256;
/// Floating-point operations of a launch, which no GPU computes for so long that its driver ends the launch: 70 ms at
/// 1 TFLOP/s.
const LAUNCH_FLOPS: f64 = 7e10;
/// Maximum number of invocations that share the inputs of an output of the feed-forward part.
const MOST_SLICES: u32 = 16;
const LANES: u32 = 128;

/// Sizes of a transformer with its embedding and heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeSizes {
    /// Outcomes V, patches T, sector.
    pub head: CategoricalShape,
    /// C
    pub width: u32,
    /// H
    pub heads: u32,
    /// F
    pub hidden: u32,
    /// K
    pub layers: u32,
    /// Activation of the hidden layer of the feed-forward part.
    pub activation: Activation,
    /// Whether norms precede the parts of a layer instead of following them.
    pub pre_norm: bool,
    /// Whether a trained vector replaces the embedding of the first position.
    pub has_start: bool,
    /// Whether outcomes have phases.
    pub is_complex: bool,
}

impl DecodeSizes {
    /// Whether `gpu` decodes a transformer of these sizes in one launch. It does not depend on the number of samples,
    /// because the reduction order is another than that of single launches.
    pub fn is_taken(&self, gpu: &Gpu) -> bool {
        let aligned = self.width.is_multiple_of(4 * self.heads) && self.hidden.is_multiple_of(4);
        let CategoricalShape { outcomes, patches, .. } = self.head;
        let is_narrow = self.width <= MOST_WIDTH && self.heads <= MOST_HEADS;
        !gpu.is_software() && aligned && is_narrow && outcomes <= MOST_OUTCOMES && patches <= MOST_PATCHES
    }

    /// Elements from one layer of the cache of `samples` samples to the next. A multiple of 128, so that layers can be
    /// bound one by one.
    pub fn layer_cache(&self, samples: u32) -> u64 {
        (u64::from(samples) * u64::from(self.head.patches) * u64::from(3 * self.width)).next_multiple_of(128)
    }

    /// Elements from the logits of `samples` samples to their phases.
    pub fn part_outcomes(&self, samples: u32) -> u64 {
        part_outcomes(u64::from(samples) * u64::from(self.head.patches) * u64::from(self.head.outcomes))
    }

    /// Number of parts of outcomes: logits, phases.
    pub fn parts(&self) -> u32 {
        1 + u32::from(self.is_complex)
    }

    /// Largest power of two of slices that [`LANES`] invocations hold.
    fn slices(&self) -> u32 {
        1 << (LANES / (self.width / 4)).min(MOST_SLICES).ilog2()
    }

    fn cost(&self, samples: u32, packed: u32) -> Cost {
        let [b, t, v, c, f, k] =
            [samples, self.head.patches, self.head.outcomes, self.width, self.hidden, self.layers].map(f64::from);
        let parts = f64::from(self.parts());
        let of_layer = 2.0 * (4.0 * c * c + 2.0 * c * f) + 2.0 * c * (t + 1.0);
        let flops = b * t * (k * of_layer + parts * 2.0 * (c * c + c * v));
        Cost { flops, bytes: 16.0 * f64::from(packed) + 4.0 * b * t * (parts * v + k * c * (3.0 + t + 1.0)) }
    }
}

/// Elements from `logits` logits to their phases in the same buffer; a multiple of 64, so that both can be bound.
pub(crate) fn part_outcomes(logits: u64) -> u64 {
    logits.next_multiple_of(64)
}

/// First elements of a weight and of its bias, or of scale and shift of a norm, within the parameters.
pub type AffineAt = [u32; 2];

/// First elements of the parameters of a layer.
#[derive(Debug, Clone, Copy)]
pub struct LayerAt {
    /// (3C, C)
    pub qkv: AffineAt,
    /// (C, C)
    pub out: AffineAt,
    /// Norm of the first part.
    pub norm1: AffineAt,
    /// (F, C)
    pub linear1: AffineAt,
    /// (C, F)
    pub linear2: AffineAt,
    /// Norm of the second part.
    pub norm2: AffineAt,
}

/// First elements of all parameters.
#[derive(Debug, Clone)]
pub struct TransformerAt {
    /// (C, P)
    pub embedding: AffineAt,
    /// (C), if [`DecodeSizes::has_start`]
    pub start: Option<u32>,
    /// (T, C); `None` if it is the table of [`super::weights_pack::WeightsPack`]
    pub position: Option<u32>,
    /// Layers, in order.
    pub layers: Vec<LayerAt>,
    /// Norm after the last layer, if [`DecodeSizes::pre_norm`].
    pub last_norm: Option<AffineAt>,
    /// The two layers (C, C) and (V, C) of the logits, then those of the phases.
    pub heads: Vec<[AffineAt; 2]>,
}

/// Packed parameters of a transformer.
#[derive(Debug, Clone)]
pub struct DecodeLayout {
    /// Segments, for [`super::weights_pack::WeightsPack`].
    pub packed: PackedLayout,
    params: Vec<(&'static str, Param)>,
}

impl DecodeLayout {
    /// Layout for parameters at `at`.
    pub fn new(sizes: &DecodeSizes, at: &TransformerAt) -> Self {
        let (c, f, v) = (sizes.width, sizes.hidden, sizes.head.outcomes);
        let sites = sizes.head.sites_per_patch();
        let mut packed = PackedLayout::default();
        let linear = |packed: &mut PackedLayout, [weight, bias]: AffineAt, [outputs, inputs]: [u32; 2]| {
            let first = packed.matrix(weight, outputs, inputs);
            packed.copy(bias, outputs);
            first
        };
        let norm = |packed: &mut PackedLayout, [scale, shift]: AffineAt| {
            let first = packed.copy(scale, c);
            packed.copy(shift, c);
            first
        };
        let mut params: Vec<(&'static str, Param)> = Vec::new();
        for (k, layer) in at.layers.iter().enumerate() {
            linear(&mut packed, layer.qkv, [3 * c, c]);
            let positions = [
                ("attention_out", linear(&mut packed, layer.out, [c, c])),
                ("norm1", norm(&mut packed, layer.norm1)),
                ("linear1", linear(&mut packed, layer.linear1, [f, c])),
                ("linear2", linear(&mut packed, layer.linear2, [c, f])),
                ("norm2", norm(&mut packed, layer.norm2)),
                ("layer_weights", packed.end()),
            ];
            if k == 0 {
                params.extend(positions.map(|(name, position)| (name, position.into())));
            }
        }
        let last_norm = at.last_norm.map_or(0, |at| norm(&mut packed, at));
        let embedding = packed.copy(at.embedding[0], c * sites);
        packed.copy(at.embedding[1], c);
        at.start.iter().for_each(|start| {
            packed.copy(*start, c);
        });
        let positions = sizes.head.patches * c;
        let position = match at.position {
            Some(first) => packed.copy(first, positions),
            None => packed.table(positions),
        };
        let heads: Vec<[u32; 2]> = at
            .heads
            .iter()
            .map(|[hidden, out]| [linear(&mut packed, *hidden, [c, c]), linear(&mut packed, *out, [v, c])])
            .collect();
        let [head, head_out] = heads[0];
        params.extend([
            ("last_norm", last_norm.into()),
            ("embedding", embedding.into()),
            ("position", position.into()),
            ("head", head.into()),
            ("head_out", head_out.into()),
            ("heads_weights", ((packed.end() - head) / heads.len() as u32).into()),
        ]);
        Self { packed, params }
    }
}

/// Shape of a [`TransformerDecode`].
#[derive(Debug, Clone, Copy)]
pub struct DecodeShape {
    /// Sizes of the transformer.
    pub sizes: DecodeSizes,
    /// B
    pub samples: u32,
    /// Index of the first sample, so that chunks of one batch use different random numbers.
    pub first_sample: u32,
    /// Whether to use the fixed outcomes in `tokens` instead of sampling.
    pub given: bool,
}

record! {
    /// Sampling of all patches; see the module documentation.
    #[derive(Debug, Clone)]
    pub struct TransformerDecode {
        /// Parameters in the order of the [`DecodeLayout`].
        pub packed: View,
        /// (4) u32: seed (2), step number, learning rate
        pub step: View,
        /// (B, T) u32
        pub tokens: View,
        /// (B, T)
        pub log_p: View,
        /// Logits (B, T, V), and phases (B, T, V) after [`DecodeSizes::part_outcomes`] elements.
        pub outcomes: View,
        /// Rows [q | k | v], (B, T, 3C), of each layer after [`DecodeSizes::layer_cache`] elements; f32 or f16
        pub cache: View,
    }
}

impl TransformerDecode {
    /// Records the sampling.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &DecodeShape, layout: &DecodeLayout) -> Result<()> {
        let gpu = plan.gpu();
        // Rows share the weights of a workgroup. With fewer workgroups than two for each compute unit, more workgroups of
        // fewer rows are faster.
        let eight = gpu.has_many_registers() && shape.samples.div_ceil(8) >= 2 * gpu.compute_units();
        let ahead = if gpu.has_many_registers() && !eight { 4 } else { 2 };
        let at_once = (LAUNCH_FLOPS / shape.sizes.cost(1, 0).flops).max(8.0) as u32 / 8 * 8;
        for start in (0..shape.samples).step_by(at_once as usize) {
            let window = start..shape.samples.min(start + at_once);
            self.record_window(plan, (shape, window), layout, [if eight { 8 } else { 4 }, ahead])?;
        }
        Ok(())
    }

    /// Records the samples of `window` only.
    pub(super) fn record_window(
        &self,
        plan: &mut Plan,
        (shape, window): (&DecodeShape, Range<u32>),
        layout: &DecodeLayout,
        [rows, ahead]: [u32; 2],
    ) -> Result<()> {
        let DecodeShape { sizes, samples, first_sample, given } = shape;
        let CategoricalShape { outcomes, patches, .. } = sizes.head;
        let steps = u64::from(*samples) * u64::from(patches);
        let (outcomes_elements, cache_elements) = (sizes.part_outcomes(*samples), sizes.layer_cache(*samples));
        let last_part = u64::from(sizes.parts() - 1) * outcomes_elements + steps * u64::from(outcomes);
        let last_layer = u64::from(sizes.layers - 1) * cache_elements + steps * u64::from(3 * sizes.width);
        let own = [
            ("start", window.start.into()),
            ("end", window.end.into()),
            ("first_sample", (*first_sample).into()),
            ("given", u32::from(*given).into()),
            ("layers", sizes.layers.into()),
            ("heads", sizes.heads.into()),
            ("hidden4", (sizes.hidden / 4).into()),
            ("width4", (sizes.width / 4).into()),
            ("scale", attention::scale(sizes.width / sizes.heads)),
            ("parts", sizes.parts().into()),
            ("part_outcomes", (outcomes_elements as u32).into()),
            ("layer_cache", ((cache_elements / 4) as u32).into()),
        ];
        plan.launch(&Launch {
            kernel: &DECODE,
            spec: &[
                ("WIDTH4", sizes.width / 4),
                ("ROWS", rows),
                ("SLICES", sizes.slices()),
                ("AHEAD", ahead),
                ("ACTIVATION", sizes.activation as u32),
                ("PRE_NORM", sizes.pre_norm.into()),
                ("START", sizes.has_start.into()),
                ("CACHE_BITS", self.cache.storage().bits()),
            ],
            bindings: &bind!(
                self.packed[4 * u64::from(layout.packed.end())],
                self.step[4],
                self.tokens[steps],
                self.log_p[steps],
                self.outcomes[last_part],
                self.cache[last_layer]
            ),
            params: &[&own[..], &sizes.head.params(), &layout.params].concat(),
            groups: Rows::from(window.end - window.start).groups(rows, 1),
            cost: sizes.cost(window.end - window.start, layout.packed.end()),
            shape: format!(
                "({}, {patches}, {}, {}) x {}",
                window.end - window.start,
                sizes.width,
                sizes.hidden,
                sizes.layers
            ),
        })
    }
}

/// Inputs of [`decode_reference`].
#[derive(Debug, Clone, Copy)]
pub struct DecodeInputs<'a> {
    /// Parameters.
    pub values: &'a [f32],
    /// Parameters from which matrices are read.
    pub matrices: &'a [f32],
    /// (T, C), if it is not among the parameters
    pub table: &'a [f32],
    /// First elements of the parameters.
    pub at: &'a TransformerAt,
    /// Seed (2), step number, learning rate.
    pub step: [u32; 4],
}

/// Results of [`decode_reference`].
#[derive(Debug, Default)]
pub struct Decoded {
    /// (T)
    pub tokens: Vec<u32>,
    /// (T)
    pub log_p: Vec<f64>,
    /// (T, V) of each part
    pub outcomes: [Vec<f64>; 2],
    /// (T, 3C) of each layer
    pub cache: Vec<Vec<f64>>,
}

/// Decodes sample `sample` in f64. `given` are its tokens if they are not drawn; keys and values are attended to after
/// `stored`, their conversion to the type of the cache.
pub fn decode_reference(
    sizes: &DecodeSizes,
    inputs: &DecodeInputs<'_>,
    (sample, given): (u32, Option<&[u32]>),
    stored: impl Fn(f64) -> f64,
) -> Decoded {
    let DecodeInputs { values, matrices, table, at, step } = *inputs;
    let [c, v, f, t] = [sizes.width, sizes.head.outcomes, sizes.hidden, sizes.head.patches].map(|size| size as usize);
    let (head_width, sites) = (c / sizes.heads as usize, sizes.head.sites_per_patch() as usize);
    let raw = |first: u32, count: usize| &values[first as usize..first as usize + count];
    let part = |source: &[f32], first: u32, count: usize| wide(&source[first as usize..first as usize + count]);
    let linear = |x: &[f64], [weight, bias]: AffineAt, outputs: usize| -> Vec<f64> {
        let weight = part(matrices, weight, outputs * x.len());
        let rows = weight.chunks(x.len()).zip(part(values, bias, outputs));
        rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
    };
    let normed = |x: &[f64], [scale, shift]: AffineAt| {
        norm::forward_reference(x, &part(values, scale, c), &part(values, shift, c)).0
    };
    let add = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    let relu = |x: Vec<f64>| -> Vec<f64> { x.into_iter().map(|x| x.max(0.0)).collect() };
    let mut decoded = Decoded { cache: vec![Vec::new(); sizes.layers as usize], ..Decoded::default() };
    let (mut token, mut occupied) = (0, 0);
    for position in 0..t {
        let row = [token as u32, position as u32];
        let [weight, bias] =
            [(at.embedding[0], c * sites), (at.embedding[1], c)].map(|(first, count)| raw(first, count));
        let positions = at.position.map_or(table, |first| raw(first, t * c));
        let start = at.start.map(|first| raw(first, c));
        let mut x = embed::forward_reference(&row, weight, bias, positions, start, [sites, row.len()]);
        for (layer, cache) in at.layers.iter().zip(&mut decoded.cache) {
            let source = if sizes.pre_norm { normed(&x, layer.norm1) } else { x.clone() };
            cache.extend(linear(&source, layer.qkv, 3 * c).into_iter().map(&stored));
            let rows: Vec<&[f64]> = cache.chunks(3 * c).collect();
            let attended = (0..sizes.heads as usize).flat_map(|head| {
                let third = |row: &[f64], n: usize| row[n * c + head * head_width..][..head_width].to_vec();
                let pairs: Vec<[Vec<f64>; 2]> = rows.iter().map(|row| [third(row, 1), third(row, 2)]).collect();
                let pairs: Vec<(&[f64], &[f64])> = pairs.iter().map(|[key, value]| (&key[..], &value[..])).collect();
                attention::attend(&third(rows[position], 0), &pairs).0
            });
            let projected = linear(&attended.collect::<Vec<_>>(), layer.out, c);
            let feed_forward = |x: &[f64]| {
                let hidden = linear(x, layer.linear1, f).into_iter().map(|h| sizes.activation.value(h));
                linear(&hidden.collect::<Vec<_>>(), layer.linear2, c)
            };
            x = add(&x, &projected);
            x = if sizes.pre_norm {
                add(&x, &feed_forward(&normed(&x, layer.norm2)))
            } else {
                let normal = normed(&x, layer.norm1);
                normed(&add(&normal, &feed_forward(&normal)), layer.norm2)
            };
        }
        if let Some(last_norm) = at.last_norm {
            x = normed(&x, last_norm);
        }
        for ([hidden, out], outcomes) in at.heads.iter().zip(&mut decoded.outcomes) {
            outcomes.extend(linear(&relu(linear(&x, *hidden, c)), *out, v));
        }
        let logits: Vec<f32> = decoded.outcomes[0][position * v..].iter().map(|logit| *logit as f32).collect();
        let masked = sizes.head.masked(&[0, position as u32, 0, occupied], &logits);
        let word = philox([sample, position as u32, step[2], 0], [step[0], step[1]])[0];
        let drawn = draw_reference(&masked, f64::from(word >> 8) / f64::from(1 << 24));
        token = given.map_or(drawn, |given| given[position] as usize);
        decoded.tokens.push(token as u32);
        decoded.log_p.push(log_p_reference(masked[token], log_sum_exp(&masked)));
        occupied += token.count_ones();
    }
    decoded
}
