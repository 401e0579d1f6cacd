//! Weights for `GPT2LMHeadModel` of Hugging Face's transformers: `model.safetensors` and `config.json`.

#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use serde_json::json;

use super::convert::transposed;
use super::names::{is_linear, parameter_shapes};
#[cfg(not(target_arch = "wasm32"))]
use super::{CONFIG_FILE, MODEL_FILE};
#[cfg(not(target_arch = "wasm32"))]
use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::embedding::sinusoidal;
use crate::gpt::{GptConfig, TokenPositions};
use crate::model::{Tensor, Weights};

/// Id of `<|endoftext|>` in the vocabulary of GPT-2, which is its last token.
const END_OF_TEXT: usize = 50256;

/// Table (T, C) of the sinusoidal positions.
fn sinusoids(config: &GptConfig) -> Tensor {
    let values = sinusoidal(config);
    Tensor { shape: vec![config.block, config.width], values }
}

/// Tensors of `model.safetensors`: GPT-2's names with `transformer.`, weights of linear layers as (inputs, outputs),
/// zeros for biases that the model does not have, and the table of sinusoidal positions as `wpe.weight`. An untied
/// projection is `lm_head.weight`.
///
/// # Errors
/// [`ErrorKind::Settings`] for rotary positions, which GPT-2 does not have; [`ErrorKind::Weights`] if the weights are not
/// those of `config`.
pub fn hugging_face_weights(config: &GptConfig, weights: &Weights) -> Result<Weights> {
    if config.position == TokenPositions::Rotary {
        let message = "position is rotary, the format GPT-2 has a table of positions; train with learned positions";
        return Err(Error::new(ErrorKind::Settings, message));
    }
    let mut file = Weights::default();
    let written = |name: &str| if name.starts_with("lm_head") { name.into() } else { format!("transformer.{name}") };
    let all = GptConfig { position: TokenPositions::Learned, bias: true, ..config.clone() };
    let own = parameter_shapes(config);
    for (name, shape) in parameter_shapes(&all) {
        let tensor = match own.iter().any(|(own, _)| *own == name) {
            true => checked(weights, &name, &shape)?.clone(),
            false if name == "wpe.weight" => sinusoids(config),
            false => Tensor { values: vec![0.0; shape[0]], shape },
        };
        let tensor = if is_linear(&name) { transposed(&tensor) } else { tensor };
        file.tensors.insert(written(&name), tensor);
    }
    if let Some(name) = weights.tensors.keys().find(|name| own.iter().all(|(own, _)| own != *name)) {
        let message =
            format!("the model has no parameter `{name}` that the weights hold; give the weights of this model");
        return Err(Error::new(ErrorKind::Weights, message));
    }
    Ok(file)
}

/// Writes `model.safetensors` with [`hugging_face_weights`] and `config.json` with [`hugging_face_config`] into `folder`,
/// which is created if it does not exist.
///
/// # Errors
/// As [`hugging_face_weights`]; [`ErrorKind::File`] if a file cannot be written.
#[cfg(not(target_arch = "wasm32"))]
pub fn save_hugging_face(folder: impl AsRef<Path>, config: &GptConfig, weights: &Weights) -> Result<()> {
    let folder = folder.as_ref();
    let file = hugging_face_weights(config, weights)?;
    std::fs::create_dir_all(folder).map_err(|e| {
        let message = format!("folder {} cannot be created; choose another folder", folder.display());
        Error::new(ErrorKind::File, message).caused_by(e)
    })?;
    file.save(folder.join(MODEL_FILE))?;
    let text = hugging_face_config(config);
    atomic_write::write(&folder.join(CONFIG_FILE), text.as_bytes(), ["weights", "choose another folder"])
}

/// The tensor called `name`, if it has this shape.
fn checked<'a>(weights: &'a Weights, name: &str, shape: &[usize]) -> Result<&'a Tensor> {
    let error = |message: String| Err(Error::new(ErrorKind::Weights, message));
    match weights.tensors.get(name) {
        None => error(format!("the weights have no tensor `{name}`; give the weights of this model")),
        Some(tensor) if tensor.shape != shape => error(format!(
            "tensor `{name}` has shape {:?}, the model needs {shape:?}; give the weights of this model",
            tensor.shape
        )),
        Some(tensor) => Ok(tensor),
    }
}

/// Text of `config.json`. Dropout, which a file of weights does not have, is off.
pub fn hugging_face_config(config: &GptConfig) -> String {
    let end = (config.vocabulary > END_OF_TEXT).then_some(END_OF_TEXT);
    let object = json!({
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocabulary,
        "n_positions": config.block,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_inner": config.feed_forward,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": true,
        "scale_attn_by_inverse_layer_idx": false,
        "tie_word_embeddings": config.tied,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": end,
        "eos_token_id": end,
        "torch_dtype": "float32",
    });
    format!("{object:#}\n")
}
