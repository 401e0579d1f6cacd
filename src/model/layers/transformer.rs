//! Causal transformer on a device: decoding, suffix batches, and the layer that all passes share.
//!
//! K layers transform embedded rows (rows, C) into the input rows of a head. Embedding and head belong to the wave
//! function.

use super::affine::{Affine, Find, ParameterViews, constant, linear, norm, norm_specs, product};
use super::feed_forward::{FeedForwardRows, Hidden};
use super::self_attention;
use super::self_attention::Operands;
use super::transformer_training::TransformerTraining;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, DType, Gpu, Plan, Rows, View};
use crate::kernels::attention::{AttentionShape, AttentionSuffix, SuffixShape};
use crate::kernels::linear::{Extra, LinearShape};
use crate::kernels::nn::feed_forward::FeedForwardShape;
use crate::kernels::nn::norm::NormShape;
use crate::model::{Activation, Attention, Capacity, Initial, Norm, ParameterSpec, Parameters, Precision, SuffixBatch};

/// Sizes of a transformer, as `u32` for shaders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransformerSizes {
    /// T
    pub positions: u32,
    /// Positions of a sequence; T if a sample is one sequence.
    pub period: u32,
    /// C
    pub width: u32,
    /// H
    pub heads: u32,
    /// F
    pub feed_forward: u32,
    /// K
    pub layers: u32,
    pub attention: Attention,
    pub norm: Norm,
    pub activation: Activation,
}

impl TransformerSizes {
    /// D
    pub(crate) fn head_width(&self) -> u32 {
        self.width / self.heads
    }
}

/// Name of a parameter of layer `layer`.
pub(crate) fn layer_name(layer: u32, part: &str) -> String {
    format!("transformer.transformer.layers.{layer}.{part}")
}

/// Name of the norm after the last layer of a pre-norm transformer.
const FINAL_NORM: &str = "transformer.transformer.norm";

/// Parameters of layer `layer`. Initial values of all layers except the first are copies of the first layer's.
fn layer_specs(layer: u32, c: usize, f: usize) -> Vec<ParameterSpec> {
    let name = |part: &str| layer_name(layer, part);
    let xavier = Initial::Uniform((6.0 / (4.0 * c as f64)).sqrt());
    let [out_weight, _] = linear(&name("self_attn.out_proj"), c, c);
    let mut specs = vec![
        ParameterSpec { name: name("self_attn.in_proj_weight"), shape: vec![3 * c, c], initial: xavier },
        constant(name("self_attn.in_proj_bias"), vec![3 * c], 0.0),
        out_weight,
        constant(name("self_attn.out_proj.bias"), vec![c], 0.0),
    ];
    specs.extend(linear(&name("linear1"), f, c));
    specs.extend(linear(&name("linear2"), c, f));
    for norm in ["norm1", "norm2"] {
        specs.extend(norm_specs(&name(norm), c));
    }
    if layer > 0 {
        let prefix = layer_name(layer, "");
        let first = |name: &str| format!("{}{}", layer_name(0, ""), &name[prefix.len()..]);
        specs.iter_mut().for_each(|spec| spec.initial = Initial::SameAs(first(&spec.name)));
    }
    specs
}

/// Parameters of a layer, or their gradients.
#[derive(Debug, Clone)]
pub(crate) struct LayerViews {
    pub qkv: Affine,
    pub out: Affine,
    pub linear1: Affine,
    pub linear2: Affine,
    pub norm1: Affine,
    pub norm2: Affine,
}

impl LayerViews {
    fn find(find: &Find<'_>, k: u32) -> Result<Self> {
        let name = |part: &str| layer_name(k, part);
        let in_proj = |part: &str| find(&name(&format!("self_attn.in_proj_{part}")));
        Ok(Self {
            qkv: Affine { weight: in_proj("weight")?, bias: in_proj("bias")? },
            out: Affine::find(find, &name("self_attn.out_proj"))?,
            linear1: Affine::find(find, &name("linear1"))?,
            linear2: Affine::find(find, &name("linear2"))?,
            norm1: Affine::find(find, &name("norm1"))?,
            norm2: Affine::find(find, &name("norm2"))?,
        })
    }
}

