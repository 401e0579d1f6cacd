//! The teacher-forced pass of a transformer with its activations kept, and the same calls reversed.

use super::affine::Reversed;
use super::transformer::{LayerBuffers, Pass, Place, Transformer, TransformerSizes};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::attention::{AttentionBackward, AttentionForward, AttentionShape};
use crate::kernels::linear::{Activation, Extra};

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
pub(super) struct TransformerTraining {
    layers: Vec<LayerActivations>,
    /// (rows, C), what the last layer makes
    top: Buffer,
    /// Two gradients of rows (rows, C) that take turns.
    d_rows: [Buffer; 2],
    /// (rows, C)
    d_attention: Buffer,
    /// (rows, F), of C at least
    d_hidden: Buffer,
    /// (rows, 3C)
    d_qkv: Buffer,
    /// (rows, H)
    delta: Buffer,
}

impl TransformerTraining {
    /// Elements for each sample, and of the widest buffer among them.
    pub fn needs(sizes: &TransformerSizes) -> [u64; 2] {
        let [c, f, h, t, k] =
            [sizes.width, sizes.feed_forward, sizes.heads, sizes.positions, sizes.layers].map(u64::from);
        let layer = 8 * c + f + h + 4;
        let gradient = 3 * c + f.max(c) + 3 * c + h;
        [t * (k * layer + c + gradient), t * f.max(3 * c)]
    }

    /// The widest weight with its bias.
    pub fn part_width(sizes: &TransformerSizes) -> u64 {
        let [c, f] = [sizes.width, sizes.feed_forward].map(u64::from);
        ((c + 1) * f).max((f + 1) * c).max((c + 1) * 3 * c)
    }

    pub fn new(gpu: &Gpu, sizes: &TransformerSizes, samples: u32) -> Result<Self> {
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
                lse: buffer("lse", h)?,
                sum1: buffer("sum1", c)?,
                stats1: buffer("stats1", 2)?,
                normed: buffer("normed", c)?,
                hidden: buffer("hidden", f)?,
                sum2: buffer("sum2", c)?,
                stats2: buffer("stats2", 2)?,
            })
        };
        Ok(Self {
            layers: (0..sizes.layers).map(layer).collect::<Result<_>>()?,
            top: buffer("top", c)?,
            d_rows: [buffer("d_rows", c)?, buffer("d_rows", c)?],
            d_attention: buffer("d_attention", c)?,
            d_hidden: buffer("d_hidden", f.max(c))?,
            d_qkv: buffer("d_qkv", 3 * c)?,
            delta: buffer("delta", h)?,
        })
    }

    /// (rows, C), where the embedded rows are expected.
    pub fn embedded(&self) -> View {
        self.output_before(0)
    }

    /// (rows, C), what the last layer makes.
    pub fn top(&self) -> View {
        self.top.view()
    }

    /// (rows, C), the gradient of [`TransformerTraining::top`] before the backward pass, that of the embedded rows after it.
    pub fn d_rows(&self) -> View {
        self.d_rows[0].view()
    }

    /// (rows, C), free before the backward pass.
    pub fn d_scratch(&self) -> View {
        self.d_hidden.view()
    }

    /// What layer `k` reads.
    fn output_before(&self, k: usize) -> View {
        self.layers.get(k).map_or(self.top.view(), |layer| layer.x.view())
    }

    fn attention_shape(transformer: &Transformer, rows: &Rows) -> AttentionShape {
        let sizes = &transformer.sizes;
        AttentionShape::causal(rows.items(sizes.period), sizes.period, sizes.heads, sizes.head_width())
    }

    /// From the embedded rows to the top, activations kept.
    pub fn forward(&self, transformer: &Transformer, plan: &mut Plan, rows: &Rows) -> Result<()> {
        let shape = Self::attention_shape(transformer, rows);
        let pass = Pass { layers: &transformer.places.values, rows, place: Place::SAME, keeps_hidden: true };
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
                y: self.output_before(k + 1),
            };
            let attention = AttentionForward { qkv: kept.qkv.view(), out: kept.attention.view(), lse: kept.lse.view() };
            transformer.layer(plan, k, &buffers, &pass, |plan| attention.record(plan, &shape))?;
        }
        Ok(())
    }

    /// From the gradient of the top to that of the embedded rows, in place.
    pub fn backward(&self, transformer: &Transformer, plan: &mut Plan, reversed: &Reversed<'_>) -> Result<()> {
        (0..self.layers.len()).rev().try_for_each(|k| self.layer_backward(transformer, plan, k, reversed))
    }

    /// From the gradient of layer `k`'s output to that of its input, in place.
    fn layer_backward(
        &self,
        transformer: &Transformer,
        plan: &mut Plan,
        k: usize,
        reversed: &Reversed<'_>,
    ) -> Result<()> {
        let [d_x, d_sum] = &self.d_rows;
        let places = &transformer.places;
        let (kept, values, gradients) = (&self.layers[k], &places.values[k], &places.gradients[k]);
        let (c, f) = (transformer.sizes.width, transformer.sizes.feed_forward);
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
        attention.record(plan, &Self::attention_shape(transformer, reversed.rows))?;
        reversed.gradient(plan, &kept.x, &d_qkv, [c, 3 * c], &gradients.qkv)?;
        reversed.product(plan, &d_qkv, &values.qkv, plain(d_sum), d_x, [3 * c, c])
    }
}
