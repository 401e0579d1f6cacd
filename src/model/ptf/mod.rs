//! Patched transformer (PTF) of arXiv:2306.03921: a causal transformer over patches of spins.
//!
//! ```text
//! e_t = tanh(W_t patch_{t−1} + b_t) + position_t                       patch_{−1} = 0
//! x   = LN1(x + W_o softmax(q kᵀ/√D + causal) v + b_o)                 K times, post-norm
//! x   = LN2(x + W_2 relu(W_1 x + b_1) + b_2)
//! log P(patch_t | earlier) = log softmax(W_b relu(W_a x_t + b_a) + b_b)
//! ```
//!
//! With `phase`, a second categorical head of the same shape computes a phase of every outcome:
//! log ψ = ½ log P + i Σ_t phase_t(patch_t) ([`crate::kernels::nn::phase`]).
//!
//! Alternatives that this crate adds: linear [`Attention`], a [`Norm`] before each part of a layer and after the last
//! layer, gelu as [`Activation`], a learned [`PositionalEncoding`], and a learned [`Start`] in place of the first tanh.
//!
//! Names and initial values are those of the authors' PyTorch code: the initial values of every layer are a copy of the
//! first layer's.

pub(super) mod decoding;
pub(super) mod network;
pub(super) mod sizes;

use super::layers::embedding::EmbeddingSizes;
use super::layers::layer_settings::LayerSettings;
use super::layers::transformer_layers::TransformerSizes;
use super::wave_function::ROW_META;
use super::{
    Activation, Attention, AttentionLayers, Capacity, Layout, Model, Norm, Parameters, PositionalEncoding, Sector,
    Start, WaveFunction,
};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::kernels::attention::linear::most_positions;
use crate::physics::{Lattice, Patch, Patching};
use decoding::Decoding;
use network::PtfNetwork;
use sizes::Sizes;

/// Settings of the patched transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct Ptf {
    /// Sites of a patch: consecutive sites, or a block.
    pub patch: Patch,
    /// Width C, `Nh`; a multiple of 4.
    pub width: usize,
    /// Heads H, `nhead`; a divisor of the width.
    pub heads: usize,
    /// Layers K, `num_layers`.
    pub layers: usize,
    /// Feed-forward width F, `ffn`; a multiple of 4.
    pub feed_forward: usize,
    /// Positional encoding.
    pub position: PositionalEncoding,
    /// Attention between positions.
    pub attention: Attention,
    /// Placement of the norms of a layer.
    pub norm: Norm,
    /// Activation of the feed-forward part.
    pub activation: Activation,
    /// Input at the first position.
    pub start: Start,
    /// Sector of its configurations.
    pub sector: Sector,
    /// Whether ψ is complex: outcomes have phases in addition to probabilities.
    pub phase: bool,
}

impl Default for Ptf {
    fn default() -> Self {
        Self {
            patch: Patch::Block([2, 2]),
            width: 128,
            heads: 8,
            layers: 2,
            feed_forward: 2048,
            position: PositionalEncoding::default(),
            attention: Attention::default(),
            norm: Norm::default(),
            activation: Activation::default(),
            start: Start::default(),
            sector: Sector::default(),
            phase: false,
        }
    }
}

impl Ptf {
    fn settings_error(message: String) -> Error {
        Error::new(ErrorKind::Settings, format!("ptf: {message}"))
    }

    /// Checks that the settings are valid on `lattice`.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], with the setting to change.
    pub fn check(&self, lattice: &Lattice) -> Result<()> {
        self.check_transformer(Patching::new(*lattice, self.patch)?.patches())?;
        self.sector.check("ptf", lattice)
    }

    /// Checks that all settings except the patch are valid for `patches` patches.
    pub(crate) fn check_transformer(&self, patches: usize) -> Result<()> {
        let Self { width, heads, layers, feed_forward, .. } = *self;
        let settings = LayerSettings { owner: "Ptf", width, heads, layers, feed_forward };
        settings.check().map_err(Self::settings_error)?;
        let head = width / heads;
        let most = most_positions(head as u32) as usize;
        if self.attention == Attention::Linear && patches > most {
            let message = format!(
                "attention=linear with heads of width {head} takes at most {most} patches, got {patches}; use more \
                 heads (Ptf::heads) or a larger patch"
            );
            return Err(Self::settings_error(message));
        }
        Ok(())
    }

