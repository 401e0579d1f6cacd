//! Settings of `train`, also given as `--train`.

use ketformer::Result;
use ketformer::model::Precision;
use ketformer::vmc::{Annealing, Optimizer, Sampling, SamplingPower, Schedule, StochasticReconfiguration, TrainConfig};

use super::lattice::{L, MAX_SITES};
use crate::cli::settings::{Group, Key, KeyKind, Settings, Value, words};

/// Maximum number of samples of a step.
pub const MAX_SAMPLES: u64 = 1 << 24;
/// Values of `precision=`, here and in other groups.
pub const PRECISION: KeyKind = KeyKind::Choice(&words(&PRECISIONS));
const PRECISIONS: [(&str, Precision); 2] = [("single", Precision::Single), ("mixed", Precision::Mixed)];
/// Returns the schedule of a number of steps.
pub type MakeSchedule = fn(u64) -> Schedule;
/// Values of `schedule=`.
pub const SCHEDULES: [(&str, MakeSchedule); 2] =
    [("constant", |_| Schedule::Constant), ("cosine", |steps| Schedule::Cosine { steps })];
/// Kind of `schedule=`.
pub const SCHEDULE: KeyKind = KeyKind::Choice(&words(&SCHEDULES));
/// Returns the optimizer of a run of a number of steps.
type MakeOptimizer = fn(&Settings, u64) -> Result<Optimizer>;
const OPTIMIZERS: [(&str, MakeOptimizer); 2] = [("adam", |settings, _| adam(settings)), ("sr", reconfiguration)];
const SAMPLERS: [(&str, Sampling); 3] =
    [("own", Sampling::Own), ("exact", Sampling::Exact), ("full_sum", Sampling::FullSum)];
/// Value of `sampling_power=` for a power that follows the gradient.
const ADAPTIVE: &str = "auto";
/// Maximum number of steps.
pub const MAX_STEPS: u64 = 1_000_000_000;

/// Keys of runs of every kind.
pub const SEED: Key = Key::new("seed", KeyKind::Seed, "0", "", "seed of weights and samples; None draws one");
pub const REPORT: Key = Key::new(
    "report",
    KeyKind::Count(1, MAX_STEPS),
    "10",
    "steps",
    "steps between report lines and between writes of metrics",
);
pub const CHECKPOINT: Key = Key::new(
    "checkpoint",
    KeyKind::Interval(MAX_STEPS),
    "100",
    "steps",
    "steps between checkpoints, or a time such as 30s, 10min or 2h, or both, as in 100,10min",
);
pub const MAX_REJECTED_STEPS: Key = Key::new(
    "max_rejected_steps",
    KeyKind::Count(1, MAX_STEPS),
    "20",
    "steps",
    "consecutive rejected steps after which the run ends",
)
.formerly("rejections");
pub const MAX_DEVICE_LOSSES: Key = Key::new(
    "max_device_losses",
    KeyKind::Count(0, MAX_STEPS),
    "3",
    "",
    "how often a lost device is opened again, to continue from the newest checkpoint",
);
pub const DIR: Key =
    Key::new("dir", KeyKind::Text, "out", "", "folder of the numbered run folders; <NONE> writes nothing");
pub const SUB_DIRECTORY: Key =
    Key::optional("sub_directory", KeyKind::Text, "", "folder inside dir for the numbered run folders");

