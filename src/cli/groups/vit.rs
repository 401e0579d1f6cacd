//! `--vit`: the vision-transformer wave function, complex and sampled by Markov chains.

use ketformer::Result;
use ketformer::model::Vit;

use super::lattice::L;
use super::metropolis::{CHAINS, burn_in, proposal, sampling, sweeps};
use super::patch::patch;
use crate::cli::settings::{Group, Key, Kind, Settings};

/// The keys of the network, with the paper's defaults, and of its chains.
pub static GROUP: Group = Group {
    name: "vit",
    about: "the wave function: a vision transformer, complex and translation invariant, sampled by Markov chains",
    keys: &[
        L,
        Key::new("patch", Kind::Text, "2x2", "sites", "sites of a token; must divide both sides, which are periodic"),
        Key::new("d", Kind::Count(4, 8192), "72", "channels", "width of a token, a multiple of 4"),
        Key::new("heads", Kind::Count(1, 8192), "12", "heads", "of attention; must divide d"),
        Key::new("layers", Kind::Count(1, 128), "8", "layers", "blocks of attention and a hidden layer of 4d"),
        Key::new(
            "attention",
            Kind::Choice(&["factored", "softmax"]),
            "factored",
            "",
            "weights of relative positions alone, or softmax with learned positions, not translation invariant",
        ),
        CHAINS,
        sweeps("2"),
        burn_in("10"),
        proposal(
            "exchange",
            "of a chain: two neighbours that differ, in the sector of half the sites up, or one site anywhere",
        ),
    ],
};

/// The wave function of these settings; whether it fits a lattice is for its check to say.
///
/// # Errors
/// `ErrorKind::Settings` for a patch that is none.
pub fn model(settings: &Settings) -> Result<Vit> {
    Ok(Vit {
        patch: patch(settings)?,
        width: settings.size("d"),
        heads: settings.size("heads"),
        layers: settings.size("layers"),
        attention: settings.text("attention").parse()?,
        sampling: sampling(settings),
    })
}
