//! The patch before each position through a tanh layer, plus the position: `tokenize.0`.

use super::affine::{Affine, Places, Reversed, linear};
use super::{ParameterSpec, Parameters};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::embed::{EmbedForward, EmbedGradient, EmbedShape};

/// The embedding on a device.
pub(super) struct Embedding {
    places: Places<Affine>,
    /// (T, C)
    position: Buffer,
    /// C
    width: u32,
    /// P
    sites_per_patch: u32,
    /// T of a sequence
    patches: u32,
    /// Words of a row's description.
    stride: u32,
}

impl Embedding {
    pub fn specs(width: usize, sites_per_patch: usize) -> Vec<ParameterSpec> {
        linear("tokenize.0", width, sites_per_patch).into()
    }

    /// With the table of positions (T, C) and descriptions of `stride` words.
    pub fn new(
        gpu: &Gpu,
        parameters: &Parameters,
        prefix: &str,
        position: &[f32],
        [width, sites_per_patch, patches, stride]: [u32; 4],
    ) -> Result<Self> {
        Ok(Self {
            places: Places::new(parameters, prefix, |find| Affine::find(find, "tokenize.0"))?,
            position: gpu.upload("ketformer.position", position)?,
            width,
            sites_per_patch,
            patches,
            stride,
        })
    }

    /// Elements that do not depend on rows.
    pub fn fixed([width, patches]: [u32; 2]) -> u64 {
        u64::from(width) * u64::from(patches)
    }

    /// Elements of a block of its gradient.
    pub fn part_width([width, sites_per_patch]: [u32; 2]) -> u64 {
        u64::from(sites_per_patch + 1) * u64::from(width)
    }

    fn shape(&self, rows: &Rows) -> EmbedShape {
        let Self { width, sites_per_patch, patches, stride, .. } = *self;
        EmbedShape { rows: rows.clone(), width, sites_per_patch, patches, stride }
    }

    /// The embedded rows. It is no product of rows; its kernel reads f32 in any precision.
    pub fn record(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, x: &View) -> Result<()> {
        let embed = EmbedForward {
            rows: descriptions.clone(),
            weight: self.places.values.weight.clone(),
            bias: self.places.values.bias.clone(),
            position: self.position.view(),
            x: x.clone(),
        };
        embed.record(plan, &self.shape(rows))
    }

    /// The gradient of its parameters.
    pub fn backward(&self, plan: &mut Plan, descriptions: &View, d_x: &View, reversed: &Reversed<'_>) -> Result<()> {
        let Places { values, gradients, .. } = &self.places;
        let embed = EmbedGradient {
            rows: descriptions.clone(),
            tanh_of: Some([values.weight.clone(), values.bias.clone()]),
            d_x: d_x.clone(),
            d_stride: self.width,
            part: reversed.part.clone(),
            d_weight: gradients.weight.clone(),
            d_bias: gradients.bias.clone(),
        };
        embed.record(plan, &self.shape(reversed.rows), reversed.keep)
    }
}
