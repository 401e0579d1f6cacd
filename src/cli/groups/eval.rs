//! `eval`: how many samples, from which seed, in which precision, with which projection.

use super::train::{MAX_SAMPLES, PRECISION};
use crate::cli::settings::{Group, Key, Kind};

pub const SAMPLES: Key =
    Key::new("samples", Kind::Count(2, MAX_SAMPLES), "4096", "samples", "fresh configurations to draw");
pub const SEED: Key = Key::new("seed", Kind::Seed, "1", "", "of the samples; None draws one");

/// The keys of `ketformer eval`.
pub static GROUP: Group = Group {
    name: "eval",
    about: "the evaluation of a trained wave function",
    keys: &[
        SAMPLES,
        SEED,
        Key::new(
            "symmetrize",
            Kind::Switch,
            "false",
            "",
            "also project onto the Hamiltonian's symmetries; each sample costs as many as there are",
        ),
        Key::new("precision", PRECISION, "single", "", "mixed: of the network with weights, keys and values in f16"),
    ],
};
