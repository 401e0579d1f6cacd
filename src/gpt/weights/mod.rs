//! Weights of GPTs in the formats of other programs.
//!
//! | format | names | weights of linear layers | heads |
//! |---|---|---|---|
//! | safetensors of Hugging Face's GPT-2 | `h.N.…`, with or without `transformer.` | (inputs, outputs) | `config.json` in the same folder |
//! | safetensors of nanoGPT | `transformer.h.N.…`, with or without `_orig_mod.` | (outputs, inputs) | given |
//! | JSON of minGPT, as in the LLM Visualization | `transformer.h.N.…` | (outputs, inputs) | in the file |
//!
//! The orientation follows from the shape of `h.0.attn.c_attn.weight`. Causal masks (`attn.bias`, `attn.masked_bias`) are
//! left out. The projection to the vocabulary is tied if `lm_head.weight` is absent or equal to `wte.weight`.

mod convert;
mod declared;
mod hugging_face;
mod min_gpt;
mod names;

use std::path::Path;

use self::declared::Declared;
use super::GptConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LoadedWeights, Weights};

#[cfg(not(target_arch = "wasm32"))]
pub use hugging_face::save_hugging_face;
pub use hugging_face::{hugging_face_config, hugging_face_weights};

/// Name of the file of weights in a folder.
const MODEL_FILE: &str = "model.safetensors";
/// Name of the file of sizes in a folder.
const CONFIG_FILE: &str = "config.json";
/// Remedy in messages.
const SOURCES: &str = "weights of GPT-2, nanoGPT or minGPT";

/// Weights of a GPT from a file, with its sizes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LoadedGpt {
    /// Sizes and options, as far as they follow from the file.
    pub config: GptConfig,
    /// The weights under nanoGPT's names without `transformer.`; those of linear layers are (outputs, inputs).
    pub weights: Weights,
    /// Names of tensors that were left out: causal masks, integers and truth values.
    pub left_out: Vec<String>,
}

impl LoadedGpt {
    /// Reads a file of any of the formats, or `model.safetensors` of a folder. `heads` is the number of heads H, which
    /// safetensors files do not contain; `config.json` in the same folder declares it too.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if a file cannot be read; [`ErrorKind::Weights`] if it is truncated, of another format, a
    /// tensor is missing, unknown, of another shape or not finite, sizes differ from those of `config.json`, or the
    /// number of heads is unknown.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(path: impl AsRef<Path>, heads: Option<usize>) -> Result<Self> {
        let path = path.as_ref();
        let path = if path.is_dir() { &path.join(MODEL_FILE) } else { path };
        let bytes = std::fs::read(path).map_err(|e| {
            let file = path.display();
            let message = format!("weights {file} cannot be read; give the path of a .safetensors or .json file");
            Error::new(ErrorKind::File, message).caused_by(e)
        })?;
        let config = path.with_file_name(CONFIG_FILE);
        let text = match std::fs::read_to_string(&config) {
            _ if min_gpt::is_json(&bytes) => None,
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => {
                let message = format!("{} cannot be read; check its permissions, or remove it", config.display());
                return Err(Error::new(ErrorKind::File, message).caused_by(e));
            }
        };
        let config = text.as_deref().map(|text| (config.as_path(), text));
        Self::from_bytes(path, &bytes, config, heads)
    }

    /// Reads `bytes`, the contents of a file as of `LoadedGpt::load`, with name and text of the `config.json` that
    /// belongs to a safetensors file. Errors name the file by `name`.
    ///
    /// # Errors
    /// As `LoadedGpt::load`.
    pub fn from_bytes(
        name: impl AsRef<Path>,
        bytes: &[u8],
        config: Option<(&Path, &str)>,
        heads: Option<usize>,
    ) -> Result<Self> {
        let path = name.as_ref();
        let file = path.display().to_string();
        let (loaded, declared) = match min_gpt::is_json(bytes) {
            true => min_gpt::parse(&file, bytes)?,
            false => {
                let of_config = |(name, text): (&Path, &str)| Declared::of_config(&name.display().to_string(), text);
                let declared = config.map(of_config).transpose()?.unwrap_or_default();
                (LoadedWeights::from_bytes(path, bytes)?, declared)
            }
        };
        convert::convert(&file, loaded, &declared, heads)
    }
}

/// Tensors of a file of the LLM Visualization, for tests.
#[cfg(test)]
pub(super) fn tensors_of_json(path: &Path) -> Result<std::collections::BTreeMap<String, crate::model::Tensor>> {
    let bytes = std::fs::read(path).expect("the file can be read");
    Ok(min_gpt::parse(&path.display().to_string(), &bytes)?.0.weights.tensors)
}

#[cfg(test)]
mod tests;
