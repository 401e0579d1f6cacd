//! Settings of the report of a run of a GPT.

use super::sample::WEIGHTS;
use crate::cli::groups::eval::SEED;
use crate::cli::settings::{Group, Key, KeyKind};

/// Keys of `ketformer report` for a run of a GPT.
pub static GROUP: Group = Group {
    name: "gpt-report",
    about: "the report of a run of a GPT, by `ketformer report`",
    keys: &[
        Key::optional(
            "prompt",
            KeyKind::Text,
            "",
            "text to continue and to look into; default: the first held-out tokens",
        ),
        Key::new("tokens", KeyKind::Count(1, 1 << 16), "200", "tokens", "tokens of each continuation"),
        SEED,
        WEIGHTS,
    ],
};