/// Keys and defaults of the reference code's `--train`, with further keys.
pub static GROUP: Group = Group {
    name: "train",
    about: "the training run",
    keys: &[
        L,
        Key::new("K", KeyKind::Count(1, MAX_SAMPLES), "256", "samples", "samples of a minibatch"),
        Key::new("Q", KeyKind::Count(1, MAX_SAMPLES), "1", "", "minibatches of a step"),
        Key::optional("B", KeyKind::Count(1, MAX_SAMPLES), "samples", "samples of a step; must equal K*Q"),
        Key::new(
            "sampler",
            KeyKind::Choice(&words(&SAMPLERS)),
            "own",
            "",
            "own: that of the wave function; exact: independent draws of a vit or rbm on few sites; full_sum: all \
             configurations on few sites (sr)",
        ),
        Key::new("steps", KeyKind::Count(1, MAX_STEPS), "50000", "steps", "training steps"),
        Key::new(
            "optimizer",
            KeyKind::Choice(&words(&OPTIMIZERS)),
            "adam",
            "",
            "sr: stochastic reconfiguration, the natural gradient",
        ),
        Key::optional("lr", KeyKind::Positive(100.0), "", "learning rate of Adam (0.0005), or step size of sr (0.05)"),
        Key::new(
            "schedule",
            SCHEDULE,
            "constant",
            "",
            "schedule of the learning rate; cosine decays to 0 at the last step",
        ),
        Key::new("warmup", KeyKind::Count(0, MAX_STEPS), "0", "steps", "steps in which the learning rate rises from 0"),
        Key::optional(
            "temperature",
            KeyKind::Real(0.0, 1e12),
            "energy",
            "temperature T of the first step; minimizes energy - T*entropy, against collapse (0)",
        ),
        Key::optional("temperature_end", KeyKind::Real(0.0, 1e12), "energy", "temperature at the end of its steps (0)"),
        Key::optional(
            "temperature_steps",
            KeyKind::Count(1, MAX_STEPS),
            "steps",
            "steps in which the temperature changes linearly (three quarters of steps)",
        ),
        Key::optional(
            "clip",
            KeyKind::Positive(1e12),
            "",
            "maximum norm of the gradient, or of a step of sr; default: no limit",
        ),
        Key::optional("lambda", KeyKind::Positive(1e12), "", "diagonal shift of the Gram matrix of sr (0.001)"),
        Key::optional("lambda_end", KeyKind::Positive(1e12), "", "diagonal shift at the end of the run (lambda)"),
        Key::optional(
            "momentum",
            KeyKind::Real(0.0, 1.0),
            "",
            "fraction of the previous direction that sr keeps, 0 to 1 (0)",
        ),
        Key::optional(
            "sampling_power",
            KeyKind::PositiveOr(2.0, ADAPTIVE),
            "",
            "sr samples a vit or rbm from |psi|^sampling_power and reweights; below 2 small |psi| are sampled more; auto \
             follows the signal-to-noise ratio of the gradient (2)",
        )
        .formerly("power"),
        SEED,
        Key::new("unique", KeyKind::Switch, "true", "", "compute equal samples once; changes speed, not estimates"),
        Key::new("precision", PRECISION, "single", "", "mixed: sampling stores f16, gradients stay f32; less memory"),
        REPORT,
        CHECKPOINT,
        MAX_REJECTED_STEPS,
        MAX_DEVICE_LOSSES,
        DIR,
        SUB_DIRECTORY,
        Key::inert("NLOOPS", KeyKind::Count(1, MAX_SITES), "1", "connected configurations always share their prefix"),
        Key::inert("sgrad", KeyKind::Switch, "false", "the gradient is the same either way"),
        Key::inert("true_grad", KeyKind::Switch, "false", "its extra term has zero expectation"),
    ],
};

/// Configuration of the trainer. Draws a seed if it is `None`, and writes seed and learning rate back into `settings`.
///
/// # Errors
/// `ErrorKind::Settings` if B is not K*Q or there is only one sample.
pub fn config(settings: &mut Settings, memory: Option<u64>) -> Result<TrainConfig> {
    let (k, q) = (settings.count("K"), settings.count("Q"));
    let samples = k.saturating_mul(q);
    let sampling = settings.choice("sampler", &SAMPLERS);
    if let Some(key) = ["K", "Q", "B"].into_iter().find(|key| sampling == Sampling::FullSum && settings.is_changed(key))
    {
        return Err(
            GROUP.error(format!("{key} is a number of samples, and sampler=full_sum has none; leave {key} out"))
        );
    }
    if let Some(b) = settings.optional_count("B").filter(|b| *b != samples) {
        return Err(
            GROUP.error(format!("B={b} disagrees with K*Q = {k}*{q} = {samples}; leave B out or give K={b} Q=1"))
        );
    }
    if samples < 2 {
        return Err(GROUP.error("K=1 has no variance and no gradient; give K=2 or more"));
    }
    if samples > MAX_SAMPLES {
        return Err(GROUP.error(format!("K*Q = {k}*{q} is too large; give at most {MAX_SAMPLES} samples in a step")));
    }
    let steps = settings.count("steps");
    let (warmup, seed) = (checked_warmup(settings, steps)?, resolved_seed(settings));
    let optimizer = settings.choice("optimizer", &OPTIMIZERS)(settings, steps)?;
    // The default depends on the optimizer and is recorded in the settings.
    let learning_rate = settings.optional_real("lr").unwrap_or(match optimizer {
        Optimizer::Adam => 5e-4,
        Optimizer::StochasticReconfiguration(_) => 0.05,
    });
    settings.resolve("lr", Value::Real(learning_rate));
    let annealing = annealing(settings, steps)?;
    Ok(TrainConfig {
        samples: samples as usize,
        sampling,
        optimizer,
        learning_rate,
        schedule: settings.choice("schedule", &SCHEDULES)(steps),
        warmup,
        annealing,
        clip: settings.optional_real("clip"),
        seed,
        memory,
        unique: settings.switch("unique"),
        precision: precision(settings),
    })
}

