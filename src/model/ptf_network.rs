//! The passes of the patched transformer on a device: decoding, moves, and the layer that all passes share.

use super::ptf::{Sizes, layer_name};
use super::ptf_training::Training;
use super::{Capacity, Needs, Network, Packed, Parameters};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::attention::{AttentionForward, AttentionShape, AttentionSuffix, SuffixShape};
use crate::kernels::embed::{EmbedForward, EmbedShape};
use crate::kernels::linear::{Activation, Extra, LinearProduct, LinearShape};
use crate::kernels::norm::{NormForward, NormShape};

/// Weight and bias of a linear layer, or scale and shift of a norm; values or gradients.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub weight: View,
    pub bias: View,
}

/// The parameters of a layer, or their gradients.
#[derive(Debug, Clone)]
pub(super) struct LayerViews {
    pub qkv: Affine,
    pub out: Affine,
    pub linear1: Affine,
    pub linear2: Affine,
    pub norm1: Affine,
    pub norm2: Affine,
}

/// All parameters of a PTF, or their gradients.
#[derive(Debug, Clone)]
pub(super) struct PtfViews {
    pub embed: Affine,
    pub layers: Vec<LayerViews>,
    pub head_hidden: Affine,
    pub head_out: Affine,
}

impl PtfViews {
    /// Looks every parameter up by name through `view`.
    fn new(layers: u32, view: impl Fn(&str) -> Result<View>) -> Result<Self> {
        let affine = |weight: String, bias: String| Ok(Affine { weight: view(&weight)?, bias: view(&bias)? });
        let pair = |name: &str| affine(format!("{name}.weight"), format!("{name}.bias"));
        let layer = |k: u32| {
            let name = |part: &str| layer_name(k, part);
            Ok(LayerViews {
                qkv: affine(name("self_attn.in_proj_weight"), name("self_attn.in_proj_bias"))?,
                out: pair(&name("self_attn.out_proj"))?,
                linear1: pair(&name("linear1"))?,
                linear2: pair(&name("linear2"))?,
                norm1: pair(&name("norm1"))?,
                norm2: pair(&name("norm2"))?,
            })
        };
        Ok(Self {
            embed: pair("tokenize.0")?,
            layers: (0..layers).map(layer).collect::<Result<_>>()?,
            head_hidden: pair("lin.0")?,
            head_out: pair("lin.2")?,
        })
    }
}

/// What a layer reads and makes. Passes that keep nothing for a gradient use the same buffers in every layer, with
/// `sum2` = `sum1`, `stats2` = `stats1` and `y` = `x`.
#[derive(Debug, Clone)]
pub(super) struct LayerBuffers {
    /// (rows, C), the layer's input
    pub x: View,
    /// (rows, 3C), or the cache (B, T, 3C) in decoding
    pub qkv: View,
    /// (rows, C), the heads' outputs side by side
    pub attention: View,
    /// (rows, C), x + W_o attention + b_o
    pub sum1: View,
    /// (rows, 2)
    pub stats1: View,
    /// (rows, C), LN1
    pub normed: View,
    /// (hidden rows, F)
    pub hidden: View,
    /// (rows, C), normed + W_2 hidden + b_2
    pub sum2: View,
    /// (rows, 2)
    pub stats2: View,
    /// (rows, C), LN2
    pub y: View,
}

/// The scratch of a pass without gradient over at most `rows` rows.
struct Scratch {
    x: Buffer,
    qkv: Buffer,
    attention: Buffer,
    sum: Buffer,
    stats: Buffer,
    normed: Buffer,
    logits: Buffer,
}

impl Scratch {
    fn new(gpu: &Gpu, name: &str, sizes: &Sizes, rows: u32) -> Result<Self> {
        let buffer = |part: &str, width: u32| {
            gpu.buffer(&format!("ketformer.{name}.{part}"), u64::from(rows) * u64::from(width))
        };
        let c = sizes.width;
        Ok(Self {
            x: buffer("x", c)?,
            qkv: buffer("qkv", 3 * c)?,
            attention: buffer("attention", c)?,
            sum: buffer("sum", c)?,
            stats: buffer("stats", 2)?,
            normed: buffer("normed", c)?,
            logits: buffer("logits", sizes.outcomes)?,
        })
    }

    /// Elements for each row, and of the widest buffer.
    fn needs(sizes: &Sizes) -> [u64; 2] {
        let (c, v) = (u64::from(sizes.width), u64::from(sizes.outcomes));
        [7 * c + v + 2, (3 * c).max(v)]
    }

    fn layer(&self, qkv: &View, hidden: &View) -> LayerBuffers {
        LayerBuffers {
            x: self.x.view(),
            qkv: qkv.clone(),
            attention: self.attention.view(),
            sum1: self.sum.view(),
            stats1: self.stats.view(),
            normed: self.normed.view(),
            hidden: hidden.clone(),
            sum2: self.sum.view(),
            stats2: self.stats.view(),
            y: self.x.view(),
        }
    }
}

