//! Tensors of a file as the weights of a GPT: names, orientation, sizes, checks.

use std::collections::{BTreeMap, BTreeSet};

use super::declared::Declared;
use super::names::{is_linear, parameter_shapes};
use super::{LoadedGpt, SOURCES};
use crate::error::{Error, ErrorKind, Result};
use crate::gpt::{GptConfig, TokenPositions};
use crate::model::{LoadedWeights, Tensor, Weights};

/// Causal masks, which GPT-2 and minGPT store with the parameters.
const BUFFERS: [&str; 2] = ["attn.bias", "attn.masked_bias"];

/// Layer of a tensor of a block and the rest of its name: `h.N.rest`.
fn of_layer(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("h.")?.split_once('.').filter(|(layer, _)| layer.parse::<u32>().is_ok())
}

fn is_buffer(name: &str) -> bool {
    of_layer(name).is_some_and(|(_, rest)| BUFFERS.contains(&rest))
}

/// Tensor with rows and columns exchanged.
pub(super) fn transposed(tensor: &Tensor) -> Tensor {
    let [rows, columns] = [tensor.shape[0], tensor.shape[1]];
    let values = (0..columns).flat_map(|c| (0..rows).map(move |r| tensor.values[r * columns + c])).collect();
    Tensor { shape: vec![columns, rows], values }
}

/// Tensors of the file called `file` in messages.
struct Source<'a> {
    file: &'a str,
    tensors: BTreeMap<String, Tensor>,
    left_out: Vec<(String, String)>,
}

impl Source<'_> {
    fn error(&self, message: String) -> Error {
        Error::new(ErrorKind::Weights, format!("weights {}: {message}", self.file))
    }

    /// The tensor called `name`.
    fn tensor(&self, name: &str) -> Result<&Tensor> {
        if let Some(tensor) = self.tensors.get(name) {
            return Ok(tensor);
        }
        Err(self.error(match self.left_out.iter().find(|(other, _)| other == name) {
            Some((_, dtype)) => format!("tensor `{name}` is {dtype}, expected floats; convert it to F32"),
            None => format!("there is no tensor `{name}`; use {SOURCES}"),
        }))
    }

    /// Rows and columns of the matrix called `name`.
    fn matrix(&self, name: &str) -> Result<[usize; 2]> {
        match self.tensor(name)?.shape[..] {
            [rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
            ref shape => {
                Err(self.error(format!("tensor `{name}` has shape {shape:?}, expected a matrix; use {SOURCES}")))
            }
        }
    }

    /// Whether the linear layers are stored as (inputs, outputs). Decided once, by the only layer that always shows it:
    /// the projection of the attention is square.
    fn is_transposed(&self, width: usize) -> Result<bool> {
        let name = "h.0.attn.c_attn.weight";
        match self.matrix(name)? {
            [rows, columns] if [rows, columns] == [3 * width, width] => Ok(false),
            [rows, columns] if [rows, columns] == [width, 3 * width] => Ok(true),
            found => {
                let expected = format!("{:?} or {:?}", [3 * width, width], [width, 3 * width]);
                Err(self.error(format!("tensor `{name}` has shape {found:?}, expected {expected}; use {SOURCES}")))
            }
        }
    }

    /// Whether the projection to the vocabulary is the token embedding.
    fn is_tied(&self, declared: &Declared) -> Result<bool> {
        let embedding = self.tensor("wte.weight")?;
        let origin = &declared.origin;
        match (self.tensors.get("lm_head.weight"), declared.tied) {
            (None, Some(false)) => {
                let message = "there is no tensor `lm_head.weight`, and";
                Err(self
                    .error(format!("{message} {origin} declares tie_word_embeddings false; use files of one model")))
            }
            (Some(head), Some(true)) if head != embedding => {
                let message = "tensor `lm_head.weight` is not `wte.weight`, and";
                Err(self.error(format!("{message} {origin} declares tie_word_embeddings true; use files of one model")))
            }
            (head, _) => Ok(head.is_none_or(|head| head == embedding)),
        }
    }

    /// Number of heads: the declared one or the given one.
    fn heads(&self, declared: &Declared, given: Option<usize>, width: usize) -> Result<usize> {
        let heads = match (declared.heads, given) {
            (Some(declared), Some(given)) if declared != given => {
                return Err(self.error(format!("heads is {given}, and the model has {declared}; omit it")));
            }
            (Some(heads), _) | (None, Some(heads)) => heads,
            (None, None) => {
                let remedy = "give heads, or put the model's config.json next to the file";
                return Err(self.error(format!("the number of heads is not in the file; {remedy}")));
            }
        };
        match heads > 0 && width.is_multiple_of(heads) {
            true => Ok(heads),
            false => Err(self.error(format!("heads is {heads}, expected a divisor of the width {width}; correct it"))),
        }
    }
}

