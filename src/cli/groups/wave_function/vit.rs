//! `--vit`: the vision-transformer wave function, complex and sampled by Markov chains.

use ketformer::Result;
use ketformer::model::{Vit, VitAttention};

use super::metropolis::{CHAINS, burn_in, proposal, sampling, sweeps};
use super::patch::patch;
use crate::cli::groups::lattice::L;
use crate::cli::settings::{Group, Key, KeyKind, Settings, words};

const ATTENTIONS: [(&str, VitAttention); 2] =
    [("factored", VitAttention::Factored), ("softmax", VitAttention::Softmax)];

/// Keys of the network, with the defaults of the paper, and of its chains.
pub static GROUP: Group = Group {
    name: "vit",
    about: "the wave function: a vision transformer, complex and translation invariant, sampled by Markov chains",
    keys: &[
        L,
        Key::new("patch", KeyKind::Text, "2x2", "sites", "sites of a token; must divide both sides of the lattice"),
        Key::new("d", KeyKind::Count(4, 8192), "72", "channels", "width of a token, a multiple of 4"),
        Key::new("heads", KeyKind::Count(1, 8192), "12", "heads", "attention heads; must divide d"),
        Key::new("layers", KeyKind::Count(1, 128), "8", "layers", "blocks of attention and a hidden layer of 4d"),
        Key::new(
            "attention",
            KeyKind::Choice(&words(&ATTENTIONS)),
            "factored",
            "",
            "factored: by relative positions alone; softmax: with learned positions, not translation invariant",
        ),
        CHAINS,
        sweeps("2"),
        burn_in("10"),
        proposal(
            "exchange",
            "exchange: two neighbors that differ, in the sector with half of the sites up; flip: one site",
        ),
    ],
};

/// Wave function of these settings. Its `check` reports whether it fits a lattice.
///
/// # Errors
/// `ErrorKind::Settings` for an invalid patch.
pub fn model(settings: &Settings) -> Result<Vit> {
    Ok(Vit {
        patch: patch(settings)?,
        width: settings.size("d"),
        heads: settings.size("heads"),
        layers: settings.size("layers"),
        attention: settings.choice("attention", &ATTENTIONS),
        sampling: sampling(settings),
    })
}
