//! `--ptf`: the patched transformer.

use ketformer::Result;
use ketformer::model::Ptf;

use super::lattice::L;
use super::patch::{PATCH, patch};
use super::transformer::{
    ACTIVATION, ATTENTION, DROPOUT, FFN, NH, NHEAD, NORM, NUM_LAYERS, POSITION, START, activation, attention, norm,
    position, refuse_dropout, start,
};
use crate::cli::settings::{Group, Key, Kind, Settings};

/// Keys and defaults of the reference's PTF; `ffn` and the options of its blocks are ours.
pub static GROUP: Group = Group {
    name: "ptf",
    about: "the wave function: a transformer over patches of the lattice",
    keys: &[
        L,
        PATCH,
        NH,
        NHEAD,
        NUM_LAYERS,
        FFN,
        ATTENTION,
        NORM,
        ACTIVATION,
        POSITION,
        START,
        DROPOUT,
        Key::new("repeat_pre", Kind::Switch, "false", "", "false only: it serves models with a precondition"),
    ],
};

/// The wave function of these settings; whether it fits a lattice is for [`Ptf::check`] to say.
///
/// # Errors
/// `ErrorKind::Settings` for a patch that is none, and for what no wave function can be asked: dropout, repeat_pre.
pub fn model(settings: &Settings) -> Result<Ptf> {
    refuse_dropout(settings)?;
    if settings.switch("repeat_pre") {
        return Err(GROUP.error("repeat_pre=true needs a precondition, which this model has none of; leave it out"));
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
    })
}
