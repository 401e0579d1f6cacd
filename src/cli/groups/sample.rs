//! Settings of `sample`: seed and precision.

use super::train::PRECISION;
use crate::cli::settings::{Group, Key, KeyKind};

/// Keys of `ketformer sample`.
pub static GROUP: Group = Group {
    name: "sample",
    about: "configurations of a trained wave function",
    keys: &[
        Key::new(
            "seed",
            KeyKind::Seed,
            "1",
            "",
            "seed of the samples; None draws one; more samples of a seed start with the same ones",
        ),
        Key::new("precision", PRECISION, "single", "", "mixed: network with weights, keys and values in f16"),
    ],
};
