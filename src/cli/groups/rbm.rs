//! `--rbm`: the restricted Boltzmann machine, sampled by Markov chains.

use ketformer::model::Rbm;

use super::lattice::L;
use super::metropolis::{CHAINS, burn_in, proposal, sampling, sweeps};
use crate::cli::settings::{Group, Key, Kind, Settings};

/// The keys of the machine and of its chains.
pub static GROUP: Group = Group {
    name: "rbm",
    about: "the wave function: a restricted Boltzmann machine, sampled by Markov chains",
    keys: &[
        L,
        Key::new("alpha", Kind::Real(0.0, 1e6), "2", "", "hidden units per site"),
        CHAINS,
        sweeps("10"),
        burn_in("100"),
        proposal("flip", "of a chain: one site, or two that differ, which keeps the number of excitations"),
    ],
};

/// The wave function of these settings; whether it fits a lattice is for its check to say.
pub fn model(settings: &Settings) -> Rbm {
    Rbm { alpha: settings.real("alpha"), sampling: sampling(settings) }
}
