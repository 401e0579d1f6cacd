//! `--lptf`: the large-patched transformer. Another group, its sub-sampler, samples within large patches.

use ketformer::Result;
use ketformer::model::{Lptf, Subsampler};
use ketformer::physics::Patch;

use super::outcome::{PHASE, SECTOR};
use super::patch::{PATCH, SITE_ORDER, is_reference};
use super::transformer::{
    ACTIVATION, ATTENTION, DROPOUT, FFN, NH, NHEAD, NORM, NUM_LAYERS, POSITION, START, transformer,
};
use super::{ptf, rnn};
use crate::cli::groups::lattice::L;
use crate::cli::settings::{Extent, Group, Key, KeyKind, Settings, Value};

/// Keys and defaults of the reference code's LPTF, with `ffn` and options of the blocks in addition.
pub static GROUP: Group = Group {
    name: "lptf",
    about: "the wave function: a transformer over large patches, each drawn by a sub-sampler, --rnn or --ptf",
    keys: &[
        L,
        Key { help: "sites of a large patch: a block (4x4) or consecutive sites (16)", ..PATCH },
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
        SITE_ORDER,
        DROPOUT,
        Key::new(
            "full_seq",
            KeyKind::Switch,
            "false",
            "",
            "only false is supported: no sub-sampler reads all earlier large patches",
        ),
    ],
};

/// Creates the wave function from its settings and those of its sub-sampler. Resolves L, and Nh of a recurrent
/// sub-sampler, if they are not given.
///
/// # Errors
/// Errors of [`transformer`]; `ErrorKind::Settings` for full_seq=true and for a sub-sampler whose L is not the number
/// of sites of a large patch.
pub fn model(settings: &Settings, sub: &mut Settings) -> Result<Lptf> {
    if settings.switch("full_seq") {
        return Err(GROUP.error("full_seq=true needs a sub-sampler that reads the whole sequence; leave it out"));
    }
    if is_reference(sub) {
        let text = "site_order=reference orders the sites of the lattice; give it to --lptf, not to its sub-sampler";
        return Err(sub.group().error(text));
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
    let (patch, name) = (lptf.transformer.patch, sub.group().name);
    let sites = patch.sites() as u64;
    let extent = sub.optional_extent("L").unwrap_or(Extent::Sites(sites));
    if extent.sites() != sites {
        return Err(GROUP.error(format!(
            "patch={patch} has {sites} sites, and its sub-sampler L={}; give --{name} L={sites}",
            extent.sites()
        )));
    }
    if let (Extent::Sides(sides), Patch::Block(block)) = (extent, patch)
        && sides.map(|side| side as usize) != block
    {
        return Err(GROUP.error(format!("patch={patch} is not the L={extent} of --{name}; give --{name} L={patch}")));
    }
    sub.resolve("L", Value::Extent(extent));
    Ok(lptf)
}
