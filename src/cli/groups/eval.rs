//! `eval`: how many samples and from which seed.

use super::train::MAX_SAMPLES;
use crate::cli::settings::{Group, Key, Kind};

/// The keys of `ketformer eval`.
pub static GROUP: Group = Group {
    name: "eval",
    about: "the evaluation of a trained wave function",
    keys: &[
        Key::new("samples", Kind::Count(2, MAX_SAMPLES), "4096", "samples", "fresh configurations to draw"),
        Key::new("seed", Kind::Seed, "1", "", "of the samples; None draws one"),
    ],
};
