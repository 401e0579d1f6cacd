//! Job of `ketformer gpt tune` from its arguments or from a run folder.

use std::path::Path;

use ketformer::Result;
use ketformer::model::Weights;
use ketformer::run::{DATA_FILE, DataRecord, RunSettings, START_FILE};
use ketformer::text::{BuiltInReward, RewardDescription, Tokenizer};

use super::super::data::{Data, Source};
use super::super::files;
use super::super::subject::{GptModel, GptRun, the_run};
use super::prompts::PromptSource;
use super::training::TuneTraining;
use crate::cli::arguments::gpt::GptTuneArguments;
use crate::cli::groups::gpt::Task;
use crate::cli::groups::gpt::tune::{GROUP, config};
use crate::cli::output;
use crate::cli::output::progress::OutputStyle;
use crate::cli::settings::{Settings, Value};
use crate::cli::shell::quoted;
use crate::cli::training::{Job, RunLocation, resume};

impl TuneTraining {
    /// Checks the arguments of a new run, and reads the run that it starts from.
    ///
    /// # Errors
    /// `ErrorKind::Settings` for invalid or contradictory settings; errors of files and weights.
    pub fn job(words: &[String], runs: &[String], arguments: &GptTuneArguments) -> Result<Job<Self>> {
        let mut settings = GROUP.parse(words)?;
        let reward = reward(&settings)?;
        let folder = the_run(["gpt tune", "tune"], runs)?;
        let location = RunLocation::new(arguments.out.as_deref(), &settings, arguments.output.tensorboard)?;
        let best = settings.text("weights") == "best";
        let GptRun { gpt, tokenizer, weights, origin, record, settings: trained, task } = GptRun::load(folder, best)?;
        if !arguments.gpu.quiet && !best && !origin.is_final() {
            output::note(&format!("{}: {}", folder.display(), origin.described()));
        }
        let model = GptModel { gpt, tokenizer, record, settings: trained, task };
        let training = of(folder, model, weights, reward, &mut settings, arguments)?;
        let command = command(folder, &settings, arguments);
        Ok(job(training, location, settings, command, arguments))
    }

    /// Job of the run in the folder `path`, with `changes` to its settings.
    ///
    /// # Errors
    /// `ErrorKind::Settings` for invalid or contradictory settings; errors of files and weights.
    pub fn job_of_run(
        path: &Path,
        run: &RunSettings,
        changes: &[String],
        arguments: &GptTuneArguments,
    ) -> Result<Job<Self>> {
        let mut settings = GROUP.parse(&resume::changed_words(run, GROUP.name, changes))?;
        let reward = reward(&settings)?;
        let model = GptModel::load(path)?;
        let start = files::imported(&path.join(START_FILE), &model.gpt)?;
        let training = of(path, model, start, reward, &mut settings, arguments)?;
        Ok(job(training, RunLocation::At(path.into()), settings, run.command.clone(), arguments))
    }
}

/// Reward of the settings.
fn reward(settings: &Settings) -> Result<(String, RewardDescription)> {
    let Some(text) = settings.optional_text("reward") else {
        return Err(GROUP.error("nothing to maximize; give reward=sorted, count:PATTERN, length or command:PROGRAM"));
    };
    Ok((text.into(), text.parse().map_err(|error| GROUP.error(error))?))
}

/// Training of the GPT of the run in `folder` from the weights `start`. Writes defaults back into `settings`.
fn of(
    folder: &Path,
    model: GptModel,
    start: Weights,
    reward: (String, RewardDescription),
    settings: &mut Settings,
    arguments: &GptTuneArguments,
) -> Result<TuneTraining> {
    let GptModel { gpt, tokenizer, record: run, task, .. } = model;
    let config = config(settings, arguments.gpu.memory)?;
    let given = settings.optional_text("prompt").map(|text| tokenizer.encode(text)).transpose();
    let given = given.map_err(|error| GROUP.error(format!("prompt: {error}")))?;
    // The last token is not an input.
    let room = gpt.block + 1;
    let default = match (&given, &task) {
        (Some(prompt), Task::Sort { .. }) => prompt.len(),
        (None, Task::Sort { length, .. }) => *length,
        (_, Task::Text { .. }) => (gpt.block / 2).max(1),
    };
    let new_tokens = settings.optional_count("tokens").map_or(default, |tokens| tokens as usize);
    settings.resolve("tokens", Value::Count(new_tokens as u64));
    let prompt_tokens = match (&given, &task) {
        (Some(prompt), _) => prompt.len(),
        (None, Task::Sort { length, .. }) => *length,
        (None, Task::Text { .. }) => gpt.block.saturating_sub(new_tokens).max(1),
    };
    if prompt_tokens + new_tokens > room {
        return Err(GROUP.error(format!(
            "a prompt of {prompt_tokens} tokens and tokens={new_tokens} are more than the block of {} has room for, \
             {room}; give a shorter prompt or fewer tokens",
            gpt.block
        )));
    }
    check_reward(&reward.1, &task, &tokenizer, [prompt_tokens, new_tokens])?;
    let record = (!task.is_sort()).then(|| DataRecord::load(&folder.join(DATA_FILE))).transpose()?;
    let samples = settings.size("samples");
    let prompts = match given {
        Some(prompt) => PromptSource::Given { prompt, samples },
        None => match Source::load(&task, record.as_ref())?.data(&tokenizer, samples, prompt_tokens, config.seed)? {
            Data::Text { windows, .. } => PromptSource::Text(windows),
            Data::Sort(sorting) => PromptSource::Words(sorting),
        },
    };
    let trained = run.group(RunSettings::GPT).cloned().unwrap_or_default();
    let beta = settings.real("beta");
    Ok(TuneTraining { gpt, config, start, tokenizer, trained, record, prompts, new_tokens, beta, reward })
}

/// Checks that continuations can have different rewards.
fn check_reward(
    reward: &RewardDescription,
    task: &Task,
    tokenizer: &Tokenizer,
    [prompt_tokens, new_tokens]: [usize; 2],
) -> Result<()> {
    match reward {
        RewardDescription::BuiltIn(BuiltInReward::Sorted) if !task.is_sort() => {
            let others = "count:PATTERN, length or command:PROGRAM";
            Err(GROUP
                .error(format!("reward=sorted is for runs of task=sort, and this one learned a text; give {others}")))
        }
        RewardDescription::BuiltIn(BuiltInReward::Sorted) if prompt_tokens != new_tokens => Err(GROUP.error(format!(
            "tokens={new_tokens} cannot be the {prompt_tokens} sorted letters of the prompt; leave tokens out"
        ))),
        RewardDescription::BuiltIn(BuiltInReward::Count(pattern)) => {
            tokenizer.encode(pattern).map(|_| ()).map_err(|error| GROUP.error(format!("reward: {error}")))
        }
        _ => Ok(()),
    }
}

fn job(
    training: TuneTraining,
    location: RunLocation,
    settings: Settings,
    command: String,
    arguments: &GptTuneArguments,
) -> Job<TuneTraining> {
    let style = OutputStyle::new(arguments.output.json, arguments.gpu.quiet);
    Job::of(training, location, settings, command, (style, arguments.output.tensorboard))
}

/// Command that reproduces the run, with every setting spelled out. It writes into a new folder.
fn command(folder: &Path, settings: &Settings, arguments: &GptTuneArguments) -> String {
    let mut words = vec!["ketformer".to_string(), "gpt".into(), "tune".into(), folder.display().to_string()];
    words.extend(settings.resolved().map(|(name, value)| format!("{name}={value}")));
    words.extend(arguments.gpu.reproducing(None, arguments.output.tensorboard));
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}
