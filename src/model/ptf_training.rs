//! The teacher-forced pass of the patched transformer with its activations kept, and the same calls reversed.

use super::ptf::Sizes;
use super::ptf_network::{Affine, LayerBuffers, Pass, Place, PtfNetwork};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::attention::{AttentionBackward, AttentionForward, AttentionShape};
use crate::kernels::embed::EmbedGradient;
use crate::kernels::linear::{self, Activation, Extra, GradientShape, LinearGradient, LinearProduct, LinearShape};
use crate::kernels::norm::{NormBackward, NormGradient, NormShape};

/// What the forward pass of a layer keeps.
struct LayerActivations {
    x: Buffer,
    qkv: Buffer,
    attention: Buffer,
    lse: Buffer,
    sum1: Buffer,
    stats1: Buffer,
    normed: Buffer,
    hidden: Buffer,
    sum2: Buffer,
    stats2: Buffer,
}

/// Activations of a teacher-forced pass, and the scratch of its gradient.
pub(super) struct Training {
    layers: Vec<LayerActivations>,
    /// (rows, C), what the last layer makes
    top: Buffer,
    /// (rows, C)
    head_hidden: Buffer,
    /// (rows, V)
    logits: Buffer,
    /// Two gradients of rows (rows, C) that take turns.
    d_rows: [Buffer; 2],
    /// (rows, C)
    d_attention: Buffer,
    /// (rows, F)
    d_hidden: Buffer,
    /// (rows, 3C)
    d_qkv: Buffer,
    /// (rows, H)
    delta: Buffer,
    /// Blocks of the gradients of parameters.
    part: Buffer,
}

impl Training {
    /// Elements for each sample, and of the widest buffer among them.
    pub(super) fn needs(sizes: &Sizes) -> [u64; 2] {
        let [c, f, v, h, t, k] =
            [sizes.width, sizes.feed_forward, sizes.outcomes, sizes.heads, sizes.patches, sizes.layers].map(u64::from);
        let layer = 8 * c + f + h + 4;
        let gradient = 3 * c + f.max(c) + 3 * c + h;
        [t * (k * layer + 2 * c + v + gradient + 4), t * f.max(3 * c).max(v)]
    }

    /// The widest weight with its bias.
    pub(super) fn part_width(sizes: &Sizes) -> u64 {
        let [c, f, v] = [sizes.width, sizes.feed_forward, sizes.outcomes].map(u64::from);
        ((c + 1) * f).max((f + 1) * c).max((c + 1) * 3 * c).max((c + 1) * v).max(13 * c)
    }

    pub(super) fn new(gpu: &Gpu, sizes: &Sizes, samples: u32) -> Result<Self> {
        let rows = samples * sizes.patches;
        let (c, f, h) = (sizes.width, sizes.feed_forward, sizes.heads);
        let buffer =
            |name: &str, width: u32| gpu.buffer(&format!("ketformer.{name}"), u64::from(rows) * u64::from(width));
        let layer = |k: u32| {
            let buffer = |part: &str, width: u32| buffer(&format!("layer{k}.{part}"), width);
            Ok(LayerActivations {
                x: buffer("x", c)?,
                qkv: buffer("qkv", 3 * c)?,
                attention: buffer("attention", c)?,
                lse: buffer("lse", h)?,
                sum1: buffer("sum1", c)?,
                stats1: buffer("stats1", 2)?,
                normed: buffer("normed", c)?,
                hidden: buffer("hidden", f)?,
                sum2: buffer("sum2", c)?,
                stats2: buffer("stats2", 2)?,
            })
        };
        let blocks = u64::from(linear::blocks_of_items(samples, sizes.patches));
        Ok(Self {
            layers: (0..sizes.layers).map(layer).collect::<Result<_>>()?,
            top: buffer("top", c)?,
            head_hidden: buffer("head.hidden", c)?,
            logits: buffer("head.logits", sizes.outcomes)?,
            d_rows: [buffer("d_rows", c)?, buffer("d_rows", c)?],
            d_attention: buffer("d_attention", c)?,
            d_hidden: buffer("d_hidden", f.max(c))?,
            d_qkv: buffer("d_qkv", 3 * c)?,
            delta: buffer("delta", h)?,
            part: gpu.buffer("ketformer.part", blocks * Self::part_width(sizes))?,
        })
    }

