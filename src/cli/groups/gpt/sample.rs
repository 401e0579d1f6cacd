//! Settings of `gpt sample`: prompt, tokens and the distribution that they are drawn from.

use super::super::eval::SEED;
use crate::cli::settings::{Group, Key, KeyKind};

/// Maximum number of tokens of a continuation.
const MAX_TOKENS: u64 = 1 << 24;
/// Maximum number of continuations.
const MAX_SAMPLES: u64 = 1 << 16;

/// Which weights of a run are used.
pub const WEIGHTS: Key =
    Key::new("weights", KeyKind::Choice(&["last", "best"]), "last", "", "of a run: last, or best of the held-out data");
/// Number of heads of a file of weights.
pub const HEADS: Key =
    Key::optional("heads", KeyKind::Count(1, 1 << 20), "", "attention heads, for --weights FILE without config.json");

/// Keys of `ketformer gpt sample`.
pub static GROUP: Group = Group {
    name: "gpt-sample",
    about: "continuations of a prompt by a trained GPT",
    keys: &[
        Key::optional("prompt", KeyKind::Text, "", "text to continue; default: a line end, or <|endoftext|> of GPT-2"),
        Key::optional(
            "tokens",
            KeyKind::Count(1, MAX_TOKENS),
            "tokens",
            "tokens to sample; 500, or the sorted letters",
        ),
        Key::new(
            "temperature",
            KeyKind::Real(f64::MIN, f64::MAX),
            "1",
            "",
            "divides the logits; below 1 is more likely text",
        ),
        Key::optional("top_k", KeyKind::Count(1, 1 << 24), "tokens", "samples the most likely tokens only"),
        Key::optional(
            "top_p",
            KeyKind::Real(f64::MIN, f64::MAX),
            "",
            "samples the most likely tokens of this probability only, 0 to 1",
        ),
        Key::new("greedy", KeyKind::Switch, "false", "", "takes the most likely token each time"),
        Key { help: "seed of the samples; None draws one; a seed has one text, however many samples", ..SEED },
        Key::new(
            "samples",
            KeyKind::Count(1, MAX_SAMPLES),
            "1",
            "",
            "number of continuations; one is printed as it grows",
        ),
        WEIGHTS,
        HEADS,
    ],
};
