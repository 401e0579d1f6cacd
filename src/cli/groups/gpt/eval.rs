//! Settings of `gpt eval`: held-out data.

use super::sample::WEIGHTS;
use crate::cli::settings::{Group, Key, KeyKind};

/// Keys of `ketformer gpt eval`.
pub static GROUP: Group = Group {
    name: "gpt-eval",
    about: "the loss of a trained GPT on held-out data",
    keys: &[
        Key::optional("data", KeyKind::Text, "", "another text, all of which is evaluated"),
        Key::new("batches", KeyKind::Count(0, 1 << 40), "0", "batches", "batches of held-out data; 0: all"),
        Key::new("samples", KeyKind::Count(1, 1 << 20), "5000", "words", "held-out words that task=sort sorts"),
        WEIGHTS,
    ],
};
