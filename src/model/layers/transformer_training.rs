//! Teacher-forced pass of a transformer that keeps its activations, and the backward pass.

use super::affine::{BackwardContext, norm};
use super::feed_forward::{FeedForwardKept, Hidden};
use super::residual_dropout::{Part, ResidualDropout};
use super::self_attention::{AttentionStates, Operands};
use super::transformer_layers::{LayerBuffers, Pass, RowLayout, TransformerLayers, TransformerSizes};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::attention::AttentionShape;
use crate::kernels::linear::{Activation, Extra};
use crate::kernels::nn::norm::NormShape;
use crate::model::Norm;

/// Activations of a layer that the forward pass keeps.
pub(crate) struct LayerActivations {
    x: Buffer,
    qkv: Buffer,
    attention: Buffer,
    total: Buffer,
    sum1: Buffer,
    stats1: Buffer,
    normed: Buffer,
    hidden: Buffer,
    /// Input of the second norm in a post-norm layer, output of the first norm in a pre-norm layer.
    other: Buffer,
    stats2: Buffer,
}

#[cfg(test)]
impl LayerActivations {
    /// Activations by the name of their field.
    pub(crate) fn view(&self, name: &str) -> View {
        let Self { x, qkv, attention, total, sum1, normed, hidden, other, .. } = self;
        let all = [
            ("x", x),
            ("qkv", qkv),
            ("attention", attention),
            ("total", total),
            ("sum1", sum1),
            ("normed", normed),
            ("hidden", hidden),
            ("other", other),
        ];
        all.iter().find(|(own, _)| *own == name).map(|(_, buffer)| buffer.view()).expect(name)
    }
}

/// Input and statistics of the norm after the last layer.
struct FinalNorm {
    /// (rows, C)
    x: Buffer,
    /// (rows, 2)
    stats: Buffer,
}

/// Activations of the teacher-forced pass, and the scratch of its gradient.
pub(crate) struct TransformerTraining {
    pub layers: Vec<LayerActivations>,
    norm: Option<FinalNorm>,
    /// States of attention, recomputed in every layer
    states: AttentionStates,
    /// (rows, F): activation of the hidden layer, recomputed in every layer, if layers keep `hidden` without it
    activated: Option<Buffer>,
    /// (rows, C): input of the head
    top: Buffer,
    /// Two alternating gradients of rows, (rows, C)
    d_rows: [Buffer; 2],
    /// (rows, C): gradient of the attention output, or of its sum with the layer's input in a pre-norm layer
    d_attention: Buffer,
    /// (rows, max(F, C))
    d_hidden: Buffer,
    /// (rows, 3C)
    d_qkv: Buffer,
    /// (rows, H)
    delta: Buffer,
}

impl TransformerTraining {
    /// Elements of a gradient block of the widest weight with its bias.
    pub(crate) fn part_width(sizes: &TransformerSizes) -> u64 {
        let [c, f] = [sizes.width, sizes.feed_forward].map(u64::from);
        ((c + 1) * f).max((f + 1) * c).max((c + 1) * 3 * c)
    }

