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

use super::{Ptf, Rnn};
use crate::error::{Error, ErrorKind, Result};
use crate::physics::{Lattice, Patching};

/// Settings of the large-patched transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct Lptf {
    /// The transformer over large patches: `patch` is the large patch, of up to 256 sites.
    pub transformer: Ptf,
    /// What draws a large patch.
    pub subsampler: Subsampler,
}

/// A wave function that draws the sub-patches of a large patch; its `patch` is the sub-patch.
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
    /// Its name on the command line, as in `--rnn`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rnn(_) => "rnn",
            Self::Ptf(_) => "ptf",
        }
    }
}

impl Lptf {
    fn cut(&self, lattice: &Lattice) -> Result<Patching> {
        let sub = match &self.subsampler {
            Subsampler::Rnn(rnn) => rnn.patch,
            Subsampler::Ptf(ptf) => ptf.patch,
        };
        Patching::nested(*lattice, self.transformer.patch, sub)
    }
}