    /// Sizes of a transformer over `positions` positions in sequences of `period`.
    pub(crate) fn transformer_sizes(&self, [positions, period]: [usize; 2]) -> TransformerSizes {
        TransformerSizes {
            positions: positions as u32,
            period: period as u32,
            width: self.width as u32,
            heads: self.heads as u32,
            feed_forward: self.feed_forward as u32,
            layers: self.layers as u32,
            attention: self.attention,
            causal: true,
            norm: self.norm,
            activation: self.activation,
        }
    }

    /// Sizes of an embedding of patches of `sites_per_patch` sites, in sequences of `patches`, with `stride` words of
    /// metadata for each row.
    pub(crate) fn embedding_sizes(&self, [sites_per_patch, patches, stride]: [u32; 3]) -> EmbeddingSizes {
        EmbeddingSizes {
            width: self.width as u32,
            sites_per_patch,
            patches,
            stride,
            start: self.start,
            learns_position: self.position == PositionalEncoding::Learned,
        }
    }

    pub(crate) fn sizes(&self, lattice: &Lattice) -> Result<(Sizes, Patching)> {
        Self::check(self, lattice)?;
        let patching = Patching::new(*lattice, self.patch)?;
        let transformer = self.transformer_sizes([patching.patches(); 2]);
        let embedded = [patching.sites_per_patch() as u32, transformer.positions, ROW_META];
        let (embedding, outcomes) = (self.embedding_sizes(embedded), patching.outcomes() as u32);
        Ok((Sizes { embedding, transformer, outcomes, complex: self.phase }, patching))
    }
}

impl Model for Ptf {
    fn name(&self) -> &'static str {
        "ptf"
    }

    fn patching(&self, lattice: &Lattice) -> Result<Patching> {
        Patching::new(*lattice, self.patch)
    }

    fn check(&self, lattice: &Lattice) -> Result<()> {
        Self::check(self, lattice)
    }

    fn is_complex(&self) -> bool {
        self.phase
    }

    fn conserves_magnetization(&self) -> bool {
        self.sector == Sector::ZeroMagnetization
    }

    fn layout(&self, lattice: &Lattice) -> Result<Layout> {
        Ok(Layout::new(PtfNetwork::specs(&self.sizes(lattice)?.0)))
    }

    fn attention(&self, lattice: &Lattice) -> Result<Option<AttentionLayers>> {
        let (sizes, patching) = self.sizes(lattice)?;
        Ok(Some(AttentionLayers::causal(&sizes.transformer, &patching)))
    }

    fn network(
        &self,
        gpu: &Gpu,
        lattice: &Lattice,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<WaveFunction> {
        let (sizes, patching) = self.sizes(lattice)?;
        let position = self.position.table(&patching, self.width).unwrap_or_default();
        Ok(PtfNetwork::new(gpu, sizes, &position, parameters, "", capacity, Decoding::Whole)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::layers::transformer_layers::layer_name;

    #[test]
    fn parameter_counts_are_those_of_the_reference() {
        let count = |width| {
            let ptf = Ptf { width, ..Ptf::default() };
            ptf.layout(&Lattice::square(4, 4)).unwrap().parameters()
        };
        assert_eq!((count(32), count(128)), (276_752, 1_205_264));
    }

    #[test]
    fn layers_begin_as_copies_of_the_first() {
        let layout = Ptf { layers: 3, ..Ptf::default() }.layout(&Lattice::square(4, 4)).unwrap();
        let weights = layout.initial(3);
        let weight = |layer| &weights.tensors[&layer_name(layer, "linear1.weight")];
        assert_eq!(weight(0), weight(2));
        let bound = 1.0 / 128f32.sqrt();
        let largest = weight(0).values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(largest <= bound && largest > 0.99 * bound, "{largest} against {bound}");
    }

    #[test]
    fn settings_that_do_not_fit_say_what_would() {
        let check = |ptf: Ptf| ptf.check(&Lattice::square(4, 4)).unwrap_err().to_string();
        assert!(
            check(Ptf { heads: 3, ..Ptf::default() })
                .contains("Ptf::heads=3 does not divide Ptf::width=128; use Ptf::heads=1, 2, 4")
        );
        assert!(check(Ptf { width: 30, ..Ptf::default() }).contains("use 28 or 32"));
        assert!(check(Ptf { layers: 0, ..Ptf::default() }).contains("Ptf::layers=0"));
        assert!(check(Ptf { width: 1024, heads: 4, ..Ptf::default() }).contains("use Ptf::heads=8"));
    }
}
