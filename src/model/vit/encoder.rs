//! Pass of a vision transformer from spins to log ψ, and the buffers of inference passes.

use super::parameters::{BlockViews, VitViews};
use super::sizes::{VitAttention, VitSizes};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::attention::factored::{FactoredAttention, FactoredShape, Orientation};
use crate::kernels::attention::{AttentionForward, AttentionShape};
use crate::kernels::linear::{Activation, Extra, LinearShape};
use crate::kernels::nn::complex_head::ComplexHeadForward;
use crate::kernels::nn::feed_forward::FeedForwardShape;
use crate::kernels::nn::large_patch::ConditioningSum;
use crate::kernels::nn::norm::NormShape;
use crate::kernels::vmc::repeat::{RepeatSource, RowsRepeat};
use crate::model::layers::affine::{norm, product};
use crate::model::layers::feed_forward::{FeedForwardRows, Hidden};

/// Activation of the hidden layer of every block.
pub(super) const GELU: Activation = Activation::Gelu;

/// Operands of a block; rows are tokens.
///
/// ```text
/// normed1 = LN1(x)      sum = x + W_o attention(projection(normed1))
/// normed2 = LN2(sum)    y = sum + W_2 gelu(W_1 normed2)
/// ```
#[derive(Debug, Clone)]
pub(super) struct BlockBuffers {
    /// (rows, d)
    pub x: View,
    /// (rows, d)
    pub normed1: View,
    /// (rows, 2)
    pub stats1: View,
    /// (rows, d) values, or (rows, 3d)
    pub projected: View,
    /// (rows, d): concatenated outputs of the heads
    pub attention: View,
    /// (rows, h): log-sum-exp, for softmax attention
    pub total: Option<View>,
    /// (rows, d)
    pub sum: View,
    /// (rows, 2)
    pub stats2: View,
    /// (rows, d)
    pub normed2: View,
    /// (rows, F), or as many rows as fit
    pub hidden: View,
    /// (rows, F): activation of the hidden layer, if `hidden` is kept without it
    pub activated: Option<View>,
    /// (rows, d)
    pub y: View,
}

/// Operands of the head; rows are configurations.
#[derive(Debug, Clone)]
pub(super) struct HeadBuffers {
    /// (configurations, d): Σ_t x_t
    pub pooled: View,
    /// (configurations, 2)
    pub stats: View,
    /// (configurations, d)
    pub z: View,
    /// (configurations, d): Re u
    pub real: View,
    /// (configurations, d): Im u
    pub imag: View,
}

impl VitSizes {
    /// Shape of factored attention over `rows` tokens.
    pub(crate) fn relative_shape(&self, rows: &Rows) -> FactoredShape {
        FactoredShape { rows: rows.clone(), grid: self.grid, h: self.heads, d: self.head_width() }
    }

    /// Shape of softmax attention over `rows` tokens.
    pub(crate) fn attention_shape(&self, rows: &Rows) -> AttentionShape {
        AttentionShape {
            b: rows.items(self.patches()),
            t: self.patches(),
            h: self.heads,
            d: self.head_width(),
            ..Default::default()
        }
    }
}

/// Records one block over `rows` tokens.
pub(super) fn block(
    plan: &mut Plan,
    sizes: &VitSizes,
    views: &BlockViews,
    rows: &Rows,
    buffers: &BlockBuffers,
    hidden: Hidden,
) -> Result<()> {
    let d = sizes.width;
    let BlockBuffers { x, normed1, stats1, projected, attention, sum, stats2, normed2, .. } = buffers;
    let shape = NormShape::new(rows.clone(), d);
    norm(plan, x, &views.norm1, [normed1, stats1], &shape)?;
    let project = LinearShape::forward(rows.clone(), d, sizes.projected());
    product(normed1, &views.projection, Extra::None, projected).record(plan, &project)?;
    match (&views.relative, &buffers.total) {
        (Some(relative), _) => {
            let (v, relative, out) = (projected.clone(), relative.clone(), attention.clone());
            FactoredAttention { v, relative, out }.record(plan, &sizes.relative_shape(rows), Orientation::Forward)?;
        }
        (None, total) => {
            let lse = total.clone().unwrap_or_else(|| stats1.clone());
            let attend = AttentionForward { qkv: projected.clone(), out: attention.clone(), lse };
            attend.record(plan, &sizes.attention_shape(rows))?;
        }
    }
    let out = product(attention, &views.out, Extra::Add(x.clone()), sum);
    out.record(plan, &LinearShape::forward(rows.clone(), d, d))?;
    norm(plan, sum, &views.norm2, [normed2, stats2], &shape)?;
    let shape = FeedForwardShape { rows: rows.clone(), width: d, hidden: sizes.hidden(), activation: GELU };
    let activated = buffers.activated.as_ref();
    let BlockBuffers { hidden: hidden_view, y, .. } = buffers;
    let mlp = FeedForwardRows { x: normed2, residual: sum, hidden: hidden_view, activated, sum: y, norm: None };
    mlp.record(plan, [&views.mlp_in, &views.mlp_out], &shape, hidden)
}

/// Records x = W_e s + b_e from spins (rows, P), plus the learned positions of softmax attention. `scratch` is
/// (rows, d).
pub(super) fn embed(
    plan: &mut Plan,
    sizes: &VitSizes,
    views: &VitViews,
    rows: &Rows,
    [spins, scratch, x]: [&View; 3],
) -> Result<()> {
    let extra = match &views.position {
        None => Extra::None,
        Some(position) => {
            let repeat = RowsRepeat { x: position.clone(), y: scratch.clone() };
            repeat.record(plan, rows, sizes.patches(), sizes.width, RepeatSource::Position)?;
            Extra::Add(scratch.clone())
        }
    };
    let shape = LinearShape::forward(rows.clone(), sizes.sites_per_patch, sizes.width);
    product(spins, &views.embed, extra, x).record(plan, &shape)
}

