//! `--rbm`: the restricted Boltzmann machine, sampled by Markov chains.

use ketformer::model::{Metropolis, Proposal, Rbm};

use super::lattice::L;
use crate::cli::settings::{Group, Key, Kind, Settings};

/// The keys of the machine and of its chains.
pub static GROUP: Group = Group {
    name: "rbm",
    about: "the wave function: a restricted Boltzmann machine, sampled by Markov chains",
    keys: &[
        L,
        Key::new("alpha", Kind::Real(0.0, 1e6), "2", "", "hidden units per site"),
        Key::optional("chains", Kind::Count(1, 1 << 17), "chains", "Markov chains; as many as samples without it"),
        Key::new(
            "sweeps",
            Kind::Count(1, 10_000),
            "10",
            "sweeps",
            "of as many proposals as sites, between two samples",
        ),
        Key::new("burn_in", Kind::Count(0, 10_000), "100", "sweeps", "before the first sample of a chain"),
        Key::new(
            "proposal",
            Kind::Choice(&["flip", "exchange"]),
            "flip",
            "",
            "of a chain: one site, or two that differ, which keeps the number of excitations",
        ),
    ],
};

/// The wave function of these settings; whether it fits a lattice is for its check to say.
pub fn model(settings: &Settings) -> Rbm {
    let proposal = match settings.text("proposal") {
        "exchange" => Proposal::Exchange,
        _ => Proposal::Flip,
    };
    let chains = settings.optional_count("chains").map(|chains| chains as usize);
    let sampling = Metropolis { chains, sweeps: settings.size("sweeps"), burn_in: settings.size("burn_in"), proposal };
    Rbm { alpha: settings.real("alpha"), sampling }
}
