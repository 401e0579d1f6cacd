//! Files of the weights of a GPT in a run folder.

use std::path::Path;

use ketformer::Result;
use ketformer::gpt::{GptConfig, LoadedGpt, TokenPositions, hugging_face_config, hugging_face_weights};
use ketformer::model::Weights;

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

/// Text of `config.json` for Hugging Face's GPT-2; `None` if it has no such GPT.
pub fn described(gpt: &GptConfig) -> Option<String> {
    is_exchanged(gpt).then(|| hugging_face_config(gpt))
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
