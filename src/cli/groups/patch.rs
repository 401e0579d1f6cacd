//! `patch=`, of every wave function that draws patch by patch.

use ketformer::Result;
use ketformer::physics::Patch;

use crate::cli::settings::{Key, Kind, Settings};

/// The shape of a patch.
pub const PATCH: Key =
    Key::new("patch", Kind::Text, "1", "sites", "sites drawn at once: 2x2 a block, 4 consecutive sites");

/// What `patch=` says.
///
/// # Errors
/// `ErrorKind::Settings` for a text that is no patch.
pub fn patch(settings: &Settings) -> Result<Patch> {
    settings.text(PATCH.name).parse()
}