    /// What layer `k` makes.
    fn output(&self, k: usize) -> View {
        self.layers.get(k + 1).map_or(self.top.view(), |next| next.x.view())
    }

    fn attention_shape(network: &PtfNetwork, rows: &Rows) -> AttentionShape {
        let sizes = &network.sizes;
        AttentionShape::causal(rows.items(sizes.patches), sizes.patches, sizes.heads, sizes.head_width)
    }

    pub(super) fn forward(
        &self,
        network: &PtfNetwork,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
    ) -> Result<View> {
        if let Some(first) = self.layers.first() {
            network.embed(plan, descriptions, rows, &first.x)?;
        }
        let shape = Self::attention_shape(network, rows);
        let pass = Pass { values: &network.values, rows, place: Place::SAME, keeps_hidden: true };
        for (k, kept) in self.layers.iter().enumerate() {
            let buffers = LayerBuffers {
                x: kept.x.view(),
                qkv: kept.qkv.view(),
                attention: kept.attention.view(),
                sum1: kept.sum1.view(),
                stats1: kept.stats1.view(),
                normed: kept.normed.view(),
                hidden: kept.hidden.view(),
                sum2: kept.sum2.view(),
                stats2: kept.stats2.view(),
                y: self.output(k),
            };
            let attention = AttentionForward { qkv: kept.qkv.view(), out: kept.attention.view(), lse: kept.lse.view() };
            network.layer(plan, k, &buffers, &pass, |plan| attention.record(plan, &shape))?;
        }
        network.head(plan, [&self.top, &self.head_hidden, &self.logits], &pass)?;
        Ok(self.logits.view())
    }

    pub(super) fn backward(
        &self,
        network: &PtfNetwork,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
        keep: bool,
    ) -> Result<()> {
        let (sizes, values, gradients) = (&network.sizes, &network.values, &network.gradients);
        let (c, v) = (sizes.width, sizes.outcomes);
        let reversed = Reversed { training: self, rows, keep };
        let [d_x, d_sum] = [self.d_rows[0].view(), self.d_rows[1].view()];

        let d_hidden = self.d_hidden.view();
        reversed.gradient(plan, &self.head_hidden, &self.logits, [c, v], &gradients.head_out)?;
        let slope = (Extra::Slope(self.head_hidden.view()), Activation::Relu);
        reversed.product(plan, &self.logits, &values.head_out, slope, &d_hidden, [v, c])?;
        reversed.gradient(plan, &self.top, &d_hidden, [c, c], &gradients.head_hidden)?;
        reversed.product(plan, &d_hidden, &values.head_hidden, (Extra::None, Activation::None), &d_x, [c, c])?;

        for k in (0..self.layers.len()).rev() {
            self.layer_backward(network, plan, k, &reversed, [&d_x, &d_sum])?;
        }
        let embed = EmbedGradient {
            rows: descriptions.clone(),
            weight: values.embed.weight.clone(),
            bias: values.embed.bias.clone(),
            d_x,
            part: self.part.view(),
            d_weight: gradients.embed.weight.clone(),
            d_bias: gradients.embed.bias.clone(),
        };
        embed.record(plan, &network.embed_shape(rows), keep)
    }

