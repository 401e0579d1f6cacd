//! JSON of minGPT's state_dict, the format of the LLM Visualization (<https://github.com/bbycroft/llm-viz>): `config`,
//! and for each tensor its `shape`, `dtype` and `data`, little-endian f32 in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::SOURCES;
use super::declared::Declared;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LoadedWeights, Tensor};

/// A tensor of the file.
#[derive(Deserialize)]
struct Encoded {
    shape: Vec<usize>,
    dtype: String,
    data: String,
}

/// Whether `bytes` are those of a JSON object. The first eight bytes of a safetensors file are the length of its header,
/// which leaves zeros.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    first == Some(&b'{') && !bytes.iter().take(8).any(|byte| *byte == 0)
}

/// Tensors and sizes of the file called `file` in messages.
///
/// # Errors
/// [`ErrorKind::Weights`] if it is truncated or not of this format.
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<(LoadedWeights, Declared)> {
    let error = |message: String| Error::new(ErrorKind::Weights, format!("weights {file}: {message}"));
    let incomplete = |e| error("it is not a complete JSON object; get the file again".into()).caused_by(e);
    let mut object: Map<String, Value> = serde_json::from_slice(bytes).map_err(incomplete)?;
    let Some(Value::Object(config)) = object.remove("config") else {
        return Err(error(format!("it has no object `config`; use {SOURCES}")));
    };
    let mut loaded = LoadedWeights::default();
    for (name, value) in object {
        let expected = |e| error(format!("`{name}` must have shape, dtype and data; use {SOURCES}")).caused_by(e);
        let Encoded { shape, dtype, data } = serde_json::from_value(value).map_err(expected)?;
        if dtype != "torch.float32" {
            return Err(error(format!("tensor `{name}` is {dtype}, expected torch.float32; convert it")));
        }
        let damaged = |e| error(format!("data of tensor `{name}` is not base64; get the file again")).caused_by(e);
        let bytes = STANDARD.decode(data).map_err(damaged)?;
        let needed = shape.iter().try_fold(4usize, |product, size| product.checked_mul(*size));
        if needed != Some(bytes.len()) {
            let found = bytes.len();
            let message = format!("tensor `{name}` of shape {shape:?} has {found} bytes of data; get the file again");
            return Err(error(message));
        }
        let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        loaded.weights.tensors.insert(name, Tensor { shape, values });
    }
    Ok((loaded, Declared::parse(&config, format!("weights {file}: `config`"))?))
}
