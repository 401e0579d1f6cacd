//! Reports that unit tests draw, made up as those that the browser's test opens.

// The browser's test asks for more of it.
#[allow(dead_code)]
#[path = "../../../tests/report/made_up.rs"]
pub mod made_up;

use super::Report;
use crate::model::AttentionKind;
use crate::physics::{Lattice, Patch};
use crate::vmc::AttentionMaps;

/// Weights of a causal transformer, with rows that add up to 1.
pub fn causal(lattice: &Lattice, patch: [usize; 2], layers: usize, heads: usize) -> AttentionMaps {
    let patch = if lattice.ly == 1 { Patch::Line(patch[0] * patch[1]) } else { Patch::Block(patch) };
    made_up::attention(*lattice, patch, AttentionKind::Causal, layers, heads)
}

/// Weights of both signs between patches of `side` × `side` sites.
pub fn relative(lattice: &Lattice, side: usize, heads: usize) -> AttentionMaps {
    let layers = if side == 1 { 2 } else { 1 };
    made_up::attention(*lattice, Patch::Block([side, side]), AttentionKind::Relative, layers, heads)
}

/// A run on a square lattice, with causal attention between blocks of 2x2 sites.
pub fn square(side: usize) -> Report {
    let lattice = Lattice::square(side, side);
    report(lattice, causal(&lattice, [2, 2], 2, 2))
}

/// A run on a chain, with causal attention between patches of as many sites as fit.
pub fn chain(sites: usize) -> Report {
    let lattice = Lattice::chain(sites);
    let length = (1..=4).rev().find(|length| sites.is_multiple_of(*length)).unwrap_or(1);
    report(lattice, causal(&lattice, [length, 1], 1, 2))
}

fn report(lattice: Lattice, attention: AttentionMaps) -> Report {
    made_up::report(&format!("ptf patch=2x2, rydberg, {lattice}"), lattice, 60, Some(attention))
}