/// Temperature of a run of `steps` steps. The number of its steps is written back into `settings`, so that a run that is
/// resumed with more steps keeps it.
fn annealing(settings: &mut Settings, steps: u64) -> Result<Annealing> {
    let Some(start) = settings.optional_real("temperature") else {
        let other = ["temperature_end", "temperature_steps"].into_iter().find(|key| settings.is_given(key));
        return match other {
            Some(key) => {
                Err(GROUP.error(format!("{key} belongs to a temperature; add temperature=, or leave {key} out")))
            }
            None => Ok(Annealing::default()),
        };
    };
    let over = settings.optional_count("temperature_steps").unwrap_or((steps - steps / 4).max(1));
    settings.resolve("temperature_steps", Value::Count(over));
    Ok(Annealing { start, end: settings.optional_real("temperature_end").unwrap_or(0.0), steps: over })
}

/// Adam, which has none of the settings of stochastic reconfiguration.
fn adam(settings: &Settings) -> Result<Optimizer> {
    let others = ["lambda", "lambda_end", "momentum", "sampling_power"];
    match others.iter().find(|key| settings.is_changed(key)) {
        Some(key) => Err(GROUP.error(format!("{key} belongs to optimizer=sr; give that, or leave {key} out"))),
        None => Ok(Optimizer::Adam),
    }
}

/// Stochastic reconfiguration for a run of `steps` steps.
fn reconfiguration(settings: &Settings, steps: u64) -> Result<Optimizer> {
    let default = StochasticReconfiguration::default();
    let lambda = settings.optional_real("lambda").unwrap_or(default.lambda);
    let reconfiguration = StochasticReconfiguration {
        lambda,
        lambda_end: settings.optional_real("lambda_end").unwrap_or(lambda),
        lambda_steps: steps,
        momentum: settings.optional_real("momentum").unwrap_or(default.momentum),
        sampling_power: match settings.optional_real_or("sampling_power", ADAPTIVE) {
            None => default.sampling_power,
            Some(Some(power)) => SamplingPower::Fixed(power),
            Some(None) => SamplingPower::Adaptive,
        },
    };
    reconfiguration.check().map_err(|error| GROUP.error(error.to_string()))?;
    Ok(Optimizer::StochasticReconfiguration(reconfiguration))
}

/// Precision that `precision=` selects.
pub fn precision(settings: &Settings) -> Precision {
    settings.choice("precision", &PRECISIONS)
}

/// Steps of the warm-up of a run of `steps` steps.
///
/// # Errors
/// `ErrorKind::Settings` if it is longer than the run.
pub fn checked_warmup(settings: &Settings, steps: u64) -> Result<u64> {
    let warmup = settings.count("warmup");
    if warmup > steps {
        let text = format!("warmup={warmup} is longer than steps={steps}; give a shorter warmup");
        return Err(settings.group().error(text));
    }
    Ok(warmup)
}

/// Seed of a run. One that is drawn is written back into `settings`.
pub fn resolved_seed(settings: &mut Settings) -> u64 {
    let seed = settings.optional_count("seed").unwrap_or_else(draw_seed);
    settings.resolve("seed", Value::Count(seed));
    seed
}