/// Parameters of all layers and of the norm after them, or their gradients.
#[derive(Debug, Clone)]
pub(crate) struct TransformerViews {
    pub layers: Vec<LayerViews>,
    pub norm: Option<Affine>,
}

impl TransformerViews {
    fn find(find: &Find<'_>, sizes: &TransformerSizes) -> Result<Self> {
        let norm = (sizes.norm == Norm::Pre).then(|| Affine::find(find, FINAL_NORM));
        let layers = (0..sizes.layers).map(|k| LayerViews::find(find, k)).collect::<Result<_>>()?;
        Ok(Self { layers, norm: norm.transpose()? })
    }
}

/// Operands of a layer, with LN1 and LN2 its norms in order of execution.
///
/// ```text
/// post   sum1 = x + attention(x)           normed = LN1(sum1)   sum2 = normed + feed_forward(normed)   y = LN2(sum2)
/// pre    projected = LN1(x)
///        sum1 = x + attention(projected)   normed = LN2(sum1)   y = sum1 + feed_forward(normed)
/// ```
///
/// Inference passes use the same buffers in every layer, with `projected` = `normed`, `sum2` = `sum1`,
/// `stats2` = `stats1` and `y` = `x`.
#[derive(Debug, Clone)]
pub(crate) struct LayerBuffers {
    /// (rows, C): input of the layer
    pub x: View,
    /// (rows, C): input of the projection to queries, keys and values; used by pre-norm layers
    pub projected: View,
    /// (rows, 3C), or the cache (B, T, 3C) in decoding
    pub qkv: View,
    /// (rows, C): concatenated outputs of the heads
    pub attention: View,
    /// (rows, C)
    pub sum1: View,
    /// (rows, 2) of LN1
    pub stats1: View,
    /// (rows, C): input of the feed-forward part
    pub normed: View,
    /// (hidden rows, F)
    pub hidden: View,
    /// (hidden rows, F): activation of the hidden layer, if `hidden` is kept without it
    pub activated: Option<View>,
    /// (rows, C); used by post-norm layers
    pub sum2: View,
    /// (rows, 2) of LN2
    pub stats2: View,
    /// (rows, C): output of the layer
    pub y: View,
}

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

/// Layout of a pass's rows in a buffer over whole samples: row r of the pass is row r·stride + first of the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowLayout {
    pub stride: u32,
    pub first: u32,
}

impl RowLayout {
    pub(crate) const SAME: Self = Self { stride: 1, first: 0 };
}

/// Arguments of a pass that are the same for all layers.
pub(crate) struct Pass<'a> {
    /// Parameters, in the storage that the pass reads.
    pub views: &'a TransformerViews,
    /// Rows of the pass.
    pub rows: &'a Rows,
    /// Layout of their queries, keys and values.
    pub place: RowLayout,
    /// Storage of the hidden layer.
    pub hidden: Hidden,
}

/// Transformer on a device, with the cache that decoding fills and suffix batches read.
pub(crate) struct Transformer {
    pub sizes: TransformerSizes,
    pub places: ParameterViews<TransformerViews>,
    capacity: Capacity,
    decode: Scratch,
    /// Rows [q | k | v] of each layer, and the states of linear attention.
    cache: Vec<(Buffer, Option<Buffer>)>,
    /// (samples, H): log-sum-exp or denominators, which only training passes read; bound as an output in decoding
    total: Buffer,
    moves: Scratch,
    hidden: Buffer,
    /// Storage of the hidden layer in inference passes.
    hidden_layer: Hidden,
    training: Option<TransformerTraining>,
}

impl Transformer {
    pub(crate) fn specs(sizes: &TransformerSizes) -> Vec<ParameterSpec> {
        let [c, f] = [sizes.width, sizes.feed_forward].map(|width| width as usize);
        let mut specs: Vec<ParameterSpec> = (0..sizes.layers).flat_map(|k| layer_specs(k, c, f)).collect();
        if sizes.norm == Norm::Pre {
            specs.extend(norm_specs(FINAL_NORM, c));
        }
        specs
    }

