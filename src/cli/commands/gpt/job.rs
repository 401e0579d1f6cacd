//! Job of `ketformer gpt train` from its arguments or from a run folder.

use std::path::Path;

use ketformer::Result;
use ketformer::gpt::{GptConfig, LoadedGpt};
use ketformer::model::Weights;
use ketformer::run::{DATA_FILE, DataRecord, RunSettings, SETTINGS_FILE, TOKENIZER_FILE};
use ketformer::text::Tokenizer;

use super::data::Source;
use super::subject::GptRun;
use super::training::GptTraining;
use crate::cli::arguments::gpt::GptTrainArguments;
use crate::cli::groups::gpt::{self, GROUP, Task};
use crate::cli::output::progress::OutputStyle;
use crate::cli::settings::Settings;
use crate::cli::shell::quoted;
use crate::cli::training::{Job, RunLocation, resume};

/// Weights to start from, with their sizes, and the tokenizer of their run.
struct Start {
    gpt: GptConfig,
    weights: Weights,
    tokenizer: Option<Tokenizer>,
}

impl GptTraining {
    /// Checks the arguments of a new run, and reads its data and the weights to start from.
    ///
    /// # Errors
    /// `ErrorKind::Settings` for invalid or contradictory settings; errors of files and weights.
    pub fn job(arguments: &GptTrainArguments) -> Result<(Job<Self>, Option<Weights>)> {
        let mut settings = GROUP.parse(&arguments.settings)?;
        let task = Task::new(&mut settings)?;
        let location = RunLocation::new(arguments.out.as_deref(), &settings, arguments.output.tensorboard)?;
        let source = Source::load(&task, None)?;
        let start = arguments.weights.as_deref().map(|path| start(path, &settings)).transpose()?;
        let tokenizer = match start.as_ref().and_then(|start| start.tokenizer.clone()) {
            // A text of other characters is refused when it is encoded.
            Some(tokenizer) if !task.is_sort() && !settings.is_given("tokenizer") => tokenizer,
            _ => source.tokenizer(&task)?,
        };
        let sizes = start.as_ref().map(|start| &start.gpt);
        let training = of((&task, source), &mut settings, tokenizer, sizes, arguments)?;
        let command = command(&settings, arguments);
        Ok((job(training, location, settings, command, arguments), start.map(|start| start.weights)))
    }

    /// Job of the run in the folder `path`, with `changes` to its settings.
    ///
    /// # Errors
    /// `ErrorKind::Settings` for invalid or contradictory settings; `ErrorKind::File` if its data has changed.
    pub fn job_of_run(
        path: &Path,
        run: &RunSettings,
        changes: &[String],
        arguments: &GptTrainArguments,
    ) -> Result<Job<Self>> {
        let mut settings = GROUP.parse(&resume::changed_words(run, GROUP.name, changes))?;
        let task = Task::new(&mut settings)?;
        let record = (!task.is_sort()).then(|| DataRecord::load(&path.join(DATA_FILE))).transpose()?;
        let source = Source::load(&task, record.as_ref())?;
        let tokenizer = Tokenizer::load(path.join(TOKENIZER_FILE))?;
        let training = of((&task, source), &mut settings, tokenizer, None, arguments)?;
        Ok(job(training, RunLocation::At(path.into()), settings, run.command.clone(), arguments))
    }
}

/// Weights of a file or of the newest state of a run folder.
fn start(path: &Path, settings: &Settings) -> Result<Start> {
    if path.join(SETTINGS_FILE).is_file() {
        let GptRun { gpt, tokenizer, weights, .. } = GptRun::load(path, false)?;
        return Ok(Start { gpt, weights, tokenizer: Some(tokenizer) });
    }
    let heads = settings.optional_count("heads").map(|heads| heads as usize);
    let LoadedGpt { config, weights, .. } = LoadedGpt::load(path, heads)?;
    Ok(Start { gpt: config, weights, tokenizer: None })
}

fn of(
    (task, source): (&Task, Source),
    settings: &mut Settings,
    tokenizer: Tokenizer,
    weights: Option<&GptConfig>,
    arguments: &GptTrainArguments,
) -> Result<GptTraining> {
    let gpt = gpt::model(settings, task, tokenizer.vocabulary(), weights)?;
    let (config, batch) = gpt::config(settings, task, gpt.width, arguments.gpu.memory)?;
    let data = source.data(&tokenizer, batch, gpt.block, config.seed)?;
    Ok(GptTraining { gpt, config, data, tokenizer })
}

fn job(
    training: GptTraining,
    location: RunLocation,
    settings: Settings,
    command: String,
    arguments: &GptTrainArguments,
) -> Job<GptTraining> {
    let style = OutputStyle::new(arguments.output.json, arguments.gpu.quiet);
    Job::of(training, location, settings, command, (style, arguments.output.tensorboard))
}

/// Command that reproduces the run, with every setting spelled out. It writes into a new folder.
fn command(settings: &Settings, arguments: &GptTrainArguments) -> String {
    let mut words = vec!["ketformer".to_string(), "gpt".into(), "train".into()];
    words.extend(settings.resolved().map(|(name, value)| format!("{name}={value}")));
    words.extend(arguments.gpu.reproducing(arguments.weights.as_deref(), arguments.output.tensorboard));
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}
