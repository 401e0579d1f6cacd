//! Training pass: a forward pass that keeps its activations, and the backward pass.

use super::super::LogPsiGradient;
use super::encoder::{self, BlockBuffers, GELU, HeadBuffers};
use super::parameters::VitViews;
use super::sizes::{VitAttention, VitSizes};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::attention::{AttentionBackward, AttentionWeights, WeightsOf};
use crate::kernels::linear::{Activation, Extra, GradientInto, GradientSums};
use crate::kernels::nn::complex_head::ComplexHeadBackward;
use crate::kernels::nn::embed::{EmbedShape, TableGradient};
use crate::kernels::vmc::repeat::{RepeatSource, RowsRepeat};
use crate::model::layers::affine::{BackwardContext, ParameterViews};
use crate::model::layers::feed_forward::{FeedForwardKept, Hidden};
use crate::model::parameters::layout::{Parameters, SampleRows};
use crate::model::wave_function::no_attention;

/// Activations of a block that the forward pass keeps.
struct BlockActivations {
    x: Buffer,
    normed1: Buffer,
    stats1: Buffer,
    projected: Buffer,
    attention: Buffer,
    total: Option<Buffer>,
    sum: Buffer,
    stats2: Buffer,
    normed2: Buffer,
    hidden: Buffer,
}

/// Activations of the head, and their gradients.
struct Head {
    pooled: Buffer,
    stats: Buffer,
    z: Buffer,
    real: Buffer,
    imag: Buffer,
    d_real: Buffer,
    d_imag: Buffer,
    /// Two alternating gradients, (samples, d)
    d_z: [Buffer; 2],
}

/// Activations of the training pass, and the scratch of its gradient.
pub(super) struct Training {
    /// (samples, N)
    pub spins: Buffer,
    blocks: Vec<BlockActivations>,
    /// (rows, d): output of the last block
    top: Buffer,
    head: Head,
    /// (rows, F): activation of the hidden layer, recomputed in every block
    activated: Buffer,
    /// Two alternating gradients of rows, (rows, d)
    d_rows: [Buffer; 2],
    /// (rows, d): gradient of the sum after attention
    d_sum: Buffer,
    /// (rows, F)
    d_hidden: Buffer,
    /// (rows, d) or (rows, 3d)
    d_projected: Buffer,
    /// (rows, h), for softmax attention
    delta: Option<Buffer>,
    /// Blocks of parameter gradients.
    part: Buffer,
}

impl Training {
    /// Elements of a block of the sums over rows: the widest weight with its bias.
    pub(super) fn part_width(sizes: &VitSizes) -> u64 {
        let [p, t, d, h, f, projected] =
            [sizes.sites_per_patch, sizes.patches(), sizes.width, sizes.heads, sizes.hidden(), sizes.projected()]
                .map(u64::from);
        let tables = if sizes.attention == VitAttention::Softmax { t * d } else { t * h };
        [(p + 1) * d, (d + 1) * projected, (d + 1) * f, (f + 1) * d, tables].into_iter().max().unwrap_or(0)
    }

    /// Creates buffers for `samples` samples.
    pub(super) fn new(gpu: &Gpu, sizes: &VitSizes, parameters: &Parameters, samples: u32) -> Result<Self> {
        let (t, d, f) = (sizes.patches(), sizes.width, sizes.hidden());
        let of_samples = |name: &str, width: u32| {
            gpu.buffer(&format!("ketformer.vit.training.{name}"), u64::from(samples) * u64::from(width))
        };
        let of_rows = |name: &str, width: u32| of_samples(name, t * width);
        let softmax = sizes.attention == VitAttention::Softmax;
        let of_heads = |name: &str| softmax.then(|| of_rows(name, sizes.heads)).transpose();
        let block = |k: u32| {
            let rows = |part: &str, width: u32| of_rows(&format!("block{k}.{part}"), width);
            Ok(BlockActivations {
                x: rows("x", d)?,
                normed1: rows("normed1", d)?,
                stats1: rows("stats1", 2)?,
                projected: rows("projected", sizes.projected())?,
                attention: rows("attention", d)?,
                total: of_heads(&format!("block{k}.total"))?,
                sum: rows("sum", d)?,
                stats2: rows("stats2", 2)?,
                normed2: rows("normed2", d)?,
                hidden: rows("hidden", f)?,
            })
        };
        Ok(Self {
            spins: of_samples("spins", sizes.sites())?,
            blocks: (0..sizes.layers).map(block).collect::<Result<_>>()?,
            top: of_rows("top", d)?,
            head: Head {
                pooled: of_samples("pooled", d)?,
                stats: of_samples("stats", 2)?,
                z: of_samples("z", d)?,
                real: of_samples("real", d)?,
                imag: of_samples("imag", d)?,
                d_real: of_samples("d_real", d)?,
                d_imag: of_samples("d_imag", d)?,
                d_z: [of_samples("d_z", d)?, of_samples("d_z", d)?],
            },
            activated: of_rows("activated", f)?,
            d_rows: [of_rows("d_rows", d)?, of_rows("d_rows", d)?],
            d_sum: of_rows("d_sum", d)?,
            d_hidden: of_rows("d_hidden", f)?,
            d_projected: of_rows("d_projected", sizes.projected())?,
            delta: of_heads("delta")?,
            part: parameters.gradient_scratch(
                gpu,
                Self::part_width(sizes),
                SampleRows { samples, rows_per_sample: t },
            )?,
        })
    }

