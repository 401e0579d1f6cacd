//! Files of the weights of a GPT in a run folder.

use std::path::Path;

use ketformer::Result;
use ketformer::gpt::{GptConfig, LoadedGpt, TokenPositions, hugging_face_config, hugging_face_weights};
use ketformer::model::Weights;
use ketformer::run::{CONFIG_FILE, DATA_FILE, DataRecord, RunFolder, TOKENIZER_FILE, save_text};
use ketformer::text::Tokenizer;

/// Whether other programs have such a GPT. If not, a file has the parameters as they are.
fn is_exchanged(gpt: &GptConfig) -> bool {
    gpt.position != TokenPositions::Rotary
}

/// Tensors of a file of weights: those of Hugging Face's GPT-2 if it has such a GPT.
///
/// # Errors
/// `ErrorKind::Weights` if they do not fit.
pub fn exported(gpt: &GptConfig, weights: &Weights) -> Result<Weights> {
    if is_exchanged(gpt) { hugging_face_weights(gpt, weights) } else { Ok(weights.clone()) }
}

/// Writes the files that describe a GPT and its data: the tokenizer, `config.json` if Hugging Face's GPT-2 can be such a
/// GPT, and the record of the data.
///
/// # Errors
/// Errors of files.
pub fn describe(folder: &RunFolder, gpt: &GptConfig, tokenizer: &Tokenizer, data: Option<&DataRecord>) -> Result<()> {
    tokenizer.save(folder.file(TOKENIZER_FILE))?;
    if is_exchanged(gpt) {
        save_text(&folder.file(CONFIG_FILE), &hugging_face_config(gpt))?;
    }
    data.map_or(Ok(()), |record| record.save(&folder.file(DATA_FILE)))
}

/// Reads a file of [`exported`] weights.
///
/// # Errors
/// Errors of files; `ErrorKind::Weights` if they do not fit.
pub fn imported(path: &Path, gpt: &GptConfig) -> Result<Weights> {
    let weights = match is_exchanged(gpt) {
        true => {
            let mut weights = LoadedGpt::load(path, Some(gpt.heads))?.weights;
            // A file also has the parameters that a GPT of these options lacks.
            let own = gpt.initial(0);
            weights.tensors.retain(|name, _| own.tensors.contains_key(name));
            weights
        }
        false => Weights::load(path)?,
    };
    gpt.check_weights(&weights)?;
    Ok(weights)
}
