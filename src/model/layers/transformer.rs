//! Causal transformer on a device: decoding and suffix batches.
//!
//! K layers transform embedded rows (rows, C) into the input rows of a head. Embedding and head belong to the wave
//! function.

use super::affine::{BackwardContext, norm};
use super::categorical_head::HeadGradientRows;
use super::feed_forward::Hidden;
use super::self_attention;
use super::self_attention::{AttentionStates, Operands};
use super::transformer_layers::{LayerBuffers, Pass, RowLayout, TransformerLayers, TransformerSizes};
use super::transformer_training::TransformerTraining;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, DType, Gpu, Plan, Rows, View};
use crate::kernels::attention::{AttentionShape, AttentionSuffix, SampleRows, SuffixShape};
use crate::kernels::nn::norm::NormShape;
use crate::model::wave_function::no_room;
use crate::model::{Attention, Capacity, Norm, ParameterSpec, Parameters, Precision, SuffixBatch};

/// Scratch of an inference pass.
struct Scratch {
    x: Buffer,
    qkv: Buffer,
    attention: Buffer,
    sum: Buffer,
    stats: Buffer,
    normed: Buffer,
}

impl Scratch {
    fn new(gpu: &Gpu, name: &str, sizes: &TransformerSizes, rows: u32, precision: Precision) -> Result<Self> {
        let buffer_of = |part: &str, width: u32, storage| {
            gpu.buffer_of(&format!("ketformer.{name}.{part}"), u64::from(rows) * u64::from(width), storage)
        };
        let buffer = |part: &str, width: u32| buffer_of(part, width, DType::F32);
        let c = sizes.width;
        Ok(Self {
            x: buffer("x", c)?,
            qkv: buffer_of("qkv", 3 * c, precision.storage())?,
            attention: buffer("attention", c)?,
            sum: buffer("sum", c)?,
            stats: buffer("stats", 2)?,
            normed: buffer("normed", c)?,
        })
    }

    fn layer(&self, qkv: &View, hidden: &View) -> LayerBuffers {
        LayerBuffers {
            x: self.x.view(),
            projected: self.normed.view(),
            qkv: qkv.clone(),
            attention: self.attention.view(),
            sum1: self.sum.view(),
            stats1: self.stats.view(),
            normed: self.normed.view(),
            hidden: hidden.clone(),
            activated: None,
            sum2: self.sum.view(),
            stats2: self.stats.view(),
            y: self.x.view(),
        }
    }
}

/// Rows of an inference pass, (rows, C) each.
#[derive(Debug, Clone)]
pub struct InferenceRows {
    /// Embedded rows before the pass, rows of the last layer after it.
    pub x: View,
    /// Scratch.
    pub scratch: View,
}

/// Rows of a training pass, (rows, C) each.
#[derive(Debug, Clone)]
pub struct TrainingRows {
    /// Embedded rows, which the wave function writes before the forward pass.
    pub embedded: View,
    /// Rows of the last layer, which the forward pass writes.
    pub top: View,
    /// Gradient of `top`, which the wave function writes before the backward pass.
    pub d_top: View,
    /// Gradient of `embedded`, which the backward pass writes.
    pub d_embedded: View,
    /// Scratch, unused before the backward pass.
    pub scratch: View,
}

impl TrainingRows {
    /// Rows of the backward pass of a head that reads `top`.
    pub fn of_head(&self) -> HeadGradientRows {
        HeadGradientRows { x: self.top.clone(), scratch: self.scratch.clone(), d_x: self.d_top.clone() }
    }
}

/// Causal transformer on a device, with the cache that decoding fills and suffix batches read, and the activations of
/// training passes.
pub struct Transformer {
    pub(crate) layers: TransformerLayers,
    capacity: Capacity,
    decode: Scratch,
    /// Rows [q | k | v] and states of each layer.
    cache: Vec<(View, AttentionStates)>,
    /// Buffers of the rows, of each layer or of all.
    cache_buffers: Vec<Buffer>,
    /// (samples, H): log-sum-exp or denominators, which only training passes read; bound as an output in decoding
    total: Buffer,
    moves: Scratch,
    hidden: Buffer,
    /// Storage of the hidden layer in decoding.
    hidden_layer: Hidden,
    /// Storage of the hidden layer in suffix batches.
    hidden_of_moves: Hidden,
    training: Option<TransformerTraining>,
}

impl Transformer {
    /// Parameters of a transformer, with PyTorch's names and initial values.
    pub fn specs(sizes: &TransformerSizes) -> Vec<ParameterSpec> {
        TransformerLayers::specs(sizes)
    }

    /// Elements of a gradient block of the widest weight with its bias.
    pub fn part_width(sizes: &TransformerSizes) -> u64 {
        TransformerTraining::part_width(sizes)
    }