    fn head(&self) -> HeadBuffers {
        let Head { pooled, stats, z, real, imag, .. } = &self.head;
        let [pooled, stats, z, real, imag] = [pooled, stats, z, real, imag].map(Buffer::view);
        HeadBuffers { pooled, stats, z, real, imag }
    }

    /// Input of block `k`, or of the head after the last block.
    fn input(&self, k: usize) -> View {
        self.blocks.get(k).map_or(&self.top, |block| &block.x).view()
    }

    /// Records the forward pass from the spins of `samples` to log ψ² and phase.
    pub(super) fn forward(
        &self,
        plan: &mut Plan,
        sizes: &VitSizes,
        views: &VitViews,
        samples: &Rows,
        made: [&View; 2],
    ) -> Result<()> {
        let rows = samples.times(sizes.patches());
        encoder::embed(plan, sizes, views, &rows, [&self.spins, &self.d_sum, &self.input(0)])?;
        for (k, (kept, views)) in self.blocks.iter().zip(&views.blocks).enumerate() {
            let buffers = BlockBuffers {
                x: kept.x.view(),
                normed1: kept.normed1.view(),
                stats1: kept.stats1.view(),
                projected: kept.projected.view(),
                attention: kept.attention.view(),
                total: kept.total.as_ref().map(|total| total.view()),
                sum: kept.sum.view(),
                stats2: kept.stats2.view(),
                normed2: kept.normed2.view(),
                hidden: kept.hidden.view(),
                activated: Some(self.activated.view()),
                y: self.input(k + 1),
            };
            encoder::block(plan, sizes, views, &rows, &buffers, Hidden::Kept)?;
        }
        let head = self.head();
        encoder::units(plan, sizes, views, samples, &self.top, &head)?;
        encoder::amplitude(plan, sizes, samples, &head, made)
    }

    /// Records the mean weights of softmax attention of every block over the `samples` samples of the last pass,
    /// (h, T, T) each.
    pub(super) fn attention_weights(
        &self,
        plan: &mut Plan,
        sizes: &VitSizes,
        samples: u32,
        layers: &[View],
    ) -> Result<()> {
        let shape = sizes.attention_shape(&Rows::from(samples * sizes.patches()));
        for (kept, weight) in self.blocks.iter().zip(layers) {
            let Some(total) = &kept.total else { return no_attention() };
            let [qkv, total, weight] = [kept.projected.view(), total.view(), weight.clone()];
            AttentionWeights { qkv, total, weight }.record(plan, &shape, WeightsOf::Softmax)?;
        }
        Ok(())
    }

    /// Records the gradient of all parameters from the gradient with respect to log ψ of `samples`. Does not change the
    /// activations that [`Training::forward`] kept.
    pub(super) fn backward(
        &self,
        plan: &mut Plan,
        sizes: &VitSizes,
        parameters: &ParameterViews<VitViews>,
        samples: &Rows,
        d_log_psi: &LogPsiGradient,
        into: GradientInto<'_>,
    ) -> Result<()> {
        let (rows, d) = (samples.times(sizes.patches()), sizes.width);
        // Blocks of sums over samples contain as many samples as blocks of sums over their tokens.
        let samples = rows.items(sizes.patches());
        let sums = GradientSums::new(self.part.view(), into);
        let of = |rows| BackwardContext { rows, sums: &sums };
        self.categorical_backward(plan, sizes, parameters, &of(&samples), d_log_psi)?;
        let repeat = RowsRepeat { x: self.head.d_z[0].view(), y: self.d_rows[0].view() };
        repeat.record(plan, &rows, sizes.patches(), d, RepeatSource::Sample)?;
        let reversed = of(&rows);
        (0..self.blocks.len()).rev().try_for_each(|k| self.block_backward(plan, sizes, parameters, k, &reversed))?;

        let d_x = &self.d_rows[0];
        let gradients = &parameters.gradients;
        reversed.gradient(plan, &self.spins, d_x, [sizes.sites_per_patch, d], &gradients.embed)?;
        if let Some(d_table) = gradients.position.clone() {
            let (patches, sites_per_patch) = (sizes.patches(), sizes.sites_per_patch);
            let shape = EmbedShape { rows: rows.clone(), width: d, sites_per_patch, patches, stride: 2 };
            TableGradient { d_x: d_x.view(), d_table }.record(plan, &shape, patches, &sums)?;
        }
        sums.finish(plan)
    }