/// Which rows of the key-and-value buffer a pass writes: row r of the pass is row r·stride + first there.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPlace {
    pub stride: u32,
    pub first: u32,
}

impl RowPlace {
    pub(super) const SAME: Self = Self { stride: 1, first: 0 };
}

/// The patched transformer on a device.
pub(super) struct PtfNetwork {
    pub(super) sizes: Sizes,
    pub(super) values: PtfViews,
    pub(super) gradients: PtfViews,
    pub(super) position: Buffer,
    capacity: Capacity,
    decode: Scratch,
    cache: Vec<Buffer>,
    lse: Buffer,
    decoded_logits: Buffer,
    moves: Scratch,
    hidden: Buffer,
    pub(super) training: Option<Training>,
}

impl PtfNetwork {
    pub(super) fn needs(sizes: &Sizes) -> Needs {
        let [c, t, v, h] = [sizes.width, sizes.patches, sizes.outcomes, sizes.heads].map(u64::from);
        let cache = t * 3 * c;
        let [row, widest_row] = Scratch::needs(sizes);
        Needs {
            sample: [u64::from(sizes.layers) * cache + t * v + row + h, cache.max(t * v)],
            move_row: [row, widest_row],
            hidden_row: u64::from(sizes.feed_forward.max(sizes.width)),
            training_sample: Training::needs(sizes),
        }
    }

