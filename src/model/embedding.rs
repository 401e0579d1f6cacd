//! The patch before each position through a tanh layer, plus the position: `tokenize.0`, and where they are trained `start`,
//! which stands in place of that layer at the first position, and the table of positions `pos_encoder.weight`.

use super::affine::{Affine, Find, Places, Reversed, linear};
use super::{Initial, ParameterSpec, Parameters, Start};
use crate::error::Result;
use crate::gpu::{Gpu, Plan, Rows, View};
use crate::kernels::embed::{EmbedForward, EmbedGradient, EmbedShape, TableGradient};

/// The sizes of an embedding, as shaders count them, and what of it is trained beside its layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct EmbeddingSizes {
    /// C
    pub width: u32,
    /// P
    pub sites_per_patch: u32,
    /// T of a sequence, the rows of the table of positions
    pub patches: u32,
    /// Words of a row's description.
    pub stride: u32,
    pub start: Start,
    /// Whether the table of positions is trained.
    pub learns_position: bool,
}

const START: &str = "start";
const POSITION: &str = "pos_encoder.weight";

/// Learned positions and starts begin uniform with the variance of a normal distribution of σ = 0.02, which is usual.
fn small() -> Initial {
    Initial::Uniform(0.02 * 3f64.sqrt())
}

/// Its parameters, or their gradients.
#[derive(Debug, Clone)]
struct EmbeddingViews {
    token: Affine,
    start: Option<View>,
    position: Option<View>,
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

/// The embedding on a device.
pub(super) struct Embedding {
    places: Places<EmbeddingViews>,
    /// (T, C)
    position: View,
    sizes: EmbeddingSizes,
}

impl Embedding {
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

    /// With the table of positions (T, C), of which nothing is read where one is trained.
    pub fn new(
        gpu: &Gpu,
        parameters: &Parameters,
        prefix: &str,
        position: &[f32],
        sizes: EmbeddingSizes,
    ) -> Result<Self> {
        let places = Places::new(parameters, prefix, |find| EmbeddingViews::find(find, &sizes))?;
        let position = match &places.values.position {
            Some(learned) => learned.clone(),
            None => gpu.upload("ketformer.position", position)?.view(),
        };
        Ok(Self { places, position, sizes })
    }

    /// Elements that do not depend on rows.
    pub fn fixed(sizes: &EmbeddingSizes) -> u64 {
        if sizes.learns_position { 0 } else { u64::from(sizes.width) * u64::from(sizes.patches) }
    }

    /// Elements of a block of its gradient.
    pub fn part_width(sizes: &EmbeddingSizes) -> u64 {
        let table = if sizes.learns_position { sizes.patches } else { 1 };
        u64::from(table.max(sizes.sites_per_patch + 1)) * u64::from(sizes.width)
    }

    fn shape(&self, rows: &Rows) -> EmbedShape {
        let EmbeddingSizes { width, sites_per_patch, patches, stride, .. } = self.sizes;
        EmbedShape { rows: rows.clone(), width, sites_per_patch, patches, stride }
    }

    /// The embedded rows. It is no product of rows; its kernel reads f32 in any precision.
    pub fn record(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, x: &View) -> Result<()> {
        let EmbeddingViews { token, start, .. } = &self.places.values;
        let embed = EmbedForward {
            rows: descriptions.clone(),
            weight: token.weight.clone(),
            bias: token.bias.clone(),
            position: self.position.clone(),
            start: start.clone(),
            x: x.clone(),
        };
        embed.record(plan, &self.shape(rows))
    }

    /// The gradient of its parameters, of whole samples.
    pub fn backward(&self, plan: &mut Plan, descriptions: &View, d_x: &View, reversed: &Reversed<'_>) -> Result<()> {
        let Places { values, gradients, .. } = &self.places;
        let shape = self.shape(reversed.rows);
        let embed = EmbedGradient {
            rows: descriptions.clone(),
            tanh_of: Some([values.token.weight.clone(), values.token.bias.clone()]),
            has_start: values.start.is_some(),
            d_x: d_x.clone(),
            d_stride: self.sizes.width,
            part: reversed.part.clone(),
            d_weight: gradients.token.weight.clone(),
            d_bias: gradients.token.bias.clone(),
        };
        embed.record(plan, &shape, reversed.into)?;
        for (d_table, rows) in [(&gradients.start, 1), (&gradients.position, self.sizes.patches)] {
            if let Some(d_table) = d_table.clone() {
                let gradient = TableGradient { d_x: d_x.clone(), part: reversed.part.clone(), d_table };
                gradient.record(plan, &shape, rows, reversed.into)?;
            }
        }
        Ok(())
    }
}
