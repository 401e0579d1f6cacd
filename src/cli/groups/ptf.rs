//! `--ptf`: the patched transformer.

use ketformer::Result;
use ketformer::model::{Position, Ptf};
use ketformer::physics::Patch;

use super::lattice::L;
use crate::cli::settings::{Group, Key, Kind, Settings};

/// Keys and defaults of the reference's PTF, and `ffn` and `position` of ours.
pub static GROUP: Group = Group {
    name: "ptf",
    about: "the wave function: a transformer over patches of the lattice",
    keys: &[
        L,
        Key::new("patch", Kind::Text, "1", "sites", "sites drawn at once: 2x2 a block, 4 consecutive sites"),
        Key::new("Nh", Kind::Count(4, 16384), "128", "channels", "width of a token, a multiple of 4"),
        Key::new("nhead", Kind::Count(1, 1024), "8", "heads", "attention heads; they must divide Nh"),
        Key::new("num_layers", Kind::Count(1, 256), "2", "layers", "transformer layers"),
        Key::new("ffn", Kind::Count(1, 32768), "2048", "channels", "width of the feed-forward part"),
        Key::new(
            "position",
            Kind::Choice(&["reference", "textbook"]),
            "reference",
            "",
            "encoding: that of the PyTorch code, or textbook sin/cos",
        ),
        Key::new("dropout", Kind::Real(0.0, 1.0), "0", "", "0 only: the wave function must be one function"),
        Key::new("repeat_pre", Kind::Switch, "false", "", "false only: it serves models with a precondition"),
    ],
};

/// The wave function of these settings; whether it fits a lattice is for [`Ptf::check`] to say.
///
/// # Errors
/// `ErrorKind::Settings` for a patch that is none, and for what no wave function can be asked: dropout, repeat_pre.
pub fn model(settings: &Settings) -> Result<Ptf> {
    let dropout = settings.real("dropout");
    if dropout != 0.0 {
        return Err(GROUP.error(format!(
            "dropout={dropout} would give the same configuration another probability each time; give dropout=0"
        )));
    }
    if settings.switch("repeat_pre") {
        return Err(GROUP.error("repeat_pre=true needs a precondition, which this model has none of; leave it out"));
    }
    Ok(Ptf {
        patch: settings.text("patch").parse::<Patch>()?,
        width: settings.size("Nh"),
        heads: settings.size("nhead"),
        layers: settings.size("num_layers"),
        feed_forward: settings.size("ffn"),
        position: match settings.text("position") {
            "textbook" => Position::Textbook,
            _ => Position::Reference,
        },
        ..Ptf::default()
    })
}
