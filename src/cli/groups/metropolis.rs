//! The keys of Markov chains, of every wave function that they sample.

use ketformer::model::{Metropolis, Proposal};

use crate::cli::settings::{Key, Kind, Settings};

/// How many chains.
pub const CHAINS: Key =
    Key::optional("chains", Kind::Count(1, 1 << 17), "chains", "Markov chains; as many as samples without it");

/// How far a chain goes between two samples.
pub const fn sweeps(default: &'static str) -> Key {
    Key::new("sweeps", Kind::Count(1, 10_000), default, "sweeps", "of as many proposals as sites, between two samples")
}

/// How far it goes before the first.
pub const fn burn_in(default: &'static str) -> Key {
    Key::new("burn_in", Kind::Count(0, 10_000), default, "sweeps", "before the first sample of a chain")
}

/// What a proposal changes; `help` says which two sites an exchange is of.
pub const fn proposal(default: &'static str, help: &'static str) -> Key {
    Key::new("proposal", Kind::Choice(&["flip", "exchange"]), default, "", help)
}

/// What these keys say.
pub fn sampling(settings: &Settings) -> Metropolis {
    let proposal = match settings.text("proposal") {
        "exchange" => Proposal::Exchange,
        _ => Proposal::Flip,
    };
    let chains = settings.optional_count("chains").map(|chains| chains as usize);
    Metropolis { chains, sweeps: settings.size("sweeps"), burn_in: settings.size("burn_in"), proposal }
}
