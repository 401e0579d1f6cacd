//! Keys for the outcomes of a patch, shared by all autoregressive wave functions.

use ketformer::Result;
use ketformer::model::Sector;

use crate::cli::settings::{Key, KeyKind, Settings};

/// Sector: the configurations with nonzero probability.
pub const SECTOR: Key = Key::new(
    "sector",
    KeyKind::Choice(&["all", "zero"]),
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
///
/// # Errors
/// Errors of [`Sector::from_str`](std::str::FromStr::from_str).
pub fn sector(settings: &Settings) -> Result<Sector> {
    settings.text(SECTOR.name).parse()
}
