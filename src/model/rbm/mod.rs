//! Restricted Boltzmann machine (RBM) of Carleo & Troyer, Science 355, 602 (2017), arXiv:1606.02318, with real
//! parameters.
//!
//! ```text
//! log ψ(s) = Σ_i a_i s_i + Σ_j log cosh θ_j        θ_j = b_j + Σ_i W_ij s_i        s_i = 2 n_i − 1
//! ```
//!
//! ψ is positive and unnormalized: P(s) = ψ(s)² / Σ ψ² is sampled by Markov chains ([`Metropolis`]). Parameters have
//! the names and shapes of NetKet's `models.RBM`: `visible_bias` a (N), `Dense.kernel` W (N, M), `Dense.bias` b (M).
//!
//! The activations θ of the chains are kept, updated by accepted proposals, and recomputed in every step. Where other
//! families have log P, this one has log ψ²; [`crate::vmc::full_sum()`] normalizes it by the sum over all
//! configurations of its sector.

mod network;

use super::sampling::sector::check_even;
use super::{Capacity, Initial, Layout, Metropolis, Model, ParameterSpec, Parameters, Proposal, WaveFunction};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::kernels::rbm::amplitude::RbmShape;
use crate::physics::{Lattice, MAX_SITES_PER_PATCH, Patch, Patching};
use network::{HIDDEN_BIAS, KERNEL, RbmNetwork, VISIBLE_BIAS};

/// Settings of the restricted Boltzmann machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Rbm {
    /// Hidden units per site: M = α·N, rounded.
    pub alpha: f64,
    /// Markov chains that sample its configurations.
    pub sampling: Metropolis,
}

impl Default for Rbm {
    fn default() -> Self {
        Self { alpha: 2.0, sampling: Metropolis::default() }
    }
}

/// Maximum number of sites; a chain holds their occupations in registers.
const MAX_SITES: usize = 1024;
/// Maximum number of hidden units: the loops of one proposal must stay below the 65,535 iterations that every driver
/// runs.
const MAX_HIDDEN: usize = 1 << 14;
/// Bound of the uniform initial weights: small compared with the range over which log cosh bends, so that training
/// starts near the uniform state, and large enough to distinguish hidden units.
const INITIAL: f64 = 0.05;

impl Rbm {
    /// M, the number of hidden units on `lattice`; at least 1 if the settings are valid.
    pub fn hidden(&self, lattice: &Lattice) -> usize {
        (self.alpha * lattice.sites() as f64).round() as usize
    }

    fn shape(&self, lattice: &Lattice) -> Result<RbmShape> {
        let sites_per_patch = self.patching(lattice)?.sites_per_patch() as u32;
        Ok(RbmShape { sites: lattice.sites() as u32, sites_per_patch, hidden: self.hidden(lattice) as u32 })
    }
}

impl Model for Rbm {
    fn name(&self) -> &'static str {
        "rbm"
    }

    /// Tokens only carry occupations, so each holds the largest possible number of sites.
    fn patching(&self, lattice: &Lattice) -> Result<Patching> {
        self.check(lattice)?;
        let sites = lattice.sites();
        let widest = (1..=MAX_SITES_PER_PATCH).rev().find(|sites_of| sites.is_multiple_of(*sites_of));
        Patching::new(*lattice, Patch::Line(widest.unwrap_or(1)))
    }

    fn check(&self, lattice: &Lattice) -> Result<()> {
        lattice.check()?;
        self.sampling.check()?;
        if self.conserves_magnetization() {
            check_even("rbm", lattice, ["proposal=exchange", "proposal=flip"])?;
        }
        let error = |message: String| Err(Error::new(ErrorKind::Settings, format!("rbm: {message}")));
        let sites = lattice.sites();
        if sites > MAX_SITES {
            return error(format!("{sites} sites are too many; give a lattice of at most {MAX_SITES}"));
        }
        let most = MAX_HIDDEN / sites;
        let hidden = self.hidden(lattice);
        if !self.alpha.is_finite() || hidden == 0 || hidden > MAX_HIDDEN {
            let alpha = self.alpha;
            let message = format!(
                "alpha={alpha} gives {hidden} hidden units on {sites} sites; give alpha={:.3} to {most}, such as \
                 alpha=2",
                1.0 / sites as f64
            );
            return error(message);
        }
        Ok(())
    }

    fn conserves_magnetization(&self) -> bool {
        self.sampling.proposal == Proposal::Exchange
    }

    fn chains(&self) -> Option<&Metropolis> {
        Some(&self.sampling)
    }

    fn layout(&self, lattice: &Lattice) -> Result<Layout> {
        self.check(lattice)?;
        let (n, m) = (lattice.sites(), self.hidden(lattice));
        let spec = |name: &str, shape| ParameterSpec { name: name.into(), shape, initial: Initial::Uniform(INITIAL) };
        Ok(Layout::new(vec![spec(VISIBLE_BIAS, vec![n]), spec(KERNEL, vec![n, m]), spec(HIDDEN_BIAS, vec![m])]))
    }

    fn network(
        &self,
        gpu: &Gpu,
        lattice: &Lattice,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<WaveFunction> {
        let network = RbmNetwork::new(gpu, self.shape(lattice)?, &self.sampling, parameters, capacity)?;
        Ok(WaveFunction::Unnormalized(Box::new(network)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_units_are_alpha_times_the_sites() {
        let of = |alpha| Rbm { alpha, ..Rbm::default() }.hidden(&Lattice::square(4, 4));
        assert_eq!((of(2.0), of(0.5), of(1.3)), (32, 8, 21));
        let layout = Rbm::default().layout(&Lattice::square(4, 4)).unwrap();
        assert_eq!(layout.parameters(), 16 + 16 * 32 + 32);
    }

    #[test]
    fn settings_that_do_not_fit_say_what_would() {
        let message = |alpha| {
            let rbm = Rbm { alpha, ..Rbm::default() };
            rbm.check(&Lattice::square(4, 4)).unwrap_err().to_string()
        };
        for alpha in [0.0, -1.0, 0.01, f64::NAN, 1e9] {
            assert!(message(alpha).contains("such as alpha=2"), "{}", message(alpha));
        }
    }

    #[test]
    fn tokens_hold_as_many_sites_as_divide_the_lattice() {
        let sites = |n| Rbm::default().patching(&Lattice::chain(n)).unwrap().sites_per_patch();
        assert_eq!((sites(16), sites(13), sites(12), sites(100)), (8, 1, 12, 10));
    }
}
