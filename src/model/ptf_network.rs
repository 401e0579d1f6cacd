//! The passes of the patched transformer on a device: decoding, moves, and the layer that all passes share.

use super::ptf::{Sizes, layer_name};
use super::ptf_training::Training;
use super::{Capacity, Needs, Network, Packed, Parameters, Precision};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, Rows, Storage, View};
use crate::kernels::attention::{AttentionForward, AttentionShape, AttentionSuffix, SuffixShape};
use crate::kernels::embed::{EmbedForward, EmbedShape};
use crate::kernels::feed_forward::{self, FeedForward, FeedForwardShape};
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
    fn new(gpu: &Gpu, name: &str, sizes: &Sizes, rows: u32, precision: Precision) -> Result<Self> {
        let buffer_of = |part: &str, width: u32, storage| {
            gpu.buffer_of(&format!("ketformer.{name}.{part}"), u64::from(rows) * u64::from(width), storage)
        };
        let buffer = |part: &str, width: u32| buffer_of(part, width, Storage::Word);
        let c = sizes.width;
        Ok(Self {
            x: buffer("x", c)?,
            qkv: buffer_of("qkv", 3 * c, precision.storage())?,
            attention: buffer("attention", c)?,
            sum: buffer("sum", c)?,
            stats: buffer("stats", 2)?,
            normed: buffer("normed", c)?,
            logits: buffer("logits", sizes.outcomes)?,
        })
    }

    /// Elements for each row, and of the widest buffer.
    fn needs(sizes: &Sizes, precision: Precision) -> [u64; 2] {
        let (c, v) = (u64::from(sizes.width), u64::from(sizes.outcomes));
        let qkv = words(3 * c, precision);
        [qkv + 4 * c + v + 2, qkv.max(c).max(v)]
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

/// Four-byte elements that `elements` of the storage of `precision` take.
fn words(elements: u64, precision: Precision) -> u64 {
    (elements * precision.storage().bytes()).div_ceil(4)
}

/// Where a pass's rows go in buffers over whole samples: row r is row r·stride + first there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub stride: u32,
    pub first: u32,
}

impl Place {
    pub(super) const SAME: Self = Self { stride: 1, first: 0 };
}

/// How a pass goes through the layers.
pub(super) struct Pass<'a> {
    /// The parameters as it reads them.
    pub values: &'a PtfViews,
    /// Its rows.
    pub rows: &'a Rows,
    /// Where their queries, keys and values go.
    pub place: Place,
    /// Whether the hidden layer is kept for a gradient.
    pub keeps_hidden: bool,
}

/// The patched transformer on a device.
pub(super) struct PtfNetwork {
    pub(super) sizes: Sizes,
    pub(super) values: PtfViews,
    /// The parameters as passes without gradient read them.
    sampled: PtfViews,
    pub(super) gradients: PtfViews,
    pub(super) position: Buffer,
    capacity: Capacity,
    decode: Scratch,
    cache: Vec<Buffer>,
    lse: Buffer,
    decoded_logits: Buffer,
    moves: Scratch,
    hidden: Buffer,
    hidden_lanes: Option<u32>,
    pub(super) training: Option<Training>,
}

impl PtfNetwork {
    /// How the hidden layer of passes without gradient is computed: the lanes of the kernel that keeps it on chip, if that
    /// can run.
    fn hidden_lanes(gpu: &Gpu, sizes: &Sizes) -> Option<u32> {
        feed_forward::lanes(gpu, sizes.width, sizes.feed_forward)
    }

    /// Elements of the scratch of each hidden row.
    fn hidden_width(gpu: &Gpu, sizes: &Sizes) -> u64 {
        if Self::hidden_lanes(gpu, sizes).is_some() { 0 } else { u64::from(sizes.feed_forward) }
    }