    /// Records the backward pass of the head, from log ψ to the sum over patches, whose gradient is the first of `d_z`.
    fn categorical_backward(
        &self,
        plan: &mut Plan,
        sizes: &VitSizes,
        parameters: &ParameterViews<VitViews>,
        reversed: &BackwardContext<'_>,
        d_log_psi: &LogPsiGradient,
    ) -> Result<()> {
        let (head, d) = (&self.head, sizes.width);
        let (values, gradients) = (&parameters.values, &parameters.gradients);
        let units = ComplexHeadBackward {
            d_log_p: d_log_psi.d_log_p.clone(),
            d_phase: d_log_psi.d_phase.clone(),
            real: head.real.view(),
            imag: head.imag.view(),
            d_real: head.d_real.view(),
            d_imag: head.d_imag.view(),
        };
        units.record(plan, reversed.rows, d, d_log_psi.first)?;
        reversed.gradient(plan, &head.z, &head.d_real, [d, d], &gradients.real)?;
        reversed.gradient(plan, &head.z, &head.d_imag, [d, d], &gradients.imag)?;
        let [d_pooled, d_part] = &head.d_z;
        let plain = (Extra::None, Activation::None);
        reversed.product(plan, &head.d_real, &values.real, plain, d_pooled, [d, d])?;
        let added = (Extra::Add(d_pooled.view()), Activation::None);
        reversed.product(plan, &head.d_imag, &values.imag, added, d_part, [d, d])?;
        let norm = [&values.norm, &gradients.norm];
        reversed.norm(plan, [&head.pooled, &head.stats, d_part, d_pooled], None, norm, d)
    }

    /// Records the backward pass of block `k`, from the gradient of its output to that of its input, in place.
    fn block_backward(
        &self,
        plan: &mut Plan,
        sizes: &VitSizes,
        parameters: &ParameterViews<VitViews>,
        k: usize,
        reversed: &BackwardContext<'_>,
    ) -> Result<()> {
        let ([d_x, d_part], d_sum, d_projected) = (&self.d_rows, &self.d_sum, &self.d_projected);
        let (kept, values, gradients) =
            (&self.blocks[k], &parameters.values.blocks[k], &parameters.gradients.blocks[k]);
        let (d, f, projected) = (sizes.width, sizes.hidden(), sizes.projected());
        let plain = || (Extra::None, Activation::None);

        let mlp = FeedForwardKept {
            x: &kept.normed2,
            hidden: &kept.hidden,
            activated: Some(&self.activated),
            d_hidden: &self.d_hidden,
        };
        let into = [&gradients.mlp_in, &gradients.mlp_out];
        mlp.backward(plan, reversed, &values.mlp_out, into, d_x, ([d, f], GELU))?;
        reversed.product(plan, &self.d_hidden, &values.mlp_in, plain(), d_part, [f, d])?;
        let norm2 = [&values.norm2, &gradients.norm2];
        reversed.norm(plan, [&kept.sum, &kept.stats2, d_part, d_sum], Some(d_x), norm2, d)?;

        reversed.gradient(plan, &kept.attention, d_sum, [d, d], &gradients.out)?;
        reversed.product(plan, d_sum, &values.out, plain(), d_part, [d, d])?;
        match (&values.relative, &gradients.relative, &kept.total, &self.delta) {
            (Some(relative), Some(d_relative), ..) => {
                let shape = sizes.relative_shape(reversed.rows);
                let rows = [&kept.projected, d_part, d_projected].map(Buffer::view);
                reversed.relative(plan, rows, [relative, d_relative], &shape)?;
            }
            (.., Some(total), Some(delta)) => {
                let [qkv, out, lse, d_out, delta, d_qkv] =
                    [&kept.projected, &kept.attention, total, d_part, delta, d_projected].map(Buffer::view);
                let backward = AttentionBackward { qkv, out, lse, d_out, delta, d_qkv };
                backward.record(plan, &sizes.attention_shape(reversed.rows))?;
            }
            _ => unreachable!("attention is factored or a softmax"),
        }
        reversed.gradient(plan, &kept.normed1, d_projected, [d, projected], &gradients.projection)?;
        reversed.product(plan, d_projected, &values.projection, plain(), d_part, [projected, d])?;
        let norm1 = [&values.norm1, &gradients.norm1];
        reversed.norm(plan, [&kept.x, &kept.stats1, d_part, d_x], Some(d_sum), norm1, d)
    }
}
