//! Keys of every wave function that draws patch by patch: what may come of a patch.

use ketformer::Result;
use ketformer::model::Sector;

use crate::cli::settings::{Key, Kind, Settings};

/// The configurations that have probability.
pub const SECTOR: Key = Key::new(
    "sector",
    Kind::Choice(&["all", "zero"]),
    "all",
    "",
    "zero keeps half of the sites occupied, for Hamiltonians that only exchange",
);

/// Whether outcomes have phases.
pub const PHASE: Key = Key::new(
    "phase",
    Kind::Switch,
    "false",
    "",
    "complex, with a phase for every outcome: for ground states that change signs",
);

/// What `sector=` says.
///
/// # Errors
/// As [`Sector::from_str`](std::str::FromStr::from_str).
pub fn sector(settings: &Settings) -> Result<Sector> {
    settings.text(SECTOR.name).parse()
}