    /// From the gradient of layer `k`'s output in `d_x` to that of its input, in place.
    fn layer_backward(
        &self,
        network: &PtfNetwork,
        plan: &mut Plan,
        k: usize,
        reversed: &Reversed<'_>,
        [d_x, d_sum]: [&View; 2],
    ) -> Result<()> {
        let (kept, values, gradients) = (&self.layers[k], &network.values.layers[k], &network.gradients.layers[k]);
        let (c, f) = (network.sizes.width, network.sizes.feed_forward);
        let (d_hidden, d_attention, d_qkv) = (self.d_hidden.view(), self.d_attention.view(), self.d_qkv.view());
        let plain = |view: &View| (Extra::Add(view.clone()), Activation::None);

        reversed.norm(plan, [&kept.sum2, &kept.stats2, d_x, d_sum], &values.norm2, &gradients.norm2, c)?;
        reversed.gradient(plan, &kept.hidden, d_sum, [f, c], &gradients.linear2)?;
        let slope = (Extra::Slope(kept.hidden.view()), Activation::Relu);
        reversed.product(plan, d_sum, &values.linear2, slope, &d_hidden, [c, f])?;
        reversed.gradient(plan, &kept.normed, &d_hidden, [c, f], &gradients.linear1)?;
        reversed.product(plan, &d_hidden, &values.linear1, plain(d_sum), d_x, [f, c])?;

        reversed.norm(plan, [&kept.sum1, &kept.stats1, d_x, d_sum], &values.norm1, &gradients.norm1, c)?;
        reversed.gradient(plan, &kept.attention, d_sum, [c, c], &gradients.out)?;
        reversed.product(plan, d_sum, &values.out, (Extra::None, Activation::None), &d_attention, [c, c])?;
        let attention = AttentionBackward {
            qkv: kept.qkv.view(),
            out: kept.attention.view(),
            lse: kept.lse.view(),
            d_out: d_attention,
            delta: self.delta.view(),
            d_qkv: d_qkv.clone(),
        };
        attention.record(plan, &Self::attention_shape(network, reversed.rows))?;
        reversed.gradient(plan, &kept.x, &d_qkv, [c, 3 * c], &gradients.qkv)?;
        reversed.product(plan, &d_qkv, &values.qkv, plain(d_sum), d_x, [3 * c, c])
    }
}

/// The reversed calls of one pass.
struct Reversed<'a> {
    training: &'a Training,
    rows: &'a Rows,
    keep: bool,
}

impl Reversed<'_> {
    /// Gradient of a layer from `inputs` to `outputs` columns.
    fn gradient(
        &self,
        plan: &mut Plan,
        x: &View,
        d_y: &View,
        [inputs, outputs]: [u32; 2],
        into: &Affine,
    ) -> Result<()> {
        let gradient = LinearGradient {
            x: x.clone(),
            d_y: d_y.clone(),
            part: self.training.part.view(),
            d_weight: into.weight.clone(),
            d_bias: into.bias.clone(),
        };
        gradient.record(plan, &GradientShape { rows: self.rows.clone(), inputs, outputs, keep: self.keep })
    }

    /// Gradient of the inputs of a layer: `inner` outputs back to `columns` inputs.
    fn product(
        &self,
        plan: &mut Plan,
        d_y: &View,
        affine: &Affine,
        (extra, activation): (Extra, Activation),
        d_x: &View,
        [inner, columns]: [u32; 2],
    ) -> Result<()> {
        let weight = affine.weight.clone();
        let product = LinearProduct { x: d_y.clone(), weight, bias: None, extra, y: d_x.clone() };
        product.record(plan, &LinearShape::backward(self.rows.clone(), inner, columns).activated(activation))
    }

    /// Both gradients of a norm.
    fn norm(
        &self,
        plan: &mut Plan,
        [x, stats, d_y, d_x]: [&View; 4],
        affine: &Affine,
        into: &Affine,
        width: u32,
    ) -> Result<()> {
        let shape = NormShape::new(self.rows.clone(), width);
        let gradient = NormGradient {
            x: x.clone(),
            stats: stats.clone(),
            d_y: d_y.clone(),
            part: self.training.part.view(),
            d_gamma: into.weight.clone(),
            d_beta: into.bias.clone(),
        };
        gradient.record(plan, &shape, self.keep)?;
        let backward = NormBackward {
            x: x.clone(),
            stats: stats.clone(),
            gamma: affine.weight.clone(),
            d_y: d_y.clone(),
            extra: None,
            d_x: d_x.clone(),
        };
        backward.record(plan, &shape)
    }
}
