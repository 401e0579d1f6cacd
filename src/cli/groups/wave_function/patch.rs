//! The key `patch=`, shared by all wave functions with patches.

use ketformer::Result;
use ketformer::physics::Patch;

use crate::cli::settings::{Key, KeyKind, Settings};

/// Shape of a patch.
pub const PATCH: Key =
    Key::new("patch", KeyKind::Text, "1", "sites", "sites drawn at once: a block (2x2) or consecutive sites (4)");

/// Patch that `patch=` selects.
///
/// # Errors
/// `ErrorKind::Settings` if the text is not a patch.
pub fn patch(settings: &Settings) -> Result<Patch> {
    settings.text(PATCH.name).parse()
}
