//! `--lptf`: the large-patched transformer, whose large patches another group draws.

use ketformer::Result;
use ketformer::model::{Lptf, Subsampler};
use ketformer::physics::Patch;

use super::lattice::L;
use super::outcome::{PHASE, SECTOR};
use super::patch::PATCH;
use super::transformer::{
    ACTIVATION, ATTENTION, DROPOUT, FFN, NH, NHEAD, NORM, NUM_LAYERS, POSITION, START, transformer,
};
use super::{ptf, rnn};
use crate::cli::settings::{Extent, Group, Key, Kind, Settings, Value};

/// Keys and defaults of the reference's LPTF; `ffn` and the options of its blocks are ours.
pub static GROUP: Group = Group {
    name: "lptf",
    about: "the wave function: a transformer over large patches, each drawn by a sub-sampler, --rnn or --ptf",
    keys: &[
        L,
        Key { help: "sites of a large patch: 4x4 a block, 16 consecutive sites", ..PATCH },
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
        DROPOUT,
        Key::new("full_seq", Kind::Switch, "false", "", "false only: no sub-sampler reads all earlier large patches"),
    ],
};

/// The wave function of its own settings and those of its sub-sampler, in which L, and Nh of a recurrent one, are
/// resolved where they were left out.
///
/// # Errors
/// As [`transformer`], for full_seq, and for a sub-sampler whose L is not the sites of a large patch.
pub fn model(settings: &Settings, sub: &mut Settings) -> Result<Lptf> {
    if settings.switch("full_seq") {
        return Err(GROUP.error("full_seq=true needs a sub-sampler that reads all of it, and none does; leave it out"));
    }
    let transformer = transformer(settings)?;
    let is_recurrent = sub.group().name == rnn::GROUP.name;
    if is_recurrent && !sub.is_given("Nh") {
        sub.resolve("Nh", Value::Count(settings.count("Nh")));
    }
    let subsampler = match is_recurrent {
        true => Subsampler::Rnn(rnn::model(sub)?),
        false => Subsampler::Ptf(ptf::model(sub)?),
    };
    let lptf = Lptf { transformer, subsampler };
    let patch = lptf.transformer.patch;
    let extent = sub.optional_extent("L").unwrap_or(Extent::Sites(patch.sites() as u64));
    lptf.check_subsampler_sites(extent.sites() as usize)?;
    if let (Extent::Sides(sides), Patch::Block(block)) = (extent, patch)
        && sides.map(|side| side as usize) != block
    {
        let name = sub.group().name;
        return Err(GROUP.error(format!("patch={patch} is not the L={extent} of --{name}; give --{name} L={patch}")));
    }
    sub.resolve("L", Value::Extent(extent));
    Ok(lptf)
}
