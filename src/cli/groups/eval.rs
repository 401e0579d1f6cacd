//! Settings of `eval`: samples, seed, projection and precision.

use super::train::{MAX_SAMPLES, PRECISION};
use crate::cli::settings::{Group, Key, KeyKind};

pub const SAMPLES: Key =
    Key::new("samples", KeyKind::Count(2, MAX_SAMPLES), "4096", "samples", "number of fresh configurations");
pub const SEED: Key = Key::new("seed", KeyKind::Seed, "1", "", "seed of the samples; None draws one");

/// Keys of `ketformer eval`.
pub static GROUP: Group = Group {
    name: "eval",
    about: "the evaluation of a trained wave function",
    keys: &[
        SAMPLES,
        SEED,
        Key::new(
            "symmetrize",
            KeyKind::Switch,
            "false",
            "",
            "also project onto the Hamiltonian's symmetries; multiplies the cost by their number",
        ),
        Key::new("precision", PRECISION, "single", "", "mixed: network with weights, keys and values in f16"),
    ],
};
