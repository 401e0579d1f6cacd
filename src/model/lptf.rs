//! The large-patched transformer (LPTF) of arXiv:2306.03921: a transformer over large patches, each of which a smaller wave
//! function draws in sub-patches.
//!
//! ```text
//! e_l = tanh(W_t patch_{l−1} + b_t) + position_l                       patch_{−1} = 0, of p sites
//! c_l = the transformer's row of e_0 … e_l                             as of the PTF, without its head
//! log P(σ) = Σ_l log P_sub(patch_l | c_l)                              S sub-patches of P sites each, p = S·P
//! ```
//!
//! The sub-sampler begins anew in every large patch. A PRNN begins in the state c_l, so that it is as wide as the
//! transformer. A PTF adds W_c c_l + b_c to each of its embedded sub-patches (`subsampler.condition`); the public PyTorch code
//! has no such sub-sampler that runs, so that this is a definition of our own. Other names and initial values are those of the
//! public code.

use super::lptf_network::{LptfNetwork, LptfSizes, LptfTables};
use super::network::DESCRIPTION;
use super::ptf::Sizes;
use super::rnn_network::RnnSizes;
use super::subsampler::SubSizes;
use super::{
    Attention, AttentionLayers, Capacity, Layout, Model, Needs, Parameters, Precision, Ptf, Rnn, Sector, WaveFunction,
};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::kernels::nested::NestedShape;
use crate::physics::{Lattice, Patching};

/// Settings of the large-patched transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct Lptf {
    /// The transformer over large patches: `patch` is the large patch, of up to 256 sites; `sector` and `phase` are those of
    /// the whole.
    pub transformer: Ptf,
    /// What draws a large patch.
    pub subsampler: Subsampler,
}

/// A wave function that draws the sub-patches of a large patch; its `patch` is the sub-patch. Its
/// `sector` and `phase` are left as they are by default: they are the whole's.
#[derive(Debug, Clone, PartialEq)]
pub enum Subsampler {
    /// A patched recurrent wave function, as wide as the transformer.
    Rnn(Rnn),
    /// A patched transformer of any width.
    Ptf(Ptf),
}

impl Lptf {
    /// Whether a sub-sampler that is said to have `sites` sites, as by `--rnn L=16`, is one of the large patch.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] with the number that would do.
    pub fn check_subsampler_sites(&self, sites: usize) -> Result<()> {
        let (patch, group) = (self.transformer.patch, self.subsampler.name());
        if sites == patch.sites() {
            return Ok(());
        }
        let message = format!(
            "lptf: patch={patch} has {} sites, and its sub-sampler L={sites}; give --{group} L={}",
            patch.sites(),
            patch.sites()
        );
        Err(Error::new(ErrorKind::Settings, message))
    }
}

impl Subsampler {
    /// Its sector, and whether it has phases.
    fn outcomes(&self) -> (Sector, bool) {
        match self {
            Self::Rnn(rnn) => (rnn.sector, rnn.phase),
            Self::Ptf(ptf) => (ptf.sector, ptf.phase),
        }
    }

    /// Its name on the command line, as in `--rnn`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rnn(_) => "rnn",
            Self::Ptf(_) => "ptf",
        }
    }
}

impl Lptf {
    /// That settings of the whole are not given to the part.
    fn check_subsampler_outcomes(&self) -> Result<()> {
        let (name, (sector, phase)) = (self.subsampler.name(), self.subsampler.outcomes());
        let setting = match (sector, phase) {
            (Sector::All, false) => return Ok(()),
            (Sector::All, true) => "phase=true".to_string(),
            (sector, _) => format!("sector={sector}"),
        };
        let message = format!(
            "lptf: its sub-sampler has {setting}, which is for the whole wave function to have; leave it out of --{name} and \
             give --lptf {setting}"
        );
        Err(Error::new(ErrorKind::Settings, message))
    }

    fn sizes(&self, lattice: &Lattice) -> Result<(LptfSizes, Patching)> {
        let patching = self.patching(lattice)?;
        self.check(lattice)?;
        let nested = NestedShape {
            patches: patching.patches() as u32,
            sub_patches: patching.sub_patches().unwrap_or(1) as u32,
            sub_sites: patching.sites_per_patch() as u32,
        };
        let transformer = self.transformer.transformer_sizes([nested.large_patches() as usize; 2]);
        let sub = match &self.subsampler {
            Subsampler::Ptf(ptf) => SubSizes::Ptf(Sizes {
                complex: self.transformer.phase,
                transformer: ptf.transformer_sizes([nested.patches as usize, nested.sub_patches as usize]),
                embedding: ptf.embedding_sizes([nested.sub_sites, nested.sub_patches, DESCRIPTION]),
                outcomes: patching.outcomes() as u32,
            }),
            Subsampler::Rnn(rnn) => SubSizes::Rnn(RnnSizes {
                complex: self.transformer.phase,
                ..rnn.sizes([nested.patches as usize, nested.sub_patches as usize])
            }),
        };
        let embedded = [nested.sites(), nested.large_patches(), nested.stride()];
        let embedding = self.transformer.embedding_sizes(embedded);
        Ok((LptfSizes { embedding, transformer, nested, sub }, patching))
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

    fn keeps_excitations(&self) -> bool {
        self.transformer.keeps_excitations()
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
                    "lptf: its sub-sampler has Nh={sub}, and begins in rows of the transformer, of Nh={width}; give --rnn \
                     Nh={width}"
                );
                Err(Error::new(ErrorKind::Settings, message))
            }
            Subsampler::Rnn(rnn) => rnn.check_cell().map_err(|cause| of_part("sub-sampler", cause)),
            Subsampler::Ptf(ptf) if ptf.attention == Attention::Linear => {
                let message = "lptf: the states of linear attention go through a whole sample, and a sub-sampler begins anew \
                               in every large patch; give --ptf attention=softmax, or attention=linear to --lptf";
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

    fn needs(&self, gpu: &Gpu, lattice: &Lattice, precision: Precision) -> Result<Needs> {
        Ok(self.sizes(lattice)?.0.needs(gpu, precision))
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
        let place = |(t, j): &(u32, u32)| t * sizes.nested.sub_sites + j;
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
