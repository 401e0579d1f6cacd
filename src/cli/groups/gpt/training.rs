//! Configuration of the training of a GPT.

use ketformer::Result;
use ketformer::gpt::GptTrainConfig;
use ketformer::vmc::Schedule;

use super::GROUP;
use super::sizes::{Task, resolve};
use crate::cli::groups::train::{SCHEDULES, checked_warmup, resolved_seed};
use crate::cli::settings::{Settings, Value};

/// Maximum number of steps between two evaluations by default.
const EVAL_INTERVAL: u64 = 250;
/// Maximum number of steps of the warm-up by default.
const WARMUP: u64 = 100;

/// The value to 6 digits, as one would write it.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// Learning rate of a text by default. It falls with the width, and is that of nanoGPT at its width of 384.
fn default_rate(width: usize) -> f64 {
    rounded(0.384 / width as f64).min(0.003)
}

/// Configuration of the trainer of a GPT of `width`, and number of windows of a batch. Writes defaults of the task, and a drawn seed, back
/// into `settings`.
///
/// # Errors
/// `ErrorKind::Settings` for settings that contradict each other.
pub fn config(
    settings: &mut Settings,
    task: &Task,
    width: usize,
    memory: Option<u64>,
) -> Result<(GptTrainConfig, usize)> {
    let steps = settings.count("steps");
    let of = |text: f64, sort: f64| if task.is_sort() { sort } else { text };
    let tenth = (steps / 10).max(1);
    resolve(settings, "lr", Value::Real(of(default_rate(width), 5e-4)));
    let rate = settings.real("lr");
    let schedule = if task.is_sort() { "constant" } else { "cosine" };
    resolve(settings, "schedule", Value::Text(schedule.into()));
    let warmup = if task.is_sort() { 0 } else { WARMUP.min(tenth) };
    for (name, value) in [
        ("dropout", Value::Real(of(0.0, 0.1))),
        ("batch", Value::Count(of(12.0, 64.0) as u64)),
        ("beta2", Value::Real(of(0.99, 0.95))),
        ("warmup", Value::Count(warmup)),
        ("eval_interval", Value::Count(EVAL_INTERVAL.min(tenth))),
    ] {
        resolve(settings, name, value);
    }
    let schedule = settings.choice("schedule", &SCHEDULES)(steps);
    if schedule == Schedule::Constant && settings.is_given("min_lr") {
        return Err(GROUP.error("min_lr belongs to schedule=cosine; give that, or leave min_lr out"));
    }
    if schedule != Schedule::Constant {
        resolve(settings, "min_lr", Value::Real(rounded(rate / 10.0)));
    }
    let minimum_rate = settings.optional_real("min_lr").unwrap_or(0.0);
    if minimum_rate > rate {
        return Err(GROUP.error(format!("min_lr={minimum_rate} is above lr={rate}; give a smaller one")));
    }
    let (warmup, seed) = (checked_warmup(settings, steps)?, resolved_seed(settings));
    let config = GptTrainConfig {
        accumulate: settings.count("accumulate"),
        learning_rate: rate,
        minimum_rate,
        schedule,
        warmup,
        betas: (settings.real("beta1"), settings.real("beta2")),
        weight_decay: settings.real("decay"),
        clip: Some(settings.real("clip")).filter(|clip| *clip > 0.0),
        dropout: settings.real("dropout"),
        seed,
        memory,
        eval_interval: settings.count("eval_interval"),
        eval_batches: settings.count("eval_batches"),
    };
    config.check()?;
    Ok((config, settings.size("batch")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<(GptTrainConfig, usize)> {
        let mut settings = GROUP.parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>())?;
        let task = Task::new(&mut settings)?;
        let width = settings.optional_count("width").unwrap_or(128);
        config(&mut settings, &task, width as usize, None)
    }

    #[test]
    fn defaults_are_those_of_the_task() {
        let (text, batch) = of("data=a").unwrap();
        assert_eq!(
            (text.learning_rate, text.minimum_rate, text.schedule),
            (3e-3, 3e-4, Schedule::Cosine { steps: 2000 })
        );
        assert_eq!((batch, text.warmup, text.betas, text.dropout), (12, 100, (0.9, 0.99), 0.0));
        let rate = |width: u64| of(&format!("data=a width={width}")).unwrap().0.learning_rate;
        assert_eq!([64, 384, 768].map(rate), [3e-3, 1e-3, 5e-4]);
        // The demo of minGPT.
        let (sort, batch) = of("task=sort").unwrap();
        assert_eq!((sort.learning_rate, sort.schedule, sort.warmup), (5e-4, Schedule::Constant, 0));
        assert_eq!((batch, sort.weight_decay, sort.clip), (64, 0.1, Some(1.0)));
        assert_eq!((sort.betas, sort.dropout), ((0.9, 0.95), 0.1));
        let (short, _) = of("data=a steps=5 clip=0").unwrap();
        assert_eq!((short.warmup, short.eval_interval, short.clip), (1, 1, None));
    }

    #[test]
    fn contradictions_are_named() {
        for (line, word) in [
            ("data=a min_lr=1", "above lr=0.003"),
            ("task=sort min_lr=1e-5", "schedule=cosine"),
            ("data=a steps=5 warmup=6", "shorter warmup"),
        ] {
            assert!(of(line).unwrap_err().to_string().contains(word), "{line}");
        }
    }
}
