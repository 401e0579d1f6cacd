//! Large-patched transformer (LPTF) of arXiv:2306.03921: a transformer over large patches, and a smaller wave function
//! that samples the sub-patches of each.
//!
//! ```text
//! e_l = tanh(W_t patch_{l−1} + b_t) + position_l                       patch_{−1} = 0, of p sites
//! c_l = row l of the transformer over e_0 … e_l                        that of the PTF, without its head
//! log P(σ) = Σ_l log P_sub(patch_l | c_l)                              S sub-patches of P sites each, p = S·P
//! ```
//!
//! The sub-sampler restarts in every large patch. The initial state of a PRNN is c_l, so its width is that of the
//! transformer. A PTF adds W_c c_l + b_c to each of its embedded sub-patches (`subsampler.conditioning`). This
//! definition is specific to this crate: the public PyTorch code has no working transformer as sub-sampler. All other
//! names and initial values are those of the public code.
//!
//! The lattice is cut twice ([`Patching::nested`]): token t = l·S + s is sub-patch s of large patch l. Sampling,
//! amplitude ratios and local energies run over sub-patches, as for any other wave function. Here, the rows of large
//! patches are derived from those of sub-patches ([`crate::kernels::nn::large_patch`]), and the transformer computes a
//! row where a large patch begins. Sequences of S sub-patches restart in every large patch: `period` in attention,
//! positions modulo S in the recurrent cell. A connected configuration shares the prefix of the transformer and, within
//! the changed large patch, the prefix of the sub-sampler. Linear attention has no period and is refused as a
//! sub-sampler.

pub(super) mod network;
mod subsampler;

use super::ptf::sizes::Sizes;
use super::rnn::cell::RnnSizes;
use super::wave_function::ROW_META;
use super::{Attention, AttentionLayers, Capacity, Layout, Model, Parameters, Ptf, Rnn, Sector, WaveFunction};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::kernels::nn::large_patch::LargePatchShape;
use crate::physics::{Lattice, Patching};
use network::{LptfNetwork, LptfSizes, LptfTables};
use subsampler::SubSizes;

/// Settings of the large-patched transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct Lptf {
    /// Transformer over large patches. `patch` is the large patch, of up to 256 sites; `sector` and `phase` apply to
    /// the whole wave function.
    pub transformer: Ptf,
    /// Wave function that samples a large patch.
    pub subsampler: Subsampler,
}

/// Wave function that samples the sub-patches of a large patch; its `patch` is the sub-patch. Its `sector` and `phase`
/// must have their defaults, since they are settings of the whole wave function.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Subsampler {
    /// A patched recurrent wave function, as wide as the transformer.
    Rnn(Rnn),
    /// A patched transformer of any width.
    Ptf(Ptf),
}

impl Subsampler {
    /// Sector, and whether outcomes have phases.
    fn outcomes(&self) -> (Sector, bool) {
        match self {
            Self::Rnn(rnn) => (rnn.sector, rnn.phase),
            Self::Ptf(ptf) => (ptf.sector, ptf.phase),
        }
    }

    /// Name of the variant, for messages.
    fn variant(&self) -> &'static str {
        match self {
            Self::Rnn(_) => "Subsampler::Rnn",
            Self::Ptf(_) => "Subsampler::Ptf",
        }
    }
}

impl Lptf {
    /// Checks that settings of the whole wave function are not given to the sub-sampler.
    fn check_subsampler_outcomes(&self) -> Result<()> {
        let (variant, (sector, phase)) = (self.subsampler.variant(), self.subsampler.outcomes());
        let setting = match (sector, phase) {
            (Sector::All, false) => return Ok(()),
            (Sector::All, true) => "phase=true".to_string(),
            (sector, _) => format!("sector={sector}"),
        };
        let message = format!(
            "lptf: the sub-sampler has {setting}, a setting of the whole wave function; leave it out of {variant} \
             and give Lptf::transformer {setting}"
        );
        Err(Error::new(ErrorKind::Settings, message))
    }

