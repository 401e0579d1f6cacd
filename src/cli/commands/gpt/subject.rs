//! Subject of a command: a GPT with its tokenizer and weights, from a run folder or from a file of weights.

use std::path::Path;

use ketformer::gpt::{GptConfig, LoadedGpt};
use ketformer::model::Weights;
use ketformer::run::{BEST_FILE, RunFolder, RunSettings, TOKENIZER_FILE, WeightsOrigin, newest_weights_by};
use ketformer::text::Tokenizer;
use ketformer::{Error, ErrorKind, Result};

use super::files;
use crate::cli::groups::gpt::{GROUP, Task, model};
use crate::cli::settings::Settings;
use crate::cli::settings::typed::words;
use crate::cli::{output, run_settings};

/// Number of tokens of the byte-pair encoding of GPT-2, and with the padding of nanoGPT.
const BPE_TOKENS: [usize; 2] = [50_257, 50_304];

/// GPT with its tokenizer and weights.
pub struct GptSubject {
    /// Sizes and options.
    pub gpt: GptConfig,
    /// Tokenizer.
    pub tokenizer: Tokenizer,
    /// Weights.
    pub weights: Weights,
}

/// GPT of a run without its weights.
pub struct GptModel {
    /// Sizes and options.
    pub gpt: GptConfig,
    /// Tokenizer.
    pub tokenizer: Tokenizer,
    /// Record of the run.
    pub record: RunSettings,
    /// Settings of its group.
    pub settings: Settings,
    /// What it learns.
    pub task: Task,
}

impl GptModel {
    /// Reads the settings and the tokenizer of the run in a folder.
    ///
    /// # Errors
    /// Errors of files and settings.
    pub fn load(folder: &Path) -> Result<Self> {
        let record = run_settings::load_gpt(folder)?;
        let mut settings = GROUP.parse(&record.group(RunSettings::GPT).map(words).unwrap_or_default())?;
        let task = Task::new(&mut settings)?;
        let tokenizer = Tokenizer::load(folder.join(TOKENIZER_FILE))?;
        let gpt = model(&mut settings, &task, tokenizer.vocabulary(), None)?;
        Ok(Self { gpt, tokenizer, record, settings, task })
    }
}

/// Run of a GPT.
pub struct GptRun {
    /// Sizes and options.
    pub gpt: GptConfig,
    /// Tokenizer.
    pub tokenizer: Tokenizer,
    /// Weights.
    pub weights: Weights,
    /// Where the weights come from.
    pub origin: WeightsOrigin,
    /// Record of the run.
    pub record: RunSettings,
    /// Settings of its group.
    pub settings: Settings,
    /// What it learns.
    pub task: Task,
}

impl GptRun {
    /// Reads the run in a folder with its newest weights, or with those of the lowest loss of held-out data. Warns about
    /// damaged and old files.
    ///
    /// # Errors
    /// Errors of files, settings and weights.
    pub fn load(folder: &Path, best: bool) -> Result<Self> {
        let GptModel { gpt, tokenizer, record, settings, task } = GptModel::load(folder)?;
        let (weights, step) = if best {
            let path = folder.join(BEST_FILE);
            if !path.exists() {
                let text = format!(
                    "{} has no {BEST_FILE}, because held-out data was not evaluated yet; give weights=last",
                    folder.display()
                );
                return Err(Error::new(ErrorKind::File, text));
            }
            (files::imported(&path, &gpt)?, None)
        } else {
            let newest = newest_weights_by(folder, |path| files::imported(path, &gpt))?;
            newest.warnings.iter().for_each(|warning| output::warning(warning));
            gpt.check_weights(&newest.weights)?;
            (newest.weights, newest.step)
        };
        let origin = WeightsOrigin { step, state: RunFolder::state(folder, record.ended) };
        Ok(Self { gpt, tokenizer, weights, origin, record, settings, task })
    }
}

/// Returns the only run folder among the arguments of `command`. `does` is its verb, such as "evaluate".
///
/// # Errors
/// `ErrorKind::Settings` if there is none or more than one.
pub fn the_run<'a>([command, does]: [&str; 2], runs: &'a [String]) -> Result<&'a Path> {
    let fault = |text: String| Err(Error::new(ErrorKind::Settings, format!("{command}: {text}")));
    match runs {
        [run] => Ok(Path::new(run)),
        [] => fault(format!("nothing to {does}; give a run folder, such as out/1")),
        _ => fault(format!("more than one run folder is given; {does} them one by one")),
    }
}

/// Weights of a file with a tokenizer: the byte-pair encoding of GPT-2 for its vocabulary, letters for the vocabulary of
/// the sorting task, or the characters of a text.
fn of_file(path: &Path, settings: &Settings) -> Result<GptSubject> {
    let heads = settings.optional_count("heads").map(|heads| heads as usize);
    let LoadedGpt { config: gpt, weights, .. } = LoadedGpt::load(path, heads)?;
    let tokenizer = match gpt.vocabulary {
        vocabulary if BPE_TOKENS.contains(&vocabulary) => Tokenizer::bpe()?,
        vocabulary @ 1..=26 => Tokenizer::letters(vocabulary)?,
        vocabulary => {
            let text = format!(
                "weights {}: their {vocabulary} tokens are neither those of GPT-2 nor letters, so that texts cannot be \
                 encoded; begin a run from them with `ketformer gpt train data=FILE --weights {0}`",
                path.display()
            );
            return Err(Error::new(ErrorKind::Settings, text));
        }
    };
    Ok(GptSubject { gpt, tokenizer, weights })
}

/// Returns the GPT of a run folder or of a file of weights. `does` is the verb of the command, such as "sample". Notes
/// which weights of a run are used, unless they are the final ones.
///
/// # Errors
/// `ErrorKind::Settings` if none or both are given; errors of files and weights.
pub fn subject(
    [command, does]: [&str; 2],
    weights: Option<&Path>,
    runs: &[String],
    settings: &Settings,
    quiet: bool,
) -> Result<GptSubject> {
    let fault = |text: String| Err(Error::new(ErrorKind::Settings, format!("{command}: {text}")));
    match (runs, weights) {
        ([], None) => fault(format!("nothing to {does}; give a run folder, such as out/1, or --weights FILE")),
        ([], Some(path)) => of_file(path, settings),
        ([_], Some(_)) => fault("a run folder and --weights are both given; keep one of them".into()),
        ([_], None) if settings.optional_count("heads").is_some() => {
            fault("the run folder has the number of heads; leave heads out".into())
        }
        ([run], None) => {
            let best = settings.text("weights") == "best";
            let GptRun { gpt, tokenizer, weights, origin, .. } = GptRun::load(Path::new(run), best)?;
            if !quiet && !best && !origin.is_final() {
                output::note(&format!("{run}: {}", origin.described()));
            }
            Ok(GptSubject { gpt, tokenizer, weights })
        }
        _ => fault(format!("more than one run folder is given; {does} them one by one")),
    }
}