    pub(crate) fn new(gpu: &Gpu, sizes: &TransformerSizes, samples: u32) -> Result<Self> {
        let rows = samples * sizes.positions;
        let (c, f, h) = (sizes.width, sizes.feed_forward, sizes.heads);
        let buffer =
            |name: &str, width: u32| gpu.buffer(&format!("ketformer.{name}"), u64::from(rows) * u64::from(width));
        let layer = |k: u32| {
            let buffer = |part: &str, width: u32| buffer(&format!("layer{k}.{part}"), width);
            Ok(LayerActivations {
                x: buffer("x", c)?,
                qkv: buffer("qkv", 3 * c)?,
                attention: buffer("attention", c)?,
                total: buffer("total", h)?,
                sum1: buffer("sum1", c)?,
                stats1: buffer("stats1", 2)?,
                normed: buffer("normed", c)?,
                hidden: buffer("hidden", f)?,
                other: buffer("other", c)?,
                stats2: buffer("stats2", 2)?,
            })
        };
        Ok(Self {
            layers: (0..sizes.layers).map(layer).collect::<Result<_>>()?,
            norm: (sizes.norm == Norm::Pre)
                .then(|| Ok(FinalNorm { x: buffer("norm.x", c)?, stats: buffer("norm.stats", 2)? }))
                .transpose()?,
            states: sizes.attention.states_buffer(gpu, "states", sizes, samples)?,
            activated: sizes.activation.keeps_input().then(|| buffer("activated", f)).transpose()?,
            top: buffer("top", c)?,
            d_rows: [buffer("d_rows", c)?, buffer("d_rows", c)?],
            d_attention: buffer("d_attention", c)?,
            d_hidden: buffer("d_hidden", f.max(c))?,
            d_qkv: buffer("d_qkv", 3 * c)?,
            delta: buffer("delta", h)?,
        })
    }

    /// (rows, C): buffer for the embedded rows.
    pub(crate) fn embedded(&self) -> View {
        self.output_before(0)
    }

    /// (rows, C): input of the head.
    pub(crate) fn top(&self) -> View {
        self.top.view()
    }

    /// (rows, C): buffer for the gradient of [`TransformerTraining::top`].
    pub(crate) fn d_top(&self) -> View {
        self.d_rows[usize::from(self.norm.is_some())].view()
    }

    /// (rows, C): gradient of the embedded rows.
    pub(crate) fn d_embedded(&self) -> View {
        self.d_rows[0].view()
    }

    /// (rows, C): scratch, unused before the backward pass.
    pub(crate) fn d_scratch(&self) -> View {
        self.d_hidden.view()
    }

    /// Input of layer `k`, or output of the last layer.
    pub(crate) fn output_before(&self, k: usize) -> View {
        let last = self.norm.as_ref().map_or(&self.top, |norm| &norm.x);
        self.layers.get(k).map_or(last, |layer| &layer.x).view()
    }

    /// Attention operands of a layer.
    fn attention<'a>(&'a self, kept: &'a LayerActivations) -> Operands<'a> {
        Operands { qkv: &kept.qkv, states: &self.states, out: &kept.attention, total: &kept.total }
    }

    fn attention_shape(transformer: &TransformerLayers, rows: &Rows) -> AttentionShape {
        let sizes = &transformer.sizes;
        AttentionShape {
            b: rows.items(sizes.period),
            t: sizes.period,
            h: sizes.heads,
            d: sizes.head_width(),
            causal: sizes.causal,
            ..Default::default()
        }
    }

    /// Records the forward pass from the embedded rows to the top, and keeps the activations. Dropout is for pre-norm
    /// transformers.
    pub(crate) fn forward(
        &self,
        transformer: &TransformerLayers,
        plan: &mut Plan,
        rows: &Rows,
        dropout: Option<&ResidualDropout>,
    ) -> Result<()> {
        let views = &transformer.parameters.values;
        let pass = Pass { views, rows, place: RowLayout::SAME, hidden: Hidden::Kept, dropout };
        for (k, kept) in self.layers.iter().enumerate() {
            let buffers = LayerBuffers {
                x: kept.x.view(),
                projected: kept.other.view(),
                qkv: kept.qkv.view(),
                attention: kept.attention.view(),
                sum1: kept.sum1.view(),
                stats1: kept.stats1.view(),
                normed: kept.normed.view(),
                hidden: kept.hidden.view(),
                activated: self.activated.as_ref().map(|activated| activated.view()),
                sum2: kept.other.view(),
                stats2: kept.stats2.view(),
                y: self.output_before(k + 1),
            };
            let attention = self.attention(kept);
            let shape = AttentionShape {
                dropout: dropout.map(|dropout| dropout.of_attention(k)),
                ..Self::attention_shape(transformer, rows)
            };
            transformer.layer(plan, k, &buffers, &pass, |plan| attention.forward(plan, &shape))?;
        }
        match (&self.norm, &transformer.parameters.values.norm) {
            (Some(kept), Some(affine)) => {
                let shape = NormShape::new(rows.clone(), transformer.sizes.width);
                norm(plan, &kept.x, affine, [&self.top, &kept.stats], &shape)
            }
            _ => Ok(()),
        }
    }