    /// Finds the parameters of [`Transformer::specs`], to whose names `prefix` is prepended, and creates the buffers of
    /// all passes; `capacity` counts samples and rows.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for linear attention that is not causal; as [`Parameters::value`] and
    /// [`Gpu::buffer`].
    pub fn new(
        gpu: &Gpu,
        parameters: &Parameters,
        prefix: &str,
        sizes: TransformerSizes,
        capacity: Capacity,
    ) -> Result<Self> {
        if sizes.attention == Attention::Linear && !sizes.causal {
            let message = "Transformer: linear attention is causal; use Attention::Softmax, or causal: true";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let layers = TransformerLayers::new(parameters, prefix, sizes)?;
        Self::of_layers(gpu, layers, parameters.precision(), capacity, None)
    }

    /// Creates the buffers of the transformer `layers`; `capacity` counts its samples and rows. With `layer_cache`, the
    /// caches of all layers are in one buffer at this distance in elements.
    pub(crate) fn of_layers(
        gpu: &Gpu,
        layers: TransformerLayers,
        precision: Precision,
        capacity: Capacity,
        layer_cache: Option<u64>,
    ) -> Result<Self> {
        let (samples, sizes) = (u64::from(capacity.samples), layers.sizes);
        let [c, t, h] = [sizes.width, sizes.positions, sizes.heads].map(u64::from);
        let rows = samples * t * 3 * c;
        let buffer = |name: &str, elements| gpu.buffer_of(name, elements, precision.storage());
        let cache_buffers: Vec<Buffer> = match layer_cache {
            Some(distance) => vec![buffer("ketformer.cache", u64::from(sizes.layers - 1) * distance + rows)?],
            None => {
                let layer = |k: u32| buffer(&format!("ketformer.layer{k}.cache"), rows);
                (0..sizes.layers).map(layer).collect::<Result<_>>()?
            }
        };
        let cache = |k: u32| {
            let name = format!("layer{k}.cache");
            let view = match layer_cache {
                Some(distance) => cache_buffers[0].range(&name, u64::from(k) * distance, rows)?,
                None => cache_buffers[k as usize].view(),
            };
            Ok((view, sizes.attention.states_buffer(gpu, &format!("layer{k}.states"), &sizes, capacity.samples)?))
        };
        let hidden_row = Hidden::elements(gpu, sizes.width, sizes.feed_forward);
        let training =
            (capacity.training_samples > 0).then(|| TransformerTraining::new(gpu, &sizes, capacity.training_samples));
        Ok(Self {
            layers,
            decode: Scratch::new(gpu, "decode", &sizes, capacity.samples, precision)?,
            cache: (0..sizes.layers).map(cache).collect::<Result<_>>()?,
            cache_buffers,
            total: gpu.buffer("ketformer.decode.total", samples * h)?,
            moves: Scratch::new(gpu, "moves", &sizes, capacity.move_rows.max(1), precision)?,
            hidden: gpu.buffer("ketformer.hidden", u64::from(capacity.hidden_rows) * hidden_row)?,
            training: training.transpose()?,
            hidden_layer: Hidden::not_kept(gpu, sizes.width, sizes.feed_forward, capacity.hidden_rows),
            hidden_of_moves: Hidden::of_many_rows(gpu, sizes.width, sizes.feed_forward, capacity.hidden_rows),
            capacity,
        })
    }

    /// Caches of all layers, if they are in one buffer.
    pub(crate) fn whole_cache(&self) -> View {
        self.cache_buffers[0].view()
    }

    /// (samples, C): rows of [`Transformer::decode`].
    pub fn decode_rows(&self) -> InferenceRows {
        InferenceRows { x: self.decode.x.view(), scratch: self.decode.normed.view() }
    }

    /// (move rows, C): rows of [`Transformer::connected`].
    pub fn connected_rows(&self) -> InferenceRows {
        InferenceRows { x: self.moves.x.view(), scratch: self.moves.normed.view() }
    }

    /// (training samples·T, C): rows of [`Transformer::forward`] and [`Transformer::backward`].
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the capacity has no training samples.
    pub fn training_rows(&self) -> Result<TrainingRows> {
        let training = self.training()?;
        Ok(TrainingRows {
            embedded: training.embedded(),
            top: training.top(),
            d_top: training.d_top(),
            d_embedded: training.d_embedded(),
            scratch: training.d_scratch(),
        })
    }

    /// Records the pass over whole samples from the embedded rows to the top, and keeps the activations.
    ///
    /// # Errors
    /// As [`Transformer::training_rows`] and [`Plan::launch`].
    pub fn forward(&self, plan: &mut Plan, rows: &Rows) -> Result<()> {
        self.training()?.forward(&self.layers, plan, rows, None)
    }

    /// Records the gradients of the parameters and of the embedded rows from that of the top.
    ///
    /// # Errors
    /// As [`Transformer::training_rows`] and [`Plan::launch`].
    pub fn backward(&self, plan: &mut Plan, reversed: &BackwardContext<'_>) -> Result<()> {
        self.training()?.backward(&self.layers, plan, reversed, None)
    }

    /// Records the attention weights of each layer, (H, T, T), averaged over the `samples` samples of the last forward
    /// pass.
    ///
    /// # Errors
    /// As [`Transformer::training_rows`] and [`Plan::launch`].
    pub fn attention_weights(&self, plan: &mut Plan, samples: u32, layers: &[View]) -> Result<()> {
        self.training()?.attention_weights(&self.layers, plan, samples, layers)
    }

    /// Records position `t` of every sample, in place from the embedded rows; keeps the keys and values.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn decode(&self, plan: &mut Plan, t: u32) -> Result<()> {
        let samples = self.capacity.samples;
        let rows = Rows::from(samples);
        let (sizes, scratch) = (&self.layers.sizes, &self.decode);
        let place = RowLayout { stride: sizes.positions, first: t };
        let pass = Pass {
            views: &self.layers.parameters.sampled,
            rows: &rows,
            place,
            hidden: self.hidden_layer,
            dropout: None,
        };
        let (within, period) = (t % sizes.period, sizes.period);
        for (k, (cache, states)) in self.cache.iter().enumerate() {
            let attention = Operands { qkv: cache, states, out: &scratch.attention, total: &self.total };
            let shape = AttentionShape {
                b: samples.into(),
                t: period,
                h: sizes.heads,
                d: sizes.head_width(),
                causal: true,
                query_positions: Some(within..within + 1),
                sample_rows: Some(SampleRows { stride: sizes.positions, offset: t - within }),
                ..Default::default()
            };
            let buffers = self.scratch_of(k, scratch, cache);
            self.layers.layer(plan, k, &buffers, &pass, |plan| attention.forward(plan, &shape))?;
        }
        self.finish(plan, scratch, &pass)
    }

