//! `--ptf`: the patched transformer.

use ketformer::Result;
use ketformer::model::Ptf;

use super::outcome::{PHASE, SECTOR};
use super::patch::{PATCH, SITE_ORDER};
use super::transformer::{
    ACTIVATION, ATTENTION, DROPOUT, FFN, NH, NHEAD, NORM, NUM_LAYERS, POSITION, START, transformer,
};
use crate::cli::groups::lattice::L_OF_SUB;
use crate::cli::settings::{Group, Key, KeyKind, Settings};

/// Keys and defaults of the reference code's PTF, with `ffn` and options of the blocks in addition.
pub static GROUP: Group = Group {
    name: "ptf",
    about: "the wave function: a transformer over patches of the lattice; or the sub-sampler of --lptf",
    keys: &[
        L_OF_SUB,
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
        SECTOR,
        PHASE,
        SITE_ORDER,
        DROPOUT,
        Key::new("repeat_pre", KeyKind::Switch, "false", "", "only false is supported: true needs a precondition"),
    ],
};

/// Wave function of these settings.
///
/// # Errors
/// Errors of [`transformer`]; `ErrorKind::Settings` for repeat_pre=true.
pub fn model(settings: &Settings) -> Result<Ptf> {
    if settings.switch("repeat_pre") {
        return Err(GROUP.error("repeat_pre=true needs a precondition, which this model does not have; leave it out"));
    }
    transformer(settings)
}