    /// Records the mean attention weights of every layer over the `samples` samples of the last pass, (H, T, T) each.
    pub(crate) fn attention_weights(
        &self,
        transformer: &TransformerLayers,
        plan: &mut Plan,
        samples: u32,
        layers: &[View],
    ) -> Result<()> {
        let shape = Self::attention_shape(transformer, &Rows::from(samples * transformer.sizes.positions));
        self.layers.iter().zip(layers).try_for_each(|(kept, weight)| self.attention(kept).weights(plan, weight, &shape))
    }

    /// Records the backward pass from the gradient of the top to that of the embedded rows, with the dropout of the
    /// forward pass.
    pub(crate) fn backward(
        &self,
        transformer: &TransformerLayers,
        plan: &mut Plan,
        reversed: &BackwardContext<'_>,
        dropout: Option<&ResidualDropout>,
    ) -> Result<()> {
        let (parameters, c) = (&transformer.parameters, transformer.sizes.width);
        if let (Some(kept), Some(affine), Some(into)) =
            (&self.norm, &parameters.values.norm, &parameters.gradients.norm)
        {
            let [d_x, d_top] = &self.d_rows;
            reversed.norm(plan, [&kept.x, &kept.stats, d_top, d_x], None, [affine, into], c)?;
        }
        let layer = |k| match transformer.sizes.norm {
            Norm::Post => self.post_norm_backward(transformer, plan, k, reversed),
            Norm::Pre => self.pre_norm_backward(transformer, plan, k, reversed, dropout),
        };
        (0..self.layers.len()).rev().try_for_each(layer)
    }

    /// Records the backward pass of post-norm layer `k`, from the gradient of its output to that of its input, in
    /// place.
    fn post_norm_backward(
        &self,
        transformer: &TransformerLayers,
        plan: &mut Plan,
        k: usize,
        reversed: &BackwardContext<'_>,
    ) -> Result<()> {
        let [d_x, d_sum] = &self.d_rows;
        let parameters = &transformer.parameters;
        let (kept, values, gradients) =
            (&self.layers[k], &parameters.values.layers[k], &parameters.gradients.layers[k]);
        let (c, d_attention, d_qkv) = (transformer.sizes.width, self.d_attention.view(), self.d_qkv.view());
        let plain = |view: &View| (Extra::Add(view.clone()), Activation::None);

        let norm2 = [&values.norm2, &gradients.norm2];
        reversed.norm(plan, [&kept.other, &kept.stats2, d_x, d_sum], None, norm2, c)?;
        self.hidden_backward(transformer, plan, k, reversed, d_sum)?;
        let f = transformer.sizes.feed_forward;
        reversed.product(plan, &self.d_hidden, &values.linear1, plain(d_sum), d_x, [f, c])?;

        let norm1 = [&values.norm1, &gradients.norm1];
        reversed.norm(plan, [&kept.sum1, &kept.stats1, d_x, d_sum], None, norm1, c)?;
        reversed.gradient(plan, &kept.attention, d_sum, [c, c], &gradients.out)?;
        reversed.product(plan, d_sum, &values.out, (Extra::None, Activation::None), &d_attention, [c, c])?;
        let shape = Self::attention_shape(transformer, reversed.rows);
        self.attention(kept).backward(plan, [d_attention, self.delta.view(), d_qkv.clone()], &shape)?;
        transformer.rotate(plan, &d_qkv, reversed.rows, RowLayout::SAME, true)?;
        reversed.gradient(plan, &kept.x, &d_qkv, [c, 3 * c], &gradients.qkv)?;
        reversed.product(plan, &d_qkv, &values.qkv, plain(d_sum), d_x, [3 * c, c])
    }