/// Draws a seed below 2^16, short enough to type again, as in the reference code.
pub fn draw_seed() -> u64 {
    rand::random_range(0..1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(line: &str) -> Result<(TrainConfig, Settings)> {
        let mut settings = GROUP.parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>())?;
        config(&mut settings, None).map(|config| (config, settings))
    }

    #[test]
    fn the_defaults_are_those_of_the_reference() {
        let (config, settings) = config_of("").unwrap();
        assert_eq!((config.samples, config.learning_rate, config.schedule), (256, 5e-4, Schedule::Constant));
        assert_eq!((config.warmup, config.clip, config.unique, settings.count("steps")), (0, None, true, 50000));
    }

    #[test]
    fn samples_are_k_times_q_and_b_must_agree() {
        assert_eq!(config_of("K=32 Q=4").unwrap().0.samples, 128);
        assert_eq!(config_of("K=32 Q=4 B=128").unwrap().0.samples, 128);
        let message = |line| config_of(line).map(|_| ()).unwrap_err().to_string();
        assert!(message("B=512").contains("K=512"));
        assert!(message("K=1").contains("K=2"));
        assert!(message("K=16777216 Q=16777216").contains("at most"));
        assert!(message("optimizer=sr sampler=full_sum K=512").contains("leave K out"));
        assert_eq!(config_of("optimizer=sr sampler=full_sum").unwrap().0.sampling, Sampling::FullSum);
    }

    #[test]
    fn stochastic_reconfiguration_has_settings_of_its_own() {
        let (config, settings) = config_of("optimizer=sr").unwrap();
        let expected = StochasticReconfiguration { lambda_steps: 50000, ..StochasticReconfiguration::default() };
        assert_eq!(config.optimizer, Optimizer::StochasticReconfiguration(expected));
        assert_eq!((config.learning_rate, settings.optional_real("lr")), (0.05, Some(0.05)));
        let (config, _) =
            config_of("optimizer=sr lambda=0.01 lambda_end=1e-4 momentum=0.9 power=1 lr=0.1 steps=70").unwrap();
        let Optimizer::StochasticReconfiguration(settings) = config.optimizer else { panic!("{config:?}") };
        assert_eq!((settings.lambda, settings.lambda_end, settings.momentum), (0.01, 1e-4, 0.9));
        assert_eq!(settings.sampling_power, SamplingPower::Fixed(1.0));
        let power_of = |line: &str| config_of(line).unwrap().0.optimizer;
        let Optimizer::StochasticReconfiguration(adaptive) = power_of("optimizer=sr sampling_power=AUTO") else {
            panic!("optimizer=sr is stochastic reconfiguration")
        };
        assert_eq!(adaptive.sampling_power, SamplingPower::Adaptive);
        assert_eq!((settings.lambda_steps, config.learning_rate), (70, 0.1));
        let message = |line| config_of(line).map(|_| ()).unwrap_err().to_string();
        assert!(message("optimizer=sr lambda=0").contains("above 0"));
        assert!(message("optimizer=sr lambda=-1").contains("above 0"));
        assert!(message("optimizer=sr momentum=1").contains("0.9"));
        assert!(message("optimizer=sr K=1").contains("K=2"));
        assert!(
            message("optimizer=sr sampling_power=3").contains("at most 2")
                && message("power=1").contains("optimizer=sr")
        );
        assert!(message("momentum=0.9").contains("optimizer=sr"));
    }

    #[test]
    fn temperatures_are_annealed_to_zero() {
        let of = |line| {
            config_of(line).map(|(config, settings)| (config.annealing, settings.optional_count("temperature_steps")))
        };
        assert_eq!(of("steps=80").unwrap(), (Annealing::default(), None));
        assert_eq!(of("steps=80 temperature=2").unwrap(), (Annealing { start: 2.0, end: 0.0, steps: 60 }, Some(60)));
        let all = of("steps=80 temperature=0 temperature_end=1 temperature_steps=7 optimizer=sr").unwrap();
        assert_eq!(all, (Annealing { start: 0.0, end: 1.0, steps: 7 }, Some(7)));
        let message = |line| of(line).map(|_| ()).unwrap_err().to_string();
        assert!(message("temperature=-1").contains("at least 0"), "{}", message("temperature=-1"));
        assert!(message("temperature_end=1").contains("add temperature="));
        assert!(message("temperature_steps=5").contains("add temperature="));
    }

    #[test]
    fn schedules_span_the_run() {
        assert_eq!(config_of("steps=70 schedule=cosine").unwrap().0.schedule, Schedule::Cosine { steps: 70 });
        assert!(config_of("steps=70 warmup=71").map(|_| ()).unwrap_err().to_string().contains("shorter warmup"));
    }

    #[test]
    fn a_drawn_seed_is_written_down() {
        let (config, settings) = config_of("seed=None").unwrap();
        assert_eq!(settings.optional_count("seed"), Some(config.seed));
    }
}
