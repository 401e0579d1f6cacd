//! `sample`: from which seed and in which precision.

use super::train::PRECISION;
use crate::cli::settings::{Group, Key, Kind};

/// The keys of `ketformer sample`.
pub static GROUP: Group = Group {
    name: "sample",
    about: "configurations of a trained wave function",
    keys: &[
        Key::new(
            "seed",
            Kind::Seed,
            "1",
            "",
            "of the samples; None draws one; more of the same seed begin with the same",
        ),
        Key::new("precision", PRECISION, "single", "", "mixed: of the network with weights, keys and values in f16"),
    ],
};
