//! The keys `patch=` and `site_order=`, shared by wave functions with patches.

use ketformer::Result;
use ketformer::physics::Patch;

use crate::cli::settings::{Key, KeyKind, Settings, words};

/// Shape of a patch.
pub const PATCH: Key =
    Key::new("patch", KeyKind::Text, "1", "sites", "sites drawn at once: a block (2x2) or consecutive sites (4)");

/// Order of the sites in patches of consecutive sites, of autoregressive wave functions.
pub const SITE_ORDER: Key = Key::optional(
    "site_order",
    KeyKind::Choice(&words(&ORDERS)),
    "",
    "own (default): consecutive sites are x*Ly + y; reference: y*Lx + x, for weights of the PyTorch code if Lx, Ly differ",
);

const ORDERS: [(&str, bool); 2] = [("own", false), ("reference", true)];

/// Patch that `patch=` selects.
///
/// # Errors
/// `ErrorKind::Settings` if the text is not a patch.
pub fn patch(settings: &Settings) -> Result<Patch> {
    settings.text(PATCH.name).parse()
}

/// Patch that `patch=` and `site_order=` select.
///
/// # Errors
/// `ErrorKind::Settings` if the text is not a patch, or for a block in the order of the reference code.
pub fn ordered_patch(settings: &Settings) -> Result<Patch> {
    match (patch(settings)?, is_reference(settings)) {
        (Patch::Line(sites), true) => Ok(Patch::TransposedLine(sites)),
        (block, true) => Err(settings.group().error(format!(
            "site_order=reference is for consecutive sites, got patch={block}; give patch={}, or leave site_order out: \
             the PyTorch code has blocks on squares only, where both orders have the same energies",
            block.sites()
        ))),
        (patch, false) => Ok(patch),
    }
}

/// Whether the order of the sites is that of the reference code.
pub fn is_reference(settings: &Settings) -> bool {
    settings.optional_text(SITE_ORDER.name).is_some() && settings.choice(SITE_ORDER.name, &ORDERS)
}

/// Note on weights from a file for a wave function of `settings` on a lattice of these sides: nothing in the file tells
/// the order of the sites.
pub fn weights_note(settings: &Settings, [lx, ly]: [usize; 2]) -> Option<String> {
    let is_line = || matches!(patch(settings), Ok(Patch::Line(_)));
    let has_order = settings.group().keys.iter().any(|key| key.name == SITE_ORDER.name);
    (has_order && lx != ly && lx.min(ly) > 1 && is_line() && !is_reference(settings)).then(|| {
        format!(
            "consecutive sites of {lx}x{ly} are x*Ly + y; for weights of the public PyTorch code, which numbers them \
             y*Lx + x, give --{} site_order=reference",
            settings.group().name
        )
    })
}
