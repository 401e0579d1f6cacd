//! Keys of the Markov chains, shared by all wave functions that are sampled by MCMC.

use ketformer::model::{Metropolis, Proposal};

use crate::cli::settings::{Key, KeyKind, Settings, words};

const PROPOSALS: [(&str, Proposal); 2] = [("flip", Proposal::Flip), ("exchange", Proposal::Exchange)];
const PROPOSAL_WORDS: &[&str] = &words(&PROPOSALS);

/// Number of chains.
pub const CHAINS: Key =
    Key::optional("chains", KeyKind::Count(1, 1 << 17), "chains", "number of Markov chains; default: one per sample");

/// Number of sweeps between two samples of a chain.
pub const fn sweeps(default: &'static str) -> Key {
    Key::new(
        "sweeps",
        KeyKind::Count(1, 10_000),
        default,
        "sweeps",
        "between two samples; a sweep has as many proposals as sites",
    )
}

/// Number of sweeps before the first sample of a chain.
pub const fn burn_in(default: &'static str) -> Key {
    Key::new("burn_in", KeyKind::Count(0, 10_000), default, "sweeps", "before the first sample of a chain")
}

/// Kind of a proposal. `help` describes which two sites an exchange swaps.
pub const fn proposal(default: &'static str, help: &'static str) -> Key {
    Key::new("proposal", KeyKind::Choice(PROPOSAL_WORDS), default, "", help)
}

/// Sampling parameters of these settings.
pub fn sampling(settings: &Settings) -> Metropolis {
    let proposal = settings.choice("proposal", &PROPOSALS);
    let chains = settings.optional_count("chains").map(|chains| chains as usize);
    Metropolis { chains, sweeps: settings.size("sweeps"), burn_in: settings.size("burn_in"), proposal }
}
