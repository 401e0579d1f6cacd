//! Layers of a transformer: parameters, and the operations that all passes share.

use super::affine::{Affine, Find, ParameterViews, constant, linear, norm, norm_specs, product};
use super::feed_forward::{FeedForwardRows, Hidden, NormOfSum};
use super::residual_dropout::{Part, ResidualDropout};
use crate::error::Result;
use crate::gpu::{Plan, Rows, View};
use crate::kernels::linear::{Extra, LinearShape};
use crate::kernels::nn::feed_forward::FeedForwardShape;
use crate::kernels::nn::norm::NormShape;
use crate::kernels::nn::rotary::{Rotary, RotaryShape};
use crate::model::{Activation, Attention, Initial, Norm, ParameterSpec, Parameters};

/// Sizes of a transformer, as `u32` for shaders.
#[derive(Debug, Clone, Copy)]
pub struct TransformerSizes {
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
    /// Type of attention.
    pub attention: Attention,
    /// Whether position i attends to positions up to i only; if not, decoding and suffix batches are not those of training
    /// passes, and outputs are not conditional probabilities. Linear attention is causal.
    pub causal: bool,
    /// Place of the norms.
    pub norm: Norm,
    /// Activation of the hidden layer.
    pub activation: Activation,
}

impl TransformerSizes {
    /// D
    pub fn head_width(&self) -> u32 {
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
    /// (rows, C); used by post-norm layers, where passes without gradient may leave it unwritten
    pub sum2: View,
    /// (rows, 2) of LN2
    pub stats2: View,
    /// (rows, C): output of the layer
    pub y: View,
}

/// Layout of a pass's rows in a buffer over whole samples: row r of the pass is row r·stride + first of the buffer.
#[derive(Debug, Clone, Copy)]
pub struct RowLayout {
    /// Rows of the buffer from one row of the pass to the next.
    pub stride: u32,
    /// Row of the buffer of the first row of the pass.
    pub first: u32,
}

impl RowLayout {
    /// The rows of the pass are those of the buffer.
    pub const SAME: Self = Self { stride: 1, first: 0 };
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
    /// Dropout of a pre-norm transformer in training.
    pub dropout: Option<&'a ResidualDropout>,
}

/// Layers on a device, without buffers for rows.
pub(crate) struct TransformerLayers {
    pub sizes: TransformerSizes,
    pub parameters: ParameterViews<TransformerViews>,
    /// (T, D): cosines and sines of [`Rotary`], which rotates queries and keys by their positions.
    pub rotary: Option<View>,
}

impl TransformerLayers {
    pub(crate) fn specs(sizes: &TransformerSizes) -> Vec<ParameterSpec> {
        let [c, f] = [sizes.width, sizes.feed_forward].map(|width| width as usize);
        let mut specs: Vec<ParameterSpec> = (0..sizes.layers).flat_map(|k| layer_specs(k, c, f)).collect();
        if sizes.norm == Norm::Pre {
            specs.extend(norm_specs(FINAL_NORM, c));
        }
        specs
    }

    /// Finds the parameters, to whose names `prefix` is prepended.
    ///
    /// # Errors
    /// As [`Parameters::value`].
    pub(crate) fn new(parameters: &Parameters, prefix: &str, sizes: TransformerSizes) -> Result<Self> {
        let parameters = ParameterViews::new(parameters, prefix, |find| TransformerViews::find(find, &sizes))?;
        Ok(Self { sizes, parameters, rotary: None })
    }

    /// Records the rotation of the queries and keys in `qkv`, or its transpose for their gradients.
    pub(crate) fn rotate(
        &self,
        plan: &mut Plan,
        qkv: &View,
        rows: &Rows,
        place: RowLayout,
        reverse: bool,
    ) -> Result<()> {
        let Some(table) = &self.rotary else { return Ok(()) };
        let sizes = &self.sizes;
        // All rows of a decoding step have one position.
        let (period, first) = if place.stride == 1 { (sizes.period, 0) } else { (1, place.first % sizes.period) };
        let shape = RotaryShape {
            rows: rows.clone(),
            heads: sizes.heads,
            head_width: sizes.head_width(),
            period,
            first,
            stride: place.stride,
            offset: place.first,
            reverse,
        };
        Rotary { qkv: qkv.clone(), table: table.clone() }.record(plan, &shape)
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
        self.rotate(plan, &buffers.qkv, rows, pass.place, false)?;
        attention(plan)?;
        let out_shape = LinearShape::forward(rows.clone(), c, c);
        match pass.dropout {
            None => product(&buffers.attention, &layer.out, Extra::Add(x.clone()), sum1).record(plan, &out_shape)?,
            Some(dropout) => {
                let out = product(&buffers.attention, &layer.out, Extra::None, &dropout.output());
                out.record(plan, &out_shape)?;
                dropout.add(plan, k, Part::Attention, x, sum1)?;
            }
        }
        match self.sizes.norm {
            Norm::Post => {
                norm(plan, sum1, &layer.norm1, [normed, stats1], &shape)?;
                let norm = NormOfSum { affine: &layer.norm2, y, stats: stats2 };
                self.feed_forward(plan, layer, buffers, ([normed, sum2], Some(norm)), pass)
            }
            Norm::Pre => {
                norm(plan, sum1, &layer.norm2, [normed, stats2], &shape)?;
                let Some(dropout) = pass.dropout else {
                    return self.feed_forward(plan, layer, buffers, ([sum1, y], None), pass);
                };
                let [residual, output] = [dropout.no_residual(), dropout.output()];
                self.feed_forward(plan, layer, buffers, ([&residual, &output], None), pass)?;
                dropout.add(plan, k, Part::FeedForward, sum1, y)
            }
        }
    }

    /// sum = residual + W_2 act(W_1 normed + b_1) + b_2, and its norm
    fn feed_forward(
        &self,
        plan: &mut Plan,
        layer: &LayerViews,
        buffers: &LayerBuffers,
        ([residual, sum], norm): ([&View; 2], Option<NormOfSum<'_>>),
        pass: &Pass<'_>,
    ) -> Result<()> {
        let TransformerSizes { width, feed_forward: hidden, activation, .. } = self.sizes;
        let shape = FeedForwardShape { rows: pass.rows.clone(), width, hidden, activation: activation.of_kernels() };
        let LayerBuffers { normed: x, hidden, activated, .. } = buffers;
        let rows = FeedForwardRows { x, residual, hidden, activated: activated.as_ref(), sum, norm };
        rows.record(plan, [&layer.linear1, &layer.linear2], &shape, pass.hidden)
    }
}
