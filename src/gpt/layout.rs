//! Parameters of a GPT: names, initial values, and their order in the flat buffers.
//!
//! Names and shapes are those of nanoGPT without `transformer.`. On the device, the vocabulary is padded with rows of
//! zeros to a multiple of 4, because products need widths that are multiples of 4.

use super::{GptConfig, TokenPositions};
use crate::error::Result;
use crate::model::{Initial, Layout, ParameterSlot, ParameterSpec, Tensor, Weights};

/// Standard deviation of the initial values of matrices.
pub(super) const DEVIATION: f64 = 0.02;

/// Name of a parameter of layer `layer`.
pub(super) fn layer_name(layer: u32, part: &str) -> String {
    format!("h.{layer}.{part}")
}

/// Token embedding.
pub(super) const TOKENS: &str = "wte.weight";
/// Learned positions.
pub(super) const POSITIONS: &str = "wpe.weight";
/// Norm after the last layer.
pub(super) const FINAL_NORM: &str = "ln_f";
/// Projection to the vocabulary, unless it is the token embedding.
pub(super) const HEAD: &str = "lm_head.weight";

/// Layout of the parameters of a GPT.
#[derive(Debug, Clone)]
pub(crate) struct GptLayout {
    /// With V rows of the vocabulary, as in files.
    pub public: Layout,
    /// With padded rows.
    pub device: Layout,
    /// Number of elements that weight decay applies to; they are the first ones of the buffers.
    pub decayed: u64,
}

/// Parameters in the order of the flat buffers, of which the first `decayed` are matrices of linear layers.
struct Specs {
    trained: Vec<ParameterSpec>,
    decayed: usize,
    zeros: Vec<ParameterSpec>,
}

fn specs(config: &GptConfig, vocabulary: usize) -> Specs {
    let [c, f] = [config.width, config.feed_forward];
    let spec = |name: String, shape: &[usize], initial| ParameterSpec { name, shape: shape.into(), initial };
    let normal = |name: String, shape: &[usize]| spec(name, shape, Initial::Normal(DEVIATION));
    // As in GPT-2, the variance of the residual stream does not grow with the number of layers.
    let residual = Initial::Normal(DEVIATION / (2.0 * config.layers as f64).sqrt());
    let head = if config.tied { TOKENS } else { HEAD };
    let mut trained = vec![normal(head.into(), &[vocabulary, c])];
    let (mut norms, mut biases) = (Vec::new(), Vec::new());
    for layer in 0..config.layers as u32 {
        let name = |part: &str| layer_name(layer, part);
        trained.extend([
            normal(name("attn.c_attn.weight"), &[3 * c, c]),
            spec(name("attn.c_proj.weight"), &[c, c], residual.clone()),
            normal(name("mlp.c_fc.weight"), &[f, c]),
            spec(name("mlp.c_proj.weight"), &[c, f], residual.clone()),
        ]);
        for (part, width) in [("attn.c_attn", 3 * c), ("attn.c_proj", c), ("mlp.c_fc", f), ("mlp.c_proj", c)] {
            biases.push(spec(name(&format!("{part}.bias")), &[width], Initial::Constant(0.0)));
        }
        norms.extend(["ln_1", "ln_2"].map(name));
    }
    let decayed = trained.len();
    if !config.tied {
        trained.push(normal(TOKENS.into(), &[vocabulary, c]));
    }
    if config.position == TokenPositions::Learned {
        trained.push(normal(POSITIONS.into(), &[config.block, c]));
    }
    for norm in norms.into_iter().chain([FINAL_NORM.into()]) {
        trained.push(spec(format!("{norm}.weight"), &[c], Initial::Constant(1.0)));
        biases.push(spec(format!("{norm}.bias"), &[c], Initial::Constant(0.0)));
    }
    let mut zeros = Vec::new();
    if config.bias { &mut trained } else { &mut zeros }.extend(biases);
    Specs { trained, decayed, zeros }
}

impl GptLayout {
    pub(crate) fn new(config: &GptConfig) -> Self {
        let Specs { trained, zeros, decayed } = specs(config, config.padded_vocabulary());
        let device = Layout::with_zeros(trained, zeros);
        let slots = device.slots();
        let decayed = slots.get(decayed).map_or(device.elements(), |slot| slot.first);
        Self { public: Layout::new(specs(config, config.vocabulary).trained), device, decayed }
    }

    /// Weights with the padded rows of the device.
    ///
    /// # Errors
    /// As [`Layout::flatten`].
    pub(crate) fn padded(&self, weights: &Weights) -> Result<Weights> {
        self.public.check(weights)?;
        Ok(resized(weights, &self.device))
    }

    /// Weights without the padded rows of the device.
    pub(crate) fn cut(&self, weights: &Weights) -> Weights {
        resized(weights, &self.public)
    }
}

/// Weights with the shapes of `layout`, filled up with zeros.
fn resized(weights: &Weights, layout: &Layout) -> Weights {
    let tensor = |slot: &ParameterSlot| {
        let spec = &slot.spec;
        let mut values = weights.tensors.get(&spec.name).map(|tensor| tensor.values.clone()).unwrap_or_default();
        values.resize(slot.elements as usize, 0.0);
        (spec.name.clone(), Tensor { shape: spec.shape.clone(), values })
    };
    Weights { tensors: layout.slots().iter().map(tensor).collect() }
}
