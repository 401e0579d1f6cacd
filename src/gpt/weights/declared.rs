//! Sizes that a file of settings declares: `config.json` of Hugging Face, `config` of minGPT.

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};

/// Settings of GPT-2 that change its mathematics, with the values that [`GptConfig`](crate::gpt::GptConfig) stands for.
const FIXED: [(&str, &[&str]); 4] = [
    ("activation_function", &["\"gelu_new\"", "\"gelu_pytorch_tanh\"", "\"gelu_fast\""]),
    ("layer_norm_epsilon", &["1e-5"]),
    ("scale_attn_weights", &["true"]),
    ("scale_attn_by_inverse_layer_idx", &["false"]),
];

/// Sizes that were declared; the rest is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Declared {
    /// What declares them, for messages.
    pub(super) origin: String,
    pub(super) heads: Option<usize>,
    pub(super) layers: Option<usize>,
    pub(super) width: Option<usize>,
    pub(super) vocabulary: Option<usize>,
    pub(super) block: Option<usize>,
    pub(super) feed_forward: Option<usize>,
    pub(super) tied: Option<bool>,
}

impl Declared {
    /// Reads `text`, the contents of a `config.json` of Hugging Face, which messages name `shown`.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it is not that of a GPT-2.
    pub(super) fn of_config(shown: &str, text: &str) -> Result<Self> {
        let object: Map<String, Value> = serde_json::from_str(text).map_err(|e| {
            let message = format!("{shown} is not a complete JSON object; get the file again");
            Error::new(ErrorKind::Weights, message).caused_by(e)
        })?;
        match object.get("model_type") {
            None => {}
            Some(Value::String(name)) if name == "gpt2" => {}
            Some(other) => {
                let message =
                    format!("{shown} describes a model of type {other}, expected \"gpt2\"; use other weights");
                return Err(Error::new(ErrorKind::Weights, message));
            }
        }
        Self::parse(&object, shown.into())
    }

    /// Reads the settings of an object, which messages name `origin`.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if a size is not a whole number above 0, or a setting has an unsupported value.
    pub(super) fn parse(object: &Map<String, Value>, origin: String) -> Result<Self> {
        let error = |message: String| Error::new(ErrorKind::Weights, message);
        let present = |key: &str| object.get(key).filter(|value| !value.is_null());
        for (key, allowed) in FIXED {
            let is_allowed =
                |value: &Value| allowed.iter().any(|text| serde_json::from_str(text).is_ok_and(|a: Value| a == *value));
            if let Some(value) = present(key).filter(|value| !is_allowed(value)) {
                let expected = allowed[0];
                return Err(error(format!("{origin}: `{key}` is {value}, expected {expected}; use other weights")));
            }
        }
        let size = |key: &str| match present(key) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0) {
                None => {
                    Err(error(format!("{origin}: `{key}` is {value}, expected a whole number above 0; correct it")))
                }
                size => Ok(size),
            },
        };
        let tied = match present("tie_word_embeddings") {
            None => None,
            Some(Value::Bool(tied)) => Some(*tied),
            Some(value) => {
                let message = format!("{origin}: `tie_word_embeddings` is {value}, expected true or false; correct it");
                return Err(error(message));
            }
        };
        Ok(Self {
            heads: size("n_head")?,
            layers: size("n_layer")?,
            width: size("n_embd")?,
            vocabulary: size("vocab_size")?,
            block: size("n_positions")?.or(size("block_size")?),
            feed_forward: size("n_inner")?,
            tied,
            origin,
        })
    }

    /// Compares the declared sizes with those of the tensors.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] for the first one that differs.
    pub(super) fn check(&self, found: &Self) -> Result<()> {
        let sizes = [
            ("layers", self.layers, found.layers),
            ("width", self.width, found.width),
            ("vocabulary", self.vocabulary, found.vocabulary),
            ("block", self.block, found.block),
            ("feed_forward", self.feed_forward, found.feed_forward),
        ];
        for (name, declared, found) in sizes {
            if let (Some(declared), Some(found)) = (declared, found)
                && declared != found
            {
                let origin = &self.origin;
                let message =
                    format!("{origin} declares {name} {declared}, the tensors have {found}; use files of one model");
                return Err(Error::new(ErrorKind::Weights, message));
            }
        }
        Ok(())
    }
}
