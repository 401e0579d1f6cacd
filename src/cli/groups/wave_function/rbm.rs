//! `--rbm`: the restricted Boltzmann machine, sampled by Markov chains.

use ketformer::model::Rbm;

use super::metropolis::{CHAINS, burn_in, proposal, sampling, sweeps};
use crate::cli::groups::lattice::L;
use crate::cli::settings::{Group, Key, KeyKind, Settings};

/// Keys of the machine and of its chains.
pub static GROUP: Group = Group {
    name: "rbm",
    about: "the wave function: a restricted Boltzmann machine, sampled by Markov chains",
    keys: &[
        L,
        Key::new("alpha", KeyKind::Real(0.0, 1e6), "2", "", "hidden units per site"),
        CHAINS,
        sweeps("10"),
        burn_in("100"),
        proposal("flip", "flip: one site; exchange: two sites that differ, which conserves the number of excitations"),
    ],
};

/// Wave function of these settings. Its `check` reports whether it fits a lattice.
pub fn model(settings: &Settings) -> Rbm {
    Rbm { alpha: settings.real("alpha"), sampling: sampling(settings) }
}