    fn sizes(&self, lattice: &Lattice) -> Result<(LptfSizes, Patching)> {
        let patching = self.patching(lattice)?;
        self.check(lattice)?;
        let large_patch = LargePatchShape {
            patches: patching.patches() as u32,
            sub_patches: patching.sub_patches().unwrap_or(1) as u32,
            sub_sites: patching.sites_per_patch() as u32,
        };
        let transformer = self.transformer.transformer_sizes([large_patch.large_patches() as usize; 2]);
        let sub = match &self.subsampler {
            Subsampler::Ptf(ptf) => SubSizes::Ptf(Sizes {
                complex: self.transformer.phase,
                transformer: ptf.transformer_sizes([large_patch.patches as usize, large_patch.sub_patches as usize]),
                embedding: ptf.embedding_sizes([large_patch.sub_sites, large_patch.sub_patches, ROW_META]),
                outcomes: patching.outcomes() as u32,
            }),
            Subsampler::Rnn(rnn) => SubSizes::Rnn(RnnSizes {
                complex: self.transformer.phase,
                ..rnn.sizes([large_patch.patches as usize, large_patch.sub_patches as usize])
            }),
        };
        let embedded = [large_patch.sites(), large_patch.large_patches(), large_patch.stride()];
        let embedding = self.transformer.embedding_sizes(embedded);
        Ok((LptfSizes { embedding, transformer, large_patch, sub }, patching))
    }
}

impl Model for Lptf {
    fn name(&self) -> &'static str {
        "lptf"
    }

    fn patching(&self, lattice: &Lattice) -> Result<Patching> {
        let sub = match &self.subsampler {
            Subsampler::Rnn(rnn) => rnn.patch,
            Subsampler::Ptf(ptf) => ptf.patch,
        };
        Patching::nested(*lattice, self.transformer.patch, sub)
    }

    fn is_complex(&self) -> bool {
        self.transformer.phase
    }

    fn conserves_magnetization(&self) -> bool {
        self.transformer.conserves_magnetization()
    }

    fn check(&self, lattice: &Lattice) -> Result<()> {
        let patching = self.patching(lattice)?;
        self.transformer.sector.check("lptf", lattice)?;
        self.check_subsampler_outcomes()?;
        let sub_patches = patching.sub_patches().unwrap_or(1);
        let of_part = |part: &str, cause: Error| Error::new(ErrorKind::Settings, format!("{part}: {cause}"));
        self.transformer.check_transformer(patching.patches() / sub_patches).map_err(|cause| of_part("lptf", cause))?;
        match &self.subsampler {
            Subsampler::Rnn(rnn) if rnn.width != self.transformer.width => {
                let (sub, width) = (rnn.width, self.transformer.width);
                let message = format!(
                    "lptf: the sub-sampler has Rnn::width={sub}, and its initial states are rows of the transformer, of \
                     Ptf::width={width}; give Subsampler::Rnn Rnn::width={width}"
                );
                Err(Error::new(ErrorKind::Settings, message))
            }
            Subsampler::Rnn(rnn) => rnn.check_cell().map_err(|cause| of_part("sub-sampler", cause)),
            Subsampler::Ptf(ptf) if ptf.attention == Attention::Linear => {
                let message = "lptf: the states of linear attention span a whole sample, and a sub-sampler restarts in \
                               every large patch; give Subsampler::Ptf attention=softmax, or attention=linear to Lptf::transformer";
                Err(Error::new(ErrorKind::Settings, message))
            }
            Subsampler::Ptf(ptf) => ptf.check_transformer(sub_patches).map_err(|cause| of_part("sub-sampler", cause)),
        }
    }

    fn layout(&self, lattice: &Lattice) -> Result<Layout> {
        Ok(Layout::new(self.sizes(lattice)?.0.specs()))
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
        let (large, sub) = patching.nesting().ok_or_else(|| {
            Error::new(ErrorKind::Settings, "lptf: the lattice is not cut into large patches; give patch=")
        })?;
        let place = |(t, j): &(u32, u32)| t * sizes.large_patch.sub_sites + j;
        let tables = LptfTables {
            position: self.transformer.position.table(large, self.transformer.width).unwrap_or_default(),
            sub_position: match &self.subsampler {
                Subsampler::Ptf(ptf) => ptf.position.table(sub, ptf.width).unwrap_or_default(),
                Subsampler::Rnn(_) => Vec::new(),
            },
            places: sub.patch_of().iter().map(place).collect(),
        };
        Ok(LptfNetwork::new(gpu, sizes, &tables, parameters, capacity)?.into())
    }
}