    /// The same for a pre-norm layer.
    fn pre_norm_backward(
        &self,
        transformer: &TransformerLayers,
        plan: &mut Plan,
        k: usize,
        reversed: &BackwardContext<'_>,
        dropout: Option<&ResidualDropout>,
    ) -> Result<()> {
        let [d_x, d_part] = &self.d_rows;
        let d_sum = &self.d_attention;
        let parameters = &transformer.parameters;
        let (kept, values, gradients) =
            (&self.layers[k], &parameters.values.layers[k], &parameters.gradients.layers[k]);
        let (c, d_qkv) = (transformer.sizes.width, self.d_qkv.view());
        let plain = || (Extra::None, Activation::None);

        // Gradient of the output of a part from that of its sum with the residual.
        let of_part = |plan: &mut Plan, part: Part, d_sum: &View| match dropout {
            None => Ok(d_sum.clone()),
            Some(dropout) => dropout.gradient(plan, k, part, d_sum),
        };
        let d_out = of_part(plan, Part::FeedForward, d_x)?;
        self.hidden_backward(transformer, plan, k, reversed, &d_out)?;
        let f = transformer.sizes.feed_forward;
        reversed.product(plan, &self.d_hidden, &values.linear1, plain(), d_part, [f, c])?;
        let norm2 = [&values.norm2, &gradients.norm2];
        reversed.norm(plan, [&kept.sum1, &kept.stats2, d_part, d_sum], Some(d_x), norm2, c)?;

        let d_out = of_part(plan, Part::Attention, d_sum)?;
        reversed.gradient(plan, &kept.attention, &d_out, [c, c], &gradients.out)?;
        reversed.product(plan, &d_out, &values.out, plain(), d_part, [c, c])?;
        let shape = AttentionShape {
            dropout: dropout.map(|dropout| dropout.of_attention(k)),
            ..Self::attention_shape(transformer, reversed.rows)
        };
        self.attention(kept).backward(plan, [d_part.view(), self.delta.view(), d_qkv.clone()], &shape)?;
        transformer.rotate(plan, &d_qkv, reversed.rows, RowLayout::SAME, true)?;
        reversed.gradient(plan, &kept.other, &d_qkv, [c, 3 * c], &gradients.qkv)?;
        reversed.product(plan, &d_qkv, &values.qkv, plain(), d_part, [3 * c, c])?;
        let norm1 = [&values.norm1, &gradients.norm1];
        reversed.norm(plan, [&kept.x, &kept.stats1, d_part, d_x], Some(d_sum), norm1, c)
    }

    /// Records the backward pass of the feed-forward part of layer `k`, from the gradient `d_sum` of its output to that
    /// of its hidden layer.
    fn hidden_backward(
        &self,
        transformer: &TransformerLayers,
        plan: &mut Plan,
        k: usize,
        reversed: &BackwardContext<'_>,
        d_sum: &View,
    ) -> Result<()> {
        let (kept, parameters) = (&self.layers[k], &transformer.parameters);
        let (values, gradients) = (&parameters.values.layers[k], &parameters.gradients.layers[k]);
        let TransformerSizes { width, feed_forward, activation, .. } = transformer.sizes;
        let part = FeedForwardKept {
            x: &kept.normed,
            hidden: &kept.hidden,
            activated: self.activated.as_deref(),
            d_hidden: &self.d_hidden,
        };
        let into = [&gradients.linear1, &gradients.linear2];
        let shape = ([width, feed_forward], activation.of_kernels());
        part.backward(plan, reversed, &values.linear2, into, d_sum, shape)
    }
}