/// The weights of a GPT from tensors under the names of GPT-2, nanoGPT or minGPT, with or without `transformer.`.
///
/// # Errors
/// [`ErrorKind::Weights`] if a tensor is missing, unknown, of another shape or not finite, the sizes differ from the
/// declared ones, or the number of heads is unknown.
pub(super) fn convert(
    file: &str,
    loaded: LoadedWeights,
    declared: &Declared,
    heads: Option<usize>,
) -> Result<LoadedGpt> {
    let own = |name: &str| name.strip_prefix("transformer.").unwrap_or(name).to_string();
    let left_out = loaded.left_out.iter().map(|(name, dtype)| (own(name), dtype.clone())).collect();
    let mut source = Source { file, tensors: BTreeMap::new(), left_out };
    let mut masks = Vec::new();
    for (name, tensor) in loaded.weights.tensors {
        let name = own(&name);
        if is_buffer(&name) {
            masks.push(name);
        } else if source.tensors.insert(name.clone(), tensor).is_some() {
            return Err(source.error(format!("it holds both `{name}` and `transformer.{name}`; keep one of them")));
        }
    }

    let [vocabulary, width] = source.matrix("wte.weight")?;
    let is_transposed = source.is_transposed(width)?;
    let [rows, columns] = source.matrix("h.0.mlp.c_fc.weight")?;
    let config = GptConfig {
        vocabulary,
        width,
        block: source.matrix("wpe.weight")?[0],
        heads: source.heads(declared, heads, width)?,
        layers: source.tensors.keys().filter_map(|name| Some(of_layer(name)?.0)).collect::<BTreeSet<_>>().len(),
        feed_forward: if is_transposed { columns } else { rows },
        position: TokenPositions::Learned,
        bias: source.tensors.keys().any(|name| name.ends_with(".bias")),
        tied: source.is_tied(declared)?,
    };
    declared.check(&Declared {
        layers: Some(config.layers),
        width: Some(width),
        vocabulary: Some(vocabulary),
        block: Some(config.block),
        feed_forward: Some(config.feed_forward),
        ..Declared::default()
    })?;

    let mut weights = Weights::default();
    for (name, shape) in parameter_shapes(&config) {
        let tensor = source.tensor(&name)?;
        let turned = is_transposed && is_linear(&name);
        let expected: Vec<usize> = if turned { shape.iter().rev().copied().collect() } else { shape };
        if tensor.shape != expected {
            let found = &tensor.shape;
            let message = format!("tensor `{name}` has shape {found:?}, expected {expected:?}; use {SOURCES}");
            return Err(source.error(message));
        }
        if tensor.values.iter().any(|value| !value.is_finite()) {
            return Err(source.error(format!("tensor `{name}` holds numbers that are not finite; use other weights")));
        }
        let tensor = if turned { transposed(tensor) } else { tensor.clone() };
        weights.tensors.insert(name, tensor);
    }
    // A tied projection is a copy of the embedding.
    let is_known = |name: &String| weights.tensors.contains_key(name) || name == "lm_head.weight";
    if let Some(name) = source.tensors.keys().find(|name| !is_known(name)) {
        return Err(source.error(format!("tensor `{name}` is not one of a GPT-2; use {SOURCES}")));
    }
    let left_out = masks.into_iter().chain(source.left_out.into_iter().map(|(name, _)| name)).collect();
    Ok(LoadedGpt { config, weights, left_out })
}
