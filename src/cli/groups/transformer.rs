//! Keys that every wave function with a transformer in it has.

use ketformer::Result;
use ketformer::model::{Activation, Attention, Norm, Position, Ptf, Start};

use super::outcome::{PHASE, sector};
use super::patch::patch;
use crate::cli::settings::{Key, Kind, Settings};

/// Width of a token.
pub const NH: Key = Key::new("Nh", Kind::Count(4, 16384), "128", "channels", "width of a token, a multiple of 4");
/// Attention heads.
pub const NHEAD: Key = Key::new("nhead", Kind::Count(1, 1024), "8", "heads", "attention heads; they must divide Nh");
/// Layers.
pub const NUM_LAYERS: Key = Key::new("num_layers", Kind::Count(1, 256), "2", "layers", "transformer layers");
/// Feed-forward width; the reference has no key for it.
pub const FFN: Key = Key::new("ffn", Kind::Count(1, 32768), "2048", "channels", "width of the feed-forward part");
/// How positions look at each other.
pub const ATTENTION: Key = Key::new(
    "attention",
    Kind::Choice(&["softmax", "linear"]),
    "softmax",
    "",
    "linear costs the same for every patch, however many came before",
);
/// Where a layer normalises.
pub const NORM: Key =
    Key::new("norm", Kind::Choice(&["post", "pre"]), "post", "", "layer norm after each sum, or before each part");
/// Of the feed-forward part.
pub const ACTIVATION: Key =
    Key::new("activation", Kind::Choice(&["relu", "gelu"]), "relu", "", "of the feed-forward part");
/// Positional encoding.
pub const POSITION: Key = Key::new(
    "position",
    Kind::Choice(&["reference", "textbook", "learned"]),
    "reference",
    "",
    "encoding: that of the PyTorch code, textbook sin/cos, or trained",
);
/// What stands before the first patch.
pub const START: Key = Key::new(
    "start",
    Kind::Choice(&["zero", "learned"]),
    "zero",
    "",
    "before the first patch: the embedding of an empty one, or a trained vector",
);
/// Of the reference.
pub const DROPOUT: Key =
    Key::new("dropout", Kind::Real(0.0, 1.0), "0", "", "0 only: the wave function must be one function");

/// The transformer of these settings; whether it fits a lattice is for [`Ptf::check`] to say.
///
/// # Errors
/// `ErrorKind::Settings` for a patch that is none, and for dropout, which no wave function can be asked.
pub fn transformer(settings: &Settings) -> Result<Ptf> {
    let dropout = settings.real("dropout");
    if dropout != 0.0 {
        return Err(settings.group().error(format!(
            "dropout={dropout} would give the same configuration another probability each time; give dropout=0"
        )));
    }
    Ok(Ptf {
        patch: patch(settings)?,
        width: settings.size("Nh"),
        heads: settings.size("nhead"),
        layers: settings.size("num_layers"),
        feed_forward: settings.size("ffn"),
        attention: attention(settings),
        norm: norm(settings),
        activation: activation(settings),
        position: position(settings),
        start: start(settings),
        sector: sector(settings)?,
        phase: settings.switch(PHASE.name),
    })
}

fn attention(settings: &Settings) -> Attention {
    match settings.text("attention") {
        "linear" => Attention::Linear,
        _ => Attention::Softmax,
    }
}

fn norm(settings: &Settings) -> Norm {
    match settings.text("norm") {
        "pre" => Norm::Pre,
        _ => Norm::Post,
    }
}

fn activation(settings: &Settings) -> Activation {
    match settings.text("activation") {
        "gelu" => Activation::Gelu,
        _ => Activation::Relu,
    }
}

fn position(settings: &Settings) -> Position {
    match settings.text("position") {
        "textbook" => Position::Textbook,
        "learned" => Position::Learned,
        _ => Position::Reference,
    }
}

fn start(settings: &Settings) -> Start {
    match settings.text("start") {
        "learned" => Start::Learned,
        _ => Start::Zero,
    }
}
