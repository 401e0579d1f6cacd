//! Keys for the outcomes of a patch, shared by all autoregressive wave functions.

use ketformer::model::Sector;

use crate::cli::settings::{Key, KeyKind, Settings, words};

const SECTORS: [(&str, Sector); 2] = [("all", Sector::All), ("zero", Sector::ZeroMagnetization)];

/// Sector: the configurations with nonzero probability.
pub const SECTOR: Key = Key::new(
    "sector",
    KeyKind::Choice(&words(&SECTORS)),
    "all",
    "",
    "zero: half of the sites occupied, for Hamiltonians that conserve magnetization",
);

/// Whether outcomes have phases.
pub const PHASE: Key = Key::new(
    "phase",
    KeyKind::Switch,
    "false",
    "",
    "complex wave function with a phase for each outcome, for ground states that change sign",
);

/// Sector that `sector=` selects.
pub fn sector(settings: &Settings) -> Sector {
    settings.choice(SECTOR.name, &SECTORS)
}