/// Records the units u of `configurations` from the rows of the last block.
pub(super) fn units(
    plan: &mut Plan,
    sizes: &VitSizes,
    views: &VitViews,
    configurations: &Rows,
    x: &View,
    head: &HeadBuffers,
) -> Result<()> {
    let d = sizes.width;
    let sum = ConditioningSum { d_x: x.clone(), d_conditioning: head.pooled.clone() };
    sum.record(plan, configurations, sizes.patches(), d)?;
    let shape = NormShape::new(configurations.clone(), d);
    norm(plan, &head.pooled, &views.norm, [&head.z, &head.stats], &shape)?;
    for (affine, made) in [(&views.real, &head.real), (&views.imag, &head.imag)] {
        let shape = LinearShape::forward(configurations.clone(), d, d);
        product(&head.z, affine, Extra::None, made).record(plan, &shape)?;
    }
    Ok(())
}

/// Records log ψ² and phase from the units.
pub(super) fn amplitude(
    plan: &mut Plan,
    sizes: &VitSizes,
    configurations: &Rows,
    head: &HeadBuffers,
    [log_p, phase]: [&View; 2],
) -> Result<()> {
    let forward = ComplexHeadForward {
        real: head.real.clone(),
        imag: head.imag.clone(),
        log_p: log_p.clone(),
        phase: phase.clone(),
    };
    forward.record(plan, configurations, sizes.width)
}

/// Buffers of inference passes.
pub(super) struct Encoder {
    /// (configurations, N): input of a pass
    pub spins: Buffer,
    x: Buffer,
    sum: Buffer,
    normed: Buffer,
    projected: Buffer,
    stats: Buffer,
    total: Option<Buffer>,
    hidden: Buffer,
    hidden_layer: Hidden,
    pooled: Buffer,
    z: Buffer,
    head_stats: Buffer,
    real: Buffer,
    imag: Buffer,
    /// (configurations): scratch for log ψ²
    pub log_p: Buffer,
    /// (configurations): scratch for phases
    pub phase: Buffer,
}

impl Encoder {
    /// Creates buffers for at most `most` configurations, with the hidden layer of `hidden` of them at a time.
    pub(super) fn new(gpu: &Gpu, sizes: &VitSizes, most: u32, hidden: u32) -> Result<Self> {
        let buffer =
            |name: &str, width: u32| gpu.buffer(&format!("ketformer.vit.{name}"), u64::from(most) * u64::from(width));
        let (t, d) = (sizes.patches(), sizes.width);
        let total = sizes.attention == VitAttention::Softmax;
        let hidden_elements =
            u64::from(hidden) * u64::from(sizes.patches()) * Hidden::elements(gpu, sizes.width, sizes.hidden());
        Ok(Self {
            spins: buffer("spins", sizes.sites())?,
            x: buffer("x", t * d)?,
            sum: buffer("sum", t * d)?,
            normed: buffer("normed", t * d)?,
            projected: buffer("projected", t * sizes.projected())?,
            stats: buffer("stats", 2 * t)?,
            total: total.then(|| buffer("total", t * sizes.heads)).transpose()?,
            hidden: gpu.buffer("ketformer.vit.hidden", hidden_elements)?,
            hidden_layer: Hidden::of_many_rows(gpu, d, sizes.hidden(), hidden * t),
            pooled: buffer("pooled", d)?,
            z: buffer("z", d)?,
            head_stats: buffer("head.stats", 2)?,
            real: buffer("real", d)?,
            imag: buffer("imag", d)?,
            log_p: buffer("log_p", 1)?,
            phase: buffer("phase", 1)?,
        })
    }

    fn head(&self) -> HeadBuffers {
        HeadBuffers {
            pooled: self.pooled.view(),
            stats: self.head_stats.view(),
            z: self.z.view(),
            real: self.real.view(),
            imag: self.imag.view(),
        }
    }

    /// Records the pass from the spins of `configurations` to their units, the input of [`Encoder::amplitude`].
    pub(super) fn forward(
        &self,
        plan: &mut Plan,
        sizes: &VitSizes,
        views: &VitViews,
        configurations: &Rows,
    ) -> Result<()> {
        let rows = configurations.times(sizes.patches());
        embed(plan, sizes, views, &rows, [&self.spins, &self.sum, &self.x])?;
        let buffers = BlockBuffers {
            x: self.x.view(),
            normed1: self.normed.view(),
            stats1: self.stats.view(),
            projected: self.projected.view(),
            attention: self.normed.view(),
            total: self.total.as_ref().map(|total| total.view()),
            sum: self.sum.view(),
            stats2: self.stats.view(),
            normed2: self.normed.view(),
            hidden: self.hidden.view(),
            activated: None,
            y: self.x.view(),
        };
        views.blocks.iter().try_for_each(|views| block(plan, sizes, views, &rows, &buffers, self.hidden_layer))?;
        units(plan, sizes, views, configurations, &self.x, &self.head())
    }

    /// Records log ψ² and phase of the configurations of the last pass.
    pub(super) fn amplitude(
        &self,
        plan: &mut Plan,
        sizes: &VitSizes,
        configurations: &Rows,
        made: [&View; 2],
    ) -> Result<()> {
        amplitude(plan, sizes, configurations, &self.head(), made)
    }
}