    pub(super) fn new(
        gpu: &Gpu,
        sizes: Sizes,
        position: &[f32],
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<Self> {
        let samples = u64::from(capacity.samples);
        let [c, t, v, h] = [sizes.width, sizes.patches, sizes.outcomes, sizes.heads].map(u64::from);
        let cache = |k: u32| gpu.buffer(&format!("ketformer.layer{k}.cache"), samples * t * 3 * c);
        let hidden_width = u64::from(sizes.feed_forward.max(sizes.width));
        let training = (capacity.training_samples > 0).then(|| Training::new(gpu, &sizes, capacity.training_samples));
        Ok(Self {
            values: PtfViews::new(sizes.layers, |name| parameters.value(name))?,
            gradients: PtfViews::new(sizes.layers, |name| parameters.gradient_of(name))?,
            position: gpu.upload("ketformer.position", position)?,
            decode: Scratch::new(gpu, "decode", &sizes, capacity.samples)?,
            cache: (0..sizes.layers).map(cache).collect::<Result<_>>()?,
            lse: gpu.buffer("ketformer.decode.lse", samples * h)?,
            decoded_logits: gpu.buffer("ketformer.decode.logits", samples * t * v)?,
            moves: Scratch::new(gpu, "moves", &sizes, capacity.move_rows.max(1))?,
            hidden: gpu.buffer("ketformer.hidden", u64::from(capacity.hidden_rows) * hidden_width)?,
            training: training.transpose()?,
            capacity,
            sizes,
        })
    }

    /// The embedded rows.
    pub(super) fn embed(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, x: &View) -> Result<()> {
        let embed = EmbedForward {
            rows: descriptions.clone(),
            weight: self.values.embed.weight.clone(),
            bias: self.values.embed.bias.clone(),
            position: self.position.view(),
            x: x.clone(),
        };
        embed.record(plan, &self.embed_shape(rows))
    }

    pub(super) fn embed_shape(&self, rows: &Rows) -> EmbedShape {
        EmbedShape {
            rows: rows.clone(),
            width: self.sizes.width,
            sites_per_patch: self.sizes.sites_per_patch,
            patches: self.sizes.patches,
        }
    }

    /// One layer; `attention` records the kernel between the projections. The feed-forward part runs in windows of
    /// `hidden_rows` rows.
    pub(super) fn layer(
        &self,
        plan: &mut Plan,
        k: usize,
        buffers: &LayerBuffers,
        rows: &Rows,
        place: RowPlace,
        hidden_rows: u32,
        attention: impl FnOnce(&mut Plan) -> Result<()>,
    ) -> Result<()> {
        let (layer, c, f) = (&self.values.layers[k], self.sizes.width, self.sizes.feed_forward);
        let project = LinearShape {
            y_stride: place.stride,
            y_first: place.first,
            ..LinearShape::forward(rows.clone(), c, 3 * c)
        };
        product(&buffers.x, &layer.qkv, Extra::None, &buffers.qkv).record(plan, &project)?;
        attention(plan)?;
        let out = product(&buffers.attention, &layer.out, Extra::Add(buffers.x.clone()), &buffers.sum1);
        out.record(plan, &LinearShape::forward(rows.clone(), c, c))?;
        norm(&buffers.sum1, &layer.norm1, &buffers.normed, &buffers.stats1, rows, c).record_norm(plan)?;
        let mut first = 0;
        while first < rows.most {
            let window = rows.window(first, hidden_rows);
            let part = |view: &View| {
                let elements = u64::from(window.most) * u64::from(c);
                view.range(view.label(), u64::from(first) * u64::from(c), elements)
            };
            let (normed, sum) = (part(&buffers.normed)?, part(&buffers.sum2)?);
            let into = product(&normed, &layer.linear1, Extra::None, &buffers.hidden);
            into.record(plan, &LinearShape::forward(window.clone(), c, f).activated(Activation::Relu))?;
            let back = product(&buffers.hidden, &layer.linear2, Extra::Add(normed.clone()), &sum);
            back.record(plan, &LinearShape::forward(window.clone(), f, c))?;
            first += hidden_rows;
        }
        norm(&buffers.sum2, &layer.norm2, &buffers.y, &buffers.stats2, rows, c).record_norm(plan)
    }

    /// The head's two products.
    pub(super) fn head(
        &self,
        plan: &mut Plan,
        [x, hidden, logits]: [&View; 3],
        rows: &Rows,
        place: RowPlace,
    ) -> Result<()> {
        let (c, v) = (self.sizes.width, self.sizes.outcomes);
        let into = LinearShape::forward(rows.clone(), c, c).activated(Activation::Relu);
        product(x, &self.values.head_hidden, Extra::None, hidden).record(plan, &into)?;
        let out =
            LinearShape { y_stride: place.stride, y_first: place.first, ..LinearShape::forward(rows.clone(), c, v) };
        product(hidden, &self.values.head_out, Extra::None, logits).record(plan, &out)
    }

    pub(super) fn training(&self) -> Result<&Training> {
        let message = "the network has no room for training; give training_samples";
        self.training.as_ref().ok_or_else(|| Error::new(ErrorKind::Shape, message))
    }
}

pub(super) fn product(x: &View, affine: &Affine, extra: Extra, y: &View) -> LinearProduct {
    let (weight, bias) = (affine.weight.clone(), Some(affine.bias.clone()));
    LinearProduct { x: x.clone(), weight, bias, extra, y: y.clone() }
}

/// A norm with its shape.
struct ShapedNorm(NormForward, NormShape);

impl ShapedNorm {
    fn record_norm(&self, plan: &mut Plan) -> Result<()> {
        self.0.record(plan, &self.1)
    }
}

fn norm(x: &View, affine: &Affine, y: &View, stats: &View, rows: &Rows, width: u32) -> ShapedNorm {
    let forward = NormForward {
        x: x.clone(),
        gamma: affine.weight.clone(),
        beta: affine.bias.clone(),
        y: y.clone(),
        stats: stats.clone(),
    };
    ShapedNorm(forward, NormShape::new(rows.clone(), width))
}

impl Network for PtfNetwork {
    fn decode(&self, plan: &mut Plan, descriptions: &View, t: u32) -> Result<()> {
        let samples = self.capacity.samples;
        let rows = Rows::from(samples);
        let (sizes, scratch) = (&self.sizes, &self.decode);
        let place = RowPlace { stride: sizes.patches, first: t };
        self.embed(plan, descriptions, &rows, &scratch.x)?;
        for (k, cache) in self.cache.iter().enumerate() {
            let attention = AttentionForward { qkv: cache.view(), out: scratch.attention.view(), lse: self.lse.view() };
            let shape = AttentionShape::decode(samples, sizes.patches, sizes.heads, sizes.head_width, t);
            let buffers = scratch.layer(cache, &self.hidden);
            self.layer(plan, k, &buffers, &rows, place, self.capacity.hidden_rows, |plan| {
                attention.record(plan, &shape)
            })?;
        }
        self.head(plan, [&scratch.x, &scratch.normed, &self.decoded_logits], &rows, place)
    }

    fn decoded_logits(&self) -> View {
        self.decoded_logits.view()
    }

    fn moves(&self, plan: &mut Plan, packed: &Packed) -> Result<View> {
        let (sizes, scratch) = (&self.sizes, &self.moves);
        let rows = packed.items.times(packed.rows_per_item);
        self.embed(plan, &packed.descriptions, &rows, &scratch.x)?;
        for (k, cache) in self.cache.iter().enumerate() {
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
                t: sizes.patches,
                h: sizes.heads,
                d: sizes.head_width,
            };
            let buffers = scratch.layer(&scratch.qkv, &self.hidden);
            self.layer(plan, k, &buffers, &rows, RowPlace::SAME, self.capacity.hidden_rows, |plan| {
                attention.record(plan, &shape)
            })?;
        }
        self.head(plan, [&scratch.x, &scratch.normed, &scratch.logits], &rows, RowPlace::SAME)?;
        Ok(scratch.logits.view())
    }

    fn forward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows) -> Result<View> {
        self.training()?.forward(self, plan, descriptions, rows)
    }

    fn backward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, keep: bool) -> Result<()> {
        self.training()?.backward(self, plan, descriptions, rows, keep)
    }
}
