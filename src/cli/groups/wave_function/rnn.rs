//! `--rnn`: the patched recurrent wave function.

use ketformer::Result;
use ketformer::model::{Cell, Rnn};

use super::outcome::{PHASE, SECTOR, sector};
use super::patch::{PATCH, SITE_ORDER, ordered_patch};
use crate::cli::groups::lattice::L_OF_SUB;
use crate::cli::settings::{Group, Key, KeyKind, Settings, words};

const CELLS: [(&str, Cell); 2] = [("GRU", Cell::Gru), ("ELMAN", Cell::Elman)];

/// Keys and defaults of the reference code's PRNN.
pub static GROUP: Group = Group {
    name: "rnn",
    about: "the wave function: a recurrent cell over patches of the lattice; or the sub-sampler of --lptf",
    keys: &[
        L_OF_SUB,
        PATCH,
        Key::new(
            "Nh",
            KeyKind::Count(4, 16384),
            "256",
            "channels",
            "width of the state, a multiple of 4; that of --lptf for its sub-sampler",
        ),
        Key::new("rnntype", KeyKind::Choice(&words(&CELLS)), "GRU", "", "the cell"),
        SECTOR,
        PHASE,
        SITE_ORDER,
    ],
};

/// Wave function of these settings.
///
/// # Errors
/// `ErrorKind::Settings` for an invalid patch.
pub fn model(settings: &Settings) -> Result<Rnn> {
    Ok(Rnn {
        patch: ordered_patch(settings)?,
        width: settings.size("Nh"),
        cell: settings.choice("rnntype", &CELLS),
        sector: sector(settings),
        phase: settings.switch(PHASE.name),
    })
}