    /// Creates the transformer. `prefix` is prepended to its parameter names; `capacity` counts its samples and rows.
    pub(crate) fn new(
        gpu: &Gpu,
        parameters: &Parameters,
        prefix: &str,
        sizes: TransformerSizes,
        capacity: Capacity,
    ) -> Result<Self> {
        let samples = u64::from(capacity.samples);
        let [c, t, h] = [sizes.width, sizes.positions, sizes.heads].map(u64::from);
        let precision = parameters.precision();
        let cache = |k: u32| {
            let name = format!("layer{k}.states");
            Ok((
                gpu.buffer_of(&format!("ketformer.layer{k}.cache"), samples * t * 3 * c, precision.storage())?,
                sizes.attention.states_buffer(gpu, &name, &sizes, capacity.samples)?,
            ))
        };
        let hidden_row = Hidden::elements(gpu, sizes.width, sizes.feed_forward);
        let training =
            (capacity.training_samples > 0).then(|| TransformerTraining::new(gpu, &sizes, capacity.training_samples));
        Ok(Self {
            places: ParameterViews::new(parameters, prefix, |find| TransformerViews::find(find, &sizes))?,
            decode: Scratch::new(gpu, "decode", &sizes, capacity.samples, precision)?,
            cache: (0..sizes.layers).map(cache).collect::<Result<_>>()?,
            total: gpu.buffer("ketformer.decode.total", samples * h)?,
            moves: Scratch::new(gpu, "moves", &sizes, capacity.move_rows.max(1), precision)?,
            hidden: gpu.buffer("ketformer.hidden", u64::from(capacity.hidden_rows) * hidden_row)?,
            training: training.transpose()?,
            hidden_layer: Hidden::not_kept(gpu, sizes.width, sizes.feed_forward, capacity.hidden_rows),
            capacity,
            sizes,
        })
    }

    /// (samples, C) twice: rows of [`Transformer::decode`], embedded before and the last layer's after, and scratch.
    pub(crate) fn decode_rows(&self) -> [View; 2] {
        [self.decode.x.view(), self.decode.normed.view()]
    }

    /// (move rows, C) twice: the same for [`Transformer::connected`].
    pub(crate) fn move_rows(&self) -> [View; 2] {
        [self.moves.x.view(), self.moves.normed.view()]
    }

    /// Records position `t` of every sample, in place from the embedded rows; keeps the keys and values.
    pub(crate) fn decode(&self, plan: &mut Plan, t: u32) -> Result<()> {
        let samples = self.capacity.samples;
        let rows = Rows::from(samples);
        let (sizes, scratch) = (&self.sizes, &self.decode);
        let place = RowLayout { stride: sizes.positions, first: t };
        let pass = Pass { views: &self.places.sampled, rows: &rows, place, hidden: self.hidden_layer };
        let (within, period) = (t % sizes.period, sizes.period);
        for (k, (cache, states)) in self.cache.iter().enumerate() {
            let (states, out) = (states.as_ref(), &scratch.attention);
            let attention = Operands { qkv: cache, states, out, total: &self.total };
            let shape = AttentionShape::decode(samples, period, sizes.heads, sizes.head_width(), within)
                .within(sizes.positions, t - within);
            let buffers = self.scratch_of(k, scratch, cache);
            self.layer(plan, k, &buffers, &pass, |plan| attention.forward(plan, &shape))?;
        }
        self.finish(plan, scratch, &pass)
    }

