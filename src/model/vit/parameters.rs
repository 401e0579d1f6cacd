//! Parameters of a vision transformer: names, shapes, initial values and views.

use super::super::{Initial, ParameterSpec, Parameters};
use super::sizes::{VitAttention, VitSizes};
use crate::error::Result;
use crate::gpu::View;
use crate::model::layers::affine::{Affine, Find, ParameterViews, constant, linear, norm_specs};

/// Name of a part of layer `layer`.
fn layer_name(layer: u32, part: &str) -> String {
    format!("layers.{layer}.{part}")
}

/// Name of the weights of factored attention of layer `layer`.
pub(super) fn relative_name(layer: u32) -> String {
    layer_name(layer, "attn.relative")
}

/// Parameters of the real or imaginary part of the head. Its inputs are normalized, and the initial spread of its units
/// equals theirs. With much smaller units phases would start near 0, and a positive ψ is nearly stationary with respect
/// to the phases.
fn head_specs(name: &str, width: usize) -> [ParameterSpec; 2] {
    let initial = Initial::Uniform((3.0 / width as f64).sqrt());
    let weight = ParameterSpec { name: format!("{name}.weight"), shape: vec![width, width], initial };
    [weight, constant(format!("{name}.bias"), vec![width], 0.0)]
}

/// All parameters.
pub(super) fn specs(sizes: &VitSizes) -> Vec<ParameterSpec> {
    let [d, f, t, h, p] =
        [sizes.width, sizes.hidden(), sizes.patches(), sizes.heads, sizes.sites_per_patch].map(|size| size as usize);
    let mut specs: Vec<ParameterSpec> = linear("embed", d, p).into();
    if sizes.attention == VitAttention::Softmax {
        // The spread of the embedded spins.
        let initial = Initial::Uniform(1.0);
        specs.push(ParameterSpec { name: POSITION.into(), shape: vec![t, d], initial });
    }
    for layer in 0..sizes.layers {
        let name = |part: &str| layer_name(layer, part);
        specs.extend(norm_specs(&name("norm1"), d));
        match sizes.attention {
            VitAttention::Factored => {
                specs.extend(linear(&name("attn.value"), d, d));
                // A sum over T values has the spread of one of them.
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

/// Parameters of a block, or their gradients.
#[derive(Debug, Clone)]
pub(super) struct BlockViews {
    pub norm1: Affine,
    /// Values, or queries, keys and values.
    pub projection: Affine,
    /// (h, T), for factored attention
    pub relative: Option<View>,
    pub out: Affine,
    pub norm2: Affine,
    pub mlp_in: Affine,
    pub mlp_out: Affine,
}

/// All parameters, or their gradients.
#[derive(Debug, Clone)]
pub(super) struct VitViews {
    pub embed: Affine,
    /// (T, d), for softmax attention, which does not distinguish positions
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

    pub(super) fn find_all(parameters: &Parameters, sizes: &VitSizes) -> Result<ParameterViews<Self>> {
        ParameterViews::new(parameters, "", |find| Self::find(find, sizes))
    }
}
