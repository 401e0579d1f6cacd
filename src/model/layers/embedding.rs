//! Embedding of the patch before each position: a tanh layer (`tokenize.0`) plus the positional encoding.
//!
//! Optional trained parameters are `start`, which replaces the tanh layer at the first position, and the positional
//! encoding `pos_encoder.weight`.

use super::affine::{Affine, BackwardContext, Find, ParameterViews, linear};
use crate::error::Result;
use crate::gpu::{Gpu, Plan, Rows, View};
use crate::kernels::nn::embed::{EmbedForward, EmbedGradient, EmbedShape, TableGradient};
use crate::model::{Initial, ParameterSpec, Parameters, Start};

/// Sizes of an embedding, as `u32` for shaders, and its optional trained parameters.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingSizes {
    /// C
    pub width: u32,
    /// P
    pub sites_per_patch: u32,
    /// T of a sequence, the rows of the positional encoding
    pub patches: u32,
    /// Words of the row metadata; 4 where a patch is a token.
    pub stride: u32,
    /// Input at the first position.
    pub start: Start,
    /// Whether the positional encoding is trained.
    pub learns_position: bool,
}

const START: &str = "start";
const POSITION: &str = "pos_encoder.weight";

/// Initial values of learned positions and starts: uniform with the variance of a normal distribution of σ = 0.02,
/// which is the usual choice.
fn small() -> Initial {
    Initial::Uniform(0.02 * 3f64.sqrt())
}

/// Parameters of an embedding, or their gradients.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddingViews {
    pub token: Affine,
    pub start: Option<View>,
    pub position: Option<View>,
}

impl EmbeddingViews {
    fn find(find: &Find<'_>, sizes: &EmbeddingSizes) -> Result<Self> {
        Ok(Self {
            token: Affine::find(find, "tokenize.0")?,
            start: (sizes.start == Start::Learned).then(|| find(START)).transpose()?,
            position: sizes.learns_position.then(|| find(POSITION)).transpose()?,
        })
    }
}

/// Embedding on a device.
pub struct Embedding {
    pub(crate) parameters: ParameterViews<EmbeddingViews>,
    /// (T, C)
    pub(crate) position: View,
    sizes: EmbeddingSizes,
}

impl Embedding {
    /// Parameters: `tokenize.0` and, if they are trained, `start` and `pos_encoder.weight`.
    pub fn specs(sizes: &EmbeddingSizes) -> Vec<ParameterSpec> {
        let [c, p, t] = [sizes.width, sizes.sites_per_patch, sizes.patches].map(|size| size as usize);
        let mut specs: Vec<ParameterSpec> = linear("tokenize.0", c, p).into();
        let mut learned = |name: &str, shape| specs.push(ParameterSpec { name: name.into(), shape, initial: small() });
        if sizes.start == Start::Learned {
            learned(START, vec![c]);
        }
        if sizes.learns_position {
            learned(POSITION, vec![t, c]);
        }
        specs
    }

    /// Creates the embedding; `position`, (T, C), is the positional encoding, and is not read if it is trained. `prefix`
    /// is prepended to the names of the parameters.
    ///
    /// # Errors
    /// As [`Parameters::value`] and [`Gpu::buffer`].
    pub fn new(
        gpu: &Gpu,
        parameters: &Parameters,
        prefix: &str,
        position: &[f32],
        sizes: EmbeddingSizes,
    ) -> Result<Self> {
        let parameters = ParameterViews::new(parameters, prefix, |find| EmbeddingViews::find(find, &sizes))?;
        let position = match &parameters.values.position {
            Some(learned) => learned.clone(),
            None => gpu.upload("ketformer.position", position)?.view(),
        };
        Ok(Self { parameters, position, sizes })
    }

    /// Elements of a block of the parameter gradient.
    pub fn part_width(sizes: &EmbeddingSizes) -> u64 {
        let table = if sizes.learns_position { sizes.patches } else { 1 };
        u64::from(table.max(sizes.sites_per_patch + 1)) * u64::from(sizes.width)
    }

    fn shape(&self, rows: &Rows) -> EmbedShape {
        let EmbeddingSizes { width, sites_per_patch, patches, stride, .. } = self.sizes;
        EmbedShape { rows: rows.clone(), width, sites_per_patch, patches, stride }
    }

    /// Records the embedding of rows from their metadata into `x`, (rows, C). It is not a matrix product; its kernel
    /// reads f32 in any precision.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, x: &View) -> Result<()> {
        let EmbeddingViews { token, start, .. } = &self.parameters.values;
        let embed = EmbedForward {
            rows: row_meta.clone(),
            weight: token.weight.clone(),
            bias: token.bias.clone(),
            position: self.position.clone(),
            start: start.clone(),
            x: x.clone(),
        };
        embed.record(plan, &self.shape(rows))
    }

    /// Records the gradient of the parameters over whole samples from that of the embedded rows, (rows, C).
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn backward(&self, plan: &mut Plan, row_meta: &View, d_x: &View, reversed: &BackwardContext<'_>) -> Result<()> {
        let ParameterViews { values, gradients, .. } = &self.parameters;
        let shape = self.shape(reversed.rows);
        let embed = EmbedGradient {
            rows: row_meta.clone(),
            tanh_of: Some([values.token.weight.clone(), values.token.bias.clone()]),
            has_start: values.start.is_some(),
            d_x: d_x.clone(),
            d_stride: self.sizes.width,
            d_weight: gradients.token.weight.clone(),
            d_bias: gradients.token.bias.clone(),
        };
        embed.record(plan, &shape, reversed.sums)?;
        for (d_table, rows) in [(&gradients.start, 1), (&gradients.position, self.sizes.patches)] {
            if let Some(d_table) = d_table.clone() {
                TableGradient { d_x: d_x.clone(), d_table }.record(plan, &shape, rows, reversed.sums)?;
            }
        }
        Ok(())
    }
}
