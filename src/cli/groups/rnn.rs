//! `--rnn`: the patched recurrent wave function.

use ketformer::Result;
use ketformer::model::{Cell, Rnn};

use super::lattice::L_OF_SUB;
use super::outcome::{PHASE, SECTOR, sector};
use super::patch::{PATCH, patch};
use crate::cli::settings::{Group, Key, Kind, Settings};

/// Keys and defaults of the reference's PRNN.
pub static GROUP: Group = Group {
    name: "rnn",
    about: "the wave function: a recurrent cell over patches of the lattice; or the sub-sampler of --lptf",
    keys: &[
        L_OF_SUB,
        PATCH,
        Key::new(
            "Nh",
            Kind::Count(4, 16384),
            "256",
            "channels",
            "width of the state, a multiple of 4; as --lptf's under it",
        ),
        Key::new("rnntype", Kind::Choice(&["GRU", "ELMAN"]), "GRU", "", "the cell"),
        SECTOR,
        PHASE,
    ],
};

/// The wave function of these settings.
///
/// # Errors
/// `ErrorKind::Settings` for a patch or a sector that is none.
pub fn model(settings: &Settings) -> Result<Rnn> {
    let cell = match settings.text("rnntype") {
        "ELMAN" => Cell::Elman,
        _ => Cell::Gru,
    };
    Ok(Rnn {
        patch: patch(settings)?,
        width: settings.size("Nh"),
        cell,
        sector: sector(settings)?,
        phase: settings.switch(PHASE.name),
    })
}
