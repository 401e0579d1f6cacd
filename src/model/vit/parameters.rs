//! The parameters of a vision transformer: names, shapes, how they begin, and where passes find them.

use super::super::affine::{Affine, Find, Places, constant, linear, norm_specs};
use super::super::{Initial, ParameterSpec, Parameters};
use super::{VitAttention, VitSizes};
use crate::error::Result;
use crate::gpu::View;

/// Name of a part of layer `layer`.
fn layer_name(layer: u32, part: &str) -> String {
    format!("layers.{layer}.{part}")
}

/// Name of the weights of factored attention of layer `layer`.
pub fn relative_name(layer: u32) -> String {
    layer_name(layer, "attn.relative")
}

/// A part of the head. Its inputs are normalised, and its units begin as spread as these: much smaller ones would begin with
/// phases near 0, and a positive ψ is nearly stationary for phases.
fn head_specs(name: &str, width: usize) -> [ParameterSpec; 2] {
    let initial = Initial::Uniform((3.0 / width as f64).sqrt());
    let weight = ParameterSpec { name: format!("{name}.weight"), shape: vec![width, width], initial };
    [weight, constant(format!("{name}.bias"), vec![width], 0.0)]
}

/// All parameters.
pub fn specs(sizes: &VitSizes) -> Vec<ParameterSpec> {
    let [d, f, t, h, p] =
        [sizes.width, sizes.hidden(), sizes.patches(), sizes.heads, sizes.sites_per_patch].map(|size| size as usize);
    let mut specs: Vec<ParameterSpec> = linear("embed", d, p).into();
    if sizes.attention == VitAttention::Softmax {
        // As spread as the embedded spins.
        let initial = Initial::Uniform(1.0);
        specs.push(ParameterSpec { name: POSITION.into(), shape: vec![t, d], initial });
    }
    for layer in 0..sizes.layers {
        let name = |part: &str| layer_name(layer, part);
        specs.extend(norm_specs(&name("norm1"), d));
        match sizes.attention {
            VitAttention::Factored => {
                specs.extend(linear(&name("attn.value"), d, d));
                // A sum over T values that is as spread as one of them.
                let initial = Initial::Uniform((3.0 / t as f64).sqrt());
                specs.push(ParameterSpec { name: relative_name(layer), shape: vec![h, t], initial });
            }
            VitAttention::Softmax => specs.extend(linear(&name("attn.qkv"), 3 * d, d)),
        }
        specs.extend(linear(&name("attn.out"), d, d));
        specs.extend(norm_specs(&name("norm2"), d));
        specs.extend(linear(&name("mlp.in"), f, d));
        specs.extend(linear(&name("mlp.out"), d, f));
    }
    specs.extend(norm_specs("head.norm", d));
    specs.extend(head_specs("head.real", d));
    specs.extend(head_specs("head.imag", d));
    specs
}

const POSITION: &str = "embed.position";

/// The parameters of a block, or their gradients.
#[derive(Debug, Clone)]
pub struct BlockViews {
    pub norm1: Affine,
    /// Values, or queries, keys and values.
    pub projection: Affine,
    /// (h, T), where attention is factored
    pub relative: Option<View>,
    pub out: Affine,
    pub norm2: Affine,
    pub mlp_in: Affine,
    pub mlp_out: Affine,
}

/// All parameters, or their gradients.
#[derive(Debug, Clone)]
pub struct VitViews {
    pub embed: Affine,
    /// (T, d), where attention does not tell positions apart
    pub position: Option<View>,
    pub blocks: Vec<BlockViews>,
    pub norm: Affine,
    pub real: Affine,
    pub imag: Affine,
}

impl VitViews {
    fn find(find: &Find<'_>, sizes: &VitSizes) -> Result<Self> {
        let factored = sizes.attention == VitAttention::Factored;
        let block = |layer: u32| {
            let name = |part: &str| layer_name(layer, part);
            let projection = if factored { "attn.value" } else { "attn.qkv" };
            Ok(BlockViews {
                norm1: Affine::find(find, &name("norm1"))?,
                projection: Affine::find(find, &name(projection))?,
                relative: factored.then(|| find(&relative_name(layer))).transpose()?,
                out: Affine::find(find, &name("attn.out"))?,
                norm2: Affine::find(find, &name("norm2"))?,
                mlp_in: Affine::find(find, &name("mlp.in"))?,
                mlp_out: Affine::find(find, &name("mlp.out"))?,
            })
        };
        Ok(Self {
            embed: Affine::find(find, "embed")?,
            position: (!factored).then(|| find(POSITION)).transpose()?,
            blocks: (0..sizes.layers).map(block).collect::<Result<_>>()?,
            norm: Affine::find(find, "head.norm")?,
            real: Affine::find(find, "head.real")?,
            imag: Affine::find(find, "head.imag")?,
        })
    }

    pub fn places(parameters: &Parameters, sizes: &VitSizes) -> Result<Places<Self>> {
        Places::new(parameters, "", |find| Self::find(find, sizes))
    }
}