    /// Records a suffix batch, in place from the embedded rows; the earlier positions are in the cache.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn connected(&self, plan: &mut Plan, packed: &SuffixBatch) -> Result<()> {
        let (sizes, scratch) = (&self.layers.sizes, &self.moves);
        let rows = packed.items.times(packed.rows_per_item);
        let pass = Pass {
            views: &self.layers.parameters.sampled,
            rows: &rows,
            place: RowLayout::SAME,
            hidden: self.hidden_of_moves,
            dropout: None,
        };
        for (k, (cache, states)) in self.cache.iter().enumerate() {
            let attention = AttentionSuffix {
                base_qkv: cache.clone(),
                qkv: scratch.qkv.view(),
                base: packed.sample_of.clone(),
                row_table: packed.row_table.clone(),
                out: scratch.attention.view(),
            };
            let shape = SuffixShape {
                items: packed.items.clone(),
                per_item: packed.rows_per_item,
                first_item: packed.first_item,
                b: self.capacity.samples,
                t: sizes.positions,
                period: sizes.period,
                h: sizes.heads,
                d: sizes.head_width(),
            };
            let buffers = self.scratch_of(k, scratch, &scratch.qkv);
            let attend = |plan: &mut Plan| self_attention::suffix(plan, attention, states, &shape);
            self.layers.layer(plan, k, &buffers, &pass, attend)?;
        }
        self.finish(plan, scratch, &pass)
    }

    /// Returns the buffers of layer `k`. If a norm follows the last layer, that layer's output overwrites the attention
    /// buffer.
    fn scratch_of(&self, k: usize, scratch: &Scratch, qkv: &View) -> LayerBuffers {
        let buffers = scratch.layer(qkv, &self.hidden);
        let is_last = k + 1 == self.cache.len() && self.layers.sizes.norm == Norm::Pre;
        if is_last { LayerBuffers { y: scratch.attention.view(), ..buffers } } else { buffers }
    }

    /// Records the norm after the last layer, if there is one.
    fn finish(&self, plan: &mut Plan, scratch: &Scratch, pass: &Pass<'_>) -> Result<()> {
        let Some(affine) = &pass.views.norm else { return Ok(()) };
        let made = [&scratch.x.view(), &scratch.stats.view()];
        norm(plan, &scratch.attention, affine, made, &NormShape::new(pass.rows.clone(), self.layers.sizes.width))
    }

    fn training(&self) -> Result<&TransformerTraining> {
        self.training.as_ref().ok_or_else(no_room)
    }
}
