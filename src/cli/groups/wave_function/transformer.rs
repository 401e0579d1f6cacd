//! Keys shared by `--ptf` and `--lptf`, the wave functions with an autoregressive transformer.

use ketformer::Result;
use ketformer::model::{Activation, Attention, Norm, PositionalEncoding, Ptf, Start};

use super::outcome::{PHASE, sector};
use super::patch::ordered_patch;
use crate::cli::settings::{Key, KeyKind, Settings, words};

const ATTENTIONS: [(&str, Attention); 2] = [("softmax", Attention::Softmax), ("linear", Attention::Linear)];
const NORMS: [(&str, Norm); 2] = [("post", Norm::Post), ("pre", Norm::Pre)];
const ACTIVATIONS: [(&str, Activation); 2] = [("relu", Activation::Relu), ("gelu", Activation::Gelu)];
const POSITIONS: [(&str, PositionalEncoding); 4] = [
    ("reference", PositionalEncoding::LptfCompatible),
    ("textbook", PositionalEncoding::Sinusoidal),
    ("learned", PositionalEncoding::Learned),
    ("none", PositionalEncoding::None),
];
const STARTS: [(&str, Start); 2] = [("zero", Start::Zero), ("learned", Start::Learned)];

/// Token width.
pub const NH: Key = Key::new("Nh", KeyKind::Count(4, 16384), "128", "channels", "width of a token, a multiple of 4");
/// Number of attention heads.
pub const NHEAD: Key = Key::new("nhead", KeyKind::Count(1, 1024), "8", "heads", "attention heads; they must divide Nh");
/// Number of layers.
pub const NUM_LAYERS: Key = Key::new("num_layers", KeyKind::Count(1, 256), "2", "layers", "transformer layers");
/// Feed-forward width, for which the reference code has no key.
pub const FFN: Key = Key::new("ffn", KeyKind::Count(1, 32768), "2048", "channels", "width of the feed-forward part");
/// Kind of attention.
pub const ATTENTION: Key = Key::new(
    "attention",
    KeyKind::Choice(&words(&ATTENTIONS)),
    "softmax",
    "",
    "linear: the cost of a patch does not grow with the number of earlier ones",
);
/// Position of the layer norms.
pub const NORM: Key =
    Key::new("norm", KeyKind::Choice(&words(&NORMS)), "post", "", "layer norm after each sum, or before each part");
/// Activation of the feed-forward part.
pub const ACTIVATION: Key =
    Key::new("activation", KeyKind::Choice(&words(&ACTIVATIONS)), "relu", "", "activation of the feed-forward part");
/// Positional encoding.
pub const POSITION: Key = Key::new(
    "position",
    KeyKind::Choice(&words(&POSITIONS)),
    "reference",
    "",
    "positional encoding: that of the PyTorch code, textbook sin/cos, trained, or none",
);
/// Input before the first patch.
pub const START: Key = Key::new(
    "start",
    KeyKind::Choice(&words(&STARTS)),
    "zero",
    "",
    "input before the first patch: embedding of an empty patch, or a trained vector",
);
/// Dropout, a key of the reference code.
pub const DROPOUT: Key =
    Key::new("dropout", KeyKind::Real(0.0, 1.0), "0", "", "only 0: the wave function must be deterministic");

/// Transformer of these settings. [`Ptf::check`] reports whether it fits a lattice.
///
/// # Errors
/// `ErrorKind::Settings` for an invalid patch, and for nonzero dropout.
pub fn transformer(settings: &Settings) -> Result<Ptf> {
    let dropout = settings.real("dropout");
    if dropout != 0.0 {
        return Err(settings.group().error(format!(
            "dropout={dropout} would give the same configuration another probability each time; give dropout=0"
        )));
    }
    Ok(Ptf {
        patch: ordered_patch(settings)?,
        width: settings.size("Nh"),
        heads: settings.size("nhead"),
        layers: settings.size("num_layers"),
        feed_forward: settings.size("ffn"),
        attention: settings.choice("attention", &ATTENTIONS),
        norm: settings.choice("norm", &NORMS),
        activation: settings.choice("activation", &ACTIVATIONS),
        position: settings.choice("position", &POSITIONS),
        start: settings.choice("start", &STARTS),
        sector: sector(settings),
        phase: settings.switch(PHASE.name),
    })
}
