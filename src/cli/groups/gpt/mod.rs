//! Settings of a GPT: its training, and the groups of the other commands of `ketformer gpt`.

pub mod eval;
pub mod report;
pub mod sample;
mod sizes;
mod training;
pub mod tune;

pub use sizes::{Task, model};
pub use training::config;

use ketformer::gpt::TokenPositions;

use super::train::{
    CHECKPOINT, DIR, MAX_DEVICE_LOSSES, MAX_REJECTED_STEPS, MAX_STEPS, REPORT, SCHEDULE, SEED, SUB_DIRECTORY,
};
use crate::cli::settings::{Group, Key, KeyKind, words};

/// Maximum of every size of a GPT.
const MAX_SIZE: u64 = 1 << 20;
/// Built-in tasks.
pub const TASKS: [&str; 1] = ["sort"];
/// Words of `tokenizer=`.
pub const TOKENIZERS: [&str; 2] = ["characters", "bpe"];
/// Values of `position=`.
pub const POSITIONS: [(&str, TokenPositions); 3] = [
    ("learned", TokenPositions::Learned),
    ("sinusoidal", TokenPositions::Sinusoidal),
    ("rotary", TokenPositions::Rotary),
];

/// Keys of `ketformer gpt train`.
pub static GROUP: Group = Group {
    name: "gpt",
    about: "a GPT and its training; defaults of task=sort, where they differ, are in parentheses",
    keys: &[
        Key::optional("data", KeyKind::Text, "", "text to learn, a UTF-8 file"),
        Key::optional(
            "task",
            KeyKind::Choice(&TASKS),
            "",
            "built-in task instead of a file; sort: the letters of a word",
        ),
        Key::optional("length", KeyKind::Count(1, 1 << 10), "letters", "letters of a word of task=sort (6)"),
        Key::optional("letters", KeyKind::Count(2, 26), "", "different letters of task=sort (3)"),
        Key::optional(
            "tokenizer",
            KeyKind::Choice(&TOKENIZERS),
            "",
            "characters of the text, or bpe, the byte-pair encoding of GPT-2 (characters)",
        ),
        Key::optional(
            "validation",
            KeyKind::Real(0.0, 0.9),
            "",
            "fraction at the end of the text that is held out (0.1)",
        ),
        Key::optional("layers", KeyKind::Count(1, MAX_SIZE), "", "layers; 4 (3)"),
        Key::optional("heads", KeyKind::Count(1, MAX_SIZE), "", "attention heads; 4 (3)"),
        Key::optional("width", KeyKind::Count(4, MAX_SIZE), "channels", "width, a multiple of 4; 128 (48)"),
        Key::optional("ffn", KeyKind::Count(4, MAX_SIZE), "channels", "feed-forward width; 4 times the width"),
        Key::optional("block", KeyKind::Count(1, MAX_SIZE), "tokens", "positions of a window; 64 (2*length-1)"),
        Key::optional("position", KeyKind::Choice(&words(&POSITIONS)), "", "positions of tokens; learned"),
        Key::optional("bias", KeyKind::Switch, "", "biases of linear layers and norms; false (true)"),
        Key::optional("tied", KeyKind::Switch, "", "projection to the vocabulary = embedding; true (false)"),
        Key::optional("dropout", KeyKind::Real(0.0, 0.99), "", "probability of dropout; 0 (0.1)"),
        Key::optional("batch", KeyKind::Count(1, MAX_SIZE), "windows", "windows of a batch; 12 (64)"),
        Key::new("accumulate", KeyKind::Count(1, MAX_SIZE), "1", "batches", "batches whose gradients a step adds up"),
        Key::new("steps", KeyKind::Count(1, MAX_STEPS), "2000", "steps", "training steps"),
        Key::optional("lr", KeyKind::Positive(100.0), "", "learning rate; 0.384/width, at most 0.003 (0.0005)"),
        Key::optional(
            "min_lr",
            KeyKind::Real(0.0, 100.0),
            "",
            "learning rate at the last step of schedule=cosine; lr/10",
        ),
        Key::optional("schedule", SCHEDULE, "", "schedule of the learning rate; cosine (constant)"),
        Key::optional(
            "warmup",
            KeyKind::Count(0, MAX_STEPS),
            "steps",
            "steps in which the learning rate rises from 0; 100 or a tenth of the steps (0)",
        ),
        Key::new("beta1", KeyKind::Real(0.0, 0.999_999), "0.9", "", "decay of the mean gradient of Adam"),
        Key::optional("beta2", KeyKind::Real(0.0, 0.999_999), "", "decay of the mean squared gradient; 0.99 (0.95)"),
        Key::new(
            "decay",
            KeyKind::Real(0.0, 100.0),
            "0.1",
            "",
            "weight decay of matrices, decoupled from the gradient",
        ),
        Key::new("clip", KeyKind::Real(0.0, 1e12), "1", "", "maximum norm of the gradient; 0: no limit"),
        SEED,
        Key::optional(
            "eval_interval",
            KeyKind::Count(1, MAX_STEPS),
            "steps",
            "steps between evaluations of held-out data; 250, at most a tenth of the steps",
        ),
        Key::new("eval_batches", KeyKind::Count(0, MAX_STEPS), "20", "batches", "batches of an evaluation; 0: all"),
        REPORT,
        CHECKPOINT,
        MAX_REJECTED_STEPS,
        MAX_DEVICE_LOSSES,
        DIR,
        SUB_DIRECTORY,
    ],
};