    pub(super) fn needs(gpu: &Gpu, sizes: &Sizes, precision: Precision) -> Needs {
        let [c, t, v, h] = [sizes.width, sizes.patches, sizes.outcomes, sizes.heads].map(u64::from);
        let cache = words(t * 3 * c, precision);
        let [row, widest_row] = Scratch::needs(sizes, precision);
        Needs {
            sample: [u64::from(sizes.layers) * cache + t * v + row + h, cache.max(t * v)],
            move_row: [row, widest_row],
            hidden_row: Self::hidden_width(gpu, sizes),
            training_sample: Training::needs(sizes),
            training_block: Training::part_width(sizes),
            fixed: t * c,
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
        let precision = parameters.precision();
        let cache =
            |k: u32| gpu.buffer_of(&format!("ketformer.layer{k}.cache"), samples * t * 3 * c, precision.storage());
        let values = PtfViews::new(sizes.layers, |name| parameters.value(name))?;
        // The embedding is no product of rows; its kernel reads f32.
        let embed = values.embed.clone();
        let sampled = PtfViews { embed, ..PtfViews::new(sizes.layers, |name| parameters.sampled(name))? };
        let training = (capacity.training_samples > 0).then(|| Training::new(gpu, &sizes, capacity.training_samples));
        Ok(Self {
            values,
            sampled,
            gradients: PtfViews::new(sizes.layers, |name| parameters.gradient_of(name))?,
            position: gpu.upload("ketformer.position", position)?,
            decode: Scratch::new(gpu, "decode", &sizes, capacity.samples, precision)?,
            cache: (0..sizes.layers).map(cache).collect::<Result<_>>()?,
            lse: gpu.buffer("ketformer.decode.lse", samples * h)?,
            decoded_logits: gpu.buffer("ketformer.decode.logits", samples * t * v)?,
            moves: Scratch::new(gpu, "moves", &sizes, capacity.move_rows.max(1), precision)?,
            hidden: gpu
                .buffer("ketformer.hidden", u64::from(capacity.hidden_rows) * Self::hidden_width(gpu, &sizes))?,
            training: training.transpose()?,
            hidden_lanes: Self::hidden_lanes(gpu, &sizes),
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

    /// One layer; `attention` records the kernel between the projections, `feed_forward` says how the rest is computed.
    pub(super) fn layer(
        &self,
        plan: &mut Plan,
        k: usize,
        buffers: &LayerBuffers,
        pass: &Pass<'_>,
        attention: impl FnOnce(&mut Plan) -> Result<()>,
    ) -> Result<()> {
        let (layer, c, rows) = (&pass.values.layers[k], self.sizes.width, pass.rows);
        let Place { stride: y_stride, first: y_first } = pass.place;
        let project = LinearShape { y_stride, y_first, ..LinearShape::forward(rows.clone(), c, 3 * c) };
        product(&buffers.x, &layer.qkv, Extra::None, &buffers.qkv).record(plan, &project)?;
        attention(plan)?;
        let out = product(&buffers.attention, &layer.out, Extra::Add(buffers.x.clone()), &buffers.sum1);
        out.record(plan, &LinearShape::forward(rows.clone(), c, c))?;
        norm(plan, &buffers.sum1, &layer.norm1, [&buffers.normed, &buffers.stats1], &NormShape::new(rows.clone(), c))?;
        match self.hidden_lanes {
            Some(lanes) if !pass.keeps_hidden => self.feed_forward_on_chip(plan, layer, buffers, rows, lanes)?,
            _ => {
                let window = if pass.keeps_hidden { rows.most } else { self.capacity.hidden_rows };
                self.feed_forward_by_windows(plan, layer, buffers, rows, window)?;
            }
        }
        norm(plan, &buffers.sum2, &layer.norm2, [&buffers.y, &buffers.stats2], &NormShape::new(rows.clone(), c))
    }

    fn feed_forward_on_chip(
        &self,
        plan: &mut Plan,
        layer: &LayerViews,
        buffers: &LayerBuffers,
        rows: &Rows,
        lanes: u32,
    ) -> Result<()> {
        let feed_forward = FeedForward {
            x: buffers.normed.clone(),
            weight1: layer.linear1.weight.clone(),
            bias1: layer.linear1.bias.clone(),
            weight2: layer.linear2.weight.clone(),
            bias2: layer.linear2.bias.clone(),
            y: buffers.sum2.clone(),
        };
        let shape = FeedForwardShape {
            rows: rows.clone(),
            width: self.sizes.width,
            hidden: self.sizes.feed_forward,
            activation: Activation::Relu,
        };
        feed_forward.record(plan, &shape, lanes)
    }

    /// The same with the hidden layer in memory, `window_rows` rows of it at a time.
    fn feed_forward_by_windows(
        &self,
        plan: &mut Plan,
        layer: &LayerViews,
        buffers: &LayerBuffers,
        rows: &Rows,
        window_rows: u32,
    ) -> Result<()> {
        let (c, f) = (self.sizes.width, self.sizes.feed_forward);
        let mut first = 0;
        while first < rows.most {
            let window = rows.window(first, window_rows);
            let part = |view: &View| {
                let elements = u64::from(window.most) * u64::from(c);
                view.range(view.label(), u64::from(first) * u64::from(c), elements)
            };
            let (normed, sum) = (part(&buffers.normed)?, part(&buffers.sum2)?);
            let into = product(&normed, &layer.linear1, Extra::None, &buffers.hidden);
            into.record(plan, &LinearShape::forward(window.clone(), c, f).activated(Activation::Relu))?;
            let back = product(&buffers.hidden, &layer.linear2, Extra::Add(normed.clone()), &sum);
            back.record(plan, &LinearShape::forward(window.clone(), f, c))?;
            first += window.most;
        }
        Ok(())
    }

    /// The head's two products.
    pub(super) fn head(&self, plan: &mut Plan, [x, hidden, logits]: [&View; 3], pass: &Pass<'_>) -> Result<()> {
        let (c, v) = (self.sizes.width, self.sizes.outcomes);
        let Pass { values, rows, place, .. } = *pass;
        let into = LinearShape::forward(rows.clone(), c, c).activated(Activation::Relu);
        product(x, &values.head_hidden, Extra::None, hidden).record(plan, &into)?;
        let out =
            LinearShape { y_stride: place.stride, y_first: place.first, ..LinearShape::forward(rows.clone(), c, v) };
        product(hidden, &values.head_out, Extra::None, logits).record(plan, &out)
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

fn norm(plan: &mut Plan, x: &View, affine: &Affine, [y, stats]: [&View; 2], shape: &NormShape) -> Result<()> {
    let forward = NormForward {
        x: x.clone(),
        gamma: affine.weight.clone(),
        beta: affine.bias.clone(),
        y: y.clone(),
        stats: stats.clone(),
    };
    forward.record(plan, shape)
}

impl Network for PtfNetwork {
    fn decode(&self, plan: &mut Plan, descriptions: &View, t: u32) -> Result<()> {
        let samples = self.capacity.samples;
        let rows = Rows::from(samples);
        let (sizes, scratch) = (&self.sizes, &self.decode);
        let place = Place { stride: sizes.patches, first: t };
        let pass = Pass { values: &self.sampled, rows: &rows, place, keeps_hidden: false };
        self.embed(plan, descriptions, &rows, &scratch.x)?;
        for (k, cache) in self.cache.iter().enumerate() {
            let attention = AttentionForward { qkv: cache.view(), out: scratch.attention.view(), lse: self.lse.view() };
            let shape = AttentionShape::decode(samples, sizes.patches, sizes.heads, sizes.head_width, t);
            let buffers = scratch.layer(cache, &self.hidden);
            self.layer(plan, k, &buffers, &pass, |plan| attention.record(plan, &shape))?;
        }
        self.head(plan, [&scratch.x, &scratch.normed, &self.decoded_logits], &pass)
    }

    fn decoded_logits(&self) -> View {
        self.decoded_logits.view()
    }

    fn moves(&self, plan: &mut Plan, packed: &Packed) -> Result<View> {
        let (sizes, scratch) = (&self.sizes, &self.moves);
        let rows = packed.items.times(packed.rows_per_item);
        let pass = Pass { values: &self.sampled, rows: &rows, place: Place::SAME, keeps_hidden: false };
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
            self.layer(plan, k, &buffers, &pass, |plan| attention.record(plan, &shape))?;
        }
        self.head(plan, [&scratch.x, &scratch.normed, &scratch.logits], &pass)?;
        Ok(scratch.logits.view())
    }

    fn forward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows) -> Result<View> {
        self.training()?.forward(self, plan, descriptions, rows)
    }

    fn backward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, keep: bool) -> Result<()> {
        self.training()?.backward(self, plan, descriptions, rows, keep)
    }
}
