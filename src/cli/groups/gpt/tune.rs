//! Settings of `gpt tune`: the reward, the sampled continuations, and the steps.

use ketformer::Result;
use ketformer::gpt::GptTrainConfig;

use super::super::train::{
    CHECKPOINT, DIR, MAX_DEVICE_LOSSES, MAX_REJECTED_STEPS, MAX_STEPS, REPORT, SCHEDULE, SCHEDULES, SEED,
    SUB_DIRECTORY, checked_warmup, resolved_seed,
};
use super::sample::WEIGHTS;
use crate::cli::settings::{Group, Key, KeyKind, Settings};

/// Keys of `ketformer gpt tune`.
pub static GROUP: Group = Group {
    name: "gpt-tune",
    about: "fine-tuning of a trained GPT by reward",
    keys: &[
        Key::optional("reward", KeyKind::Text, "", "sorted, count:PATTERN, length, or command:PROGRAM"),
        Key::new(
            "beta",
            KeyKind::Real(0.0, 1e12),
            "0.05",
            "reward per nat",
            "penalty of the Kullback-Leibler divergence from the starting weights",
        ),
        Key::new("samples", KeyKind::Count(2, 1 << 20), "64", "texts", "continuations of a step"),
        Key::optional(
            "tokens",
            KeyKind::Count(1, 1 << 20),
            "tokens",
            "tokens of a continuation; half of the block, or the sorted letters",
        ),
        Key::optional(
            "prompt",
            KeyKind::Text,
            "",
            "text to continue; default: windows of the data that leave room for the tokens, or words of task=sort",
        ),
        Key::new("steps", KeyKind::Count(1, MAX_STEPS), "200", "steps", "steps"),
        Key::new("lr", KeyKind::Positive(100.0), "0.0003", "", "learning rate"),
        Key::new("schedule", SCHEDULE, "cosine", "", "schedule of the learning rate; cosine decays to 0"),
        Key::new("warmup", KeyKind::Count(0, MAX_STEPS), "0", "steps", "steps in which the learning rate rises from 0"),
        Key::new("decay", KeyKind::Real(0.0, 100.0), "0", "", "weight decay of matrices"),
        Key::new("clip", KeyKind::Real(0.0, 1e12), "1", "", "maximum norm of the gradient; 0: no limit"),
        Key { help: "seed of prompts and continuations; None draws one", ..SEED },
        Key { help: "weights of the run to start from: last, or best of the held-out data", ..WEIGHTS },
        REPORT,
        CHECKPOINT,
        MAX_REJECTED_STEPS,
        MAX_DEVICE_LOSSES,
        DIR,
        SUB_DIRECTORY,
    ],
};

/// Configuration of the trainer. Writes a drawn seed back into `settings`.
///
/// # Errors
/// `ErrorKind::Settings` for settings that contradict each other.
pub fn config(settings: &mut Settings, memory: Option<u64>) -> Result<GptTrainConfig> {
    let steps = settings.count("steps");
    let (warmup, seed) = (checked_warmup(settings, steps)?, resolved_seed(settings));
    let config = GptTrainConfig {
        learning_rate: settings.real("lr"),
        schedule: settings.choice("schedule", &SCHEDULES)(steps),
        warmup,
        weight_decay: settings.real("decay"),
        clip: Some(settings.real("clip")).filter(|clip| *clip > 0.0),
        seed,
        memory,
        ..GptTrainConfig::default()
    };
    config.check()?;
    Ok(config)
}