    /// Records a suffix batch, in place from the embedded rows; the earlier positions are in the cache.
    pub(crate) fn connected(&self, plan: &mut Plan, packed: &SuffixBatch) -> Result<()> {
        let (sizes, scratch) = (&self.sizes, &self.moves);
        let rows = packed.items.times(packed.rows_per_item);
        let pass = Pass { views: &self.places.sampled, rows: &rows, place: RowLayout::SAME, hidden: self.hidden_layer };
        for (k, (cache, states)) in self.cache.iter().enumerate() {
            let attention = AttentionSuffix {
                base_qkv: cache.view(),
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
            let attend = |plan: &mut Plan| self_attention::suffix(plan, attention, states.as_ref(), &shape);
            self.layer(plan, k, &buffers, &pass, attend)?;
        }
        self.finish(plan, scratch, &pass)
    }

    /// Returns the buffers of layer `k`. If a norm follows the last layer, that layer's output overwrites the attention
    /// buffer.
    fn scratch_of(&self, k: usize, scratch: &Scratch, qkv: &View) -> LayerBuffers {
        let buffers = scratch.layer(qkv, &self.hidden);
        let is_last = k + 1 == self.cache.len() && self.sizes.norm == Norm::Pre;
        if is_last { LayerBuffers { y: scratch.attention.view(), ..buffers } } else { buffers }
    }

    /// Records the norm after the last layer, if there is one.
    fn finish(&self, plan: &mut Plan, scratch: &Scratch, pass: &Pass<'_>) -> Result<()> {
        let Some(affine) = &pass.views.norm else { return Ok(()) };
        let made = [&scratch.x.view(), &scratch.stats.view()];
        norm(plan, &scratch.attention, affine, made, &NormShape::new(pass.rows.clone(), self.sizes.width))
    }

    /// Activations of whole samples.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the network has no room for training.
    pub(crate) fn training(&self) -> Result<&TransformerTraining> {
        self.training.as_ref().ok_or_else(Self::no_room)
    }

    pub(crate) fn no_room() -> Error {
        Error::new(ErrorKind::Shape, "the network has no room for training; give training_samples")
    }

    /// Records one layer; `attention` records the kernel between the projections.
    pub(crate) fn layer(
        &self,
        plan: &mut Plan,
        k: usize,
        buffers: &LayerBuffers,
        pass: &Pass<'_>,
        attention: impl FnOnce(&mut Plan) -> Result<()>,
    ) -> Result<()> {
        let (layer, c, rows) = (&pass.views.layers[k], self.sizes.width, pass.rows);
        let (shape, LayerBuffers { x, projected, sum1, stats1, normed, sum2, stats2, y, .. }) =
            (NormShape::new(rows.clone(), c), buffers);
        let projected = match self.sizes.norm {
            Norm::Post => x,
            Norm::Pre => {
                norm(plan, x, &layer.norm1, [projected, stats1], &shape)?;
                projected
            }
        };
        let RowLayout { stride: y_stride, first: y_first } = pass.place;
        let project = LinearShape { y_stride, y_first, ..LinearShape::forward(rows.clone(), c, 3 * c) };
        product(projected, &layer.qkv, Extra::None, &buffers.qkv).record(plan, &project)?;
        attention(plan)?;
        let out = product(&buffers.attention, &layer.out, Extra::Add(x.clone()), sum1);
        out.record(plan, &LinearShape::forward(rows.clone(), c, c))?;
        match self.sizes.norm {
            Norm::Post => {
                norm(plan, sum1, &layer.norm1, [normed, stats1], &shape)?;
                self.feed_forward(plan, layer, buffers, [normed, sum2], pass)?;
                norm(plan, sum2, &layer.norm2, [y, stats2], &shape)
            }
            Norm::Pre => {
                norm(plan, sum1, &layer.norm2, [normed, stats2], &shape)?;
                self.feed_forward(plan, layer, buffers, [sum1, y], pass)
            }
        }
    }

    /// sum = residual + W_2 act(W_1 normed + b_1) + b_2
    fn feed_forward(
        &self,
        plan: &mut Plan,
        layer: &LayerViews,
        buffers: &LayerBuffers,
        [residual, sum]: [&View; 2],
        pass: &Pass<'_>,
    ) -> Result<()> {
        let TransformerSizes { width, feed_forward: hidden, activation, .. } = self.sizes;
        let shape = FeedForwardShape { rows: pass.rows.clone(), width, hidden, activation: activation.of_kernels() };
        let LayerBuffers { normed: x, hidden, activated, .. } = buffers;
        let rows = FeedForwardRows { x, residual, hidden, activated: activated.as_ref(), sum };
        rows.record(plan, [&layer.linear1, &layer.linear2], &shape, pass.hidden)
    }
}
