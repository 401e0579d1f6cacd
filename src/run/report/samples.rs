//! Synthetic reports for unit tests, the same as those of the browser test.

#[allow(dead_code, reason = "the browser test uses more of it")]
#[path = "../../../tests/report/made_up.rs"]
pub(super) mod made_up;

use super::Report;
use crate::model::AttentionKind;
use crate::physics::{Lattice, Patch};
use crate::vmc::AttentionMaps;

/// Attention weights of a causal transformer, with rows that sum to 1.
pub(super) fn causal(lattice: &Lattice, patch: [usize; 2], layers: usize, heads: usize) -> AttentionMaps {
    let patch = if lattice.ly == 1 { Patch::Line(patch[0] * patch[1]) } else { Patch::Block(patch) };
    made_up::attention(*lattice, patch, AttentionKind::Causal, layers, heads)
}

/// Signed attention weights between patches of `side` × `side` sites.
pub(super) fn relative(lattice: &Lattice, side: usize, heads: usize) -> AttentionMaps {
    let layers = if side == 1 { 2 } else { 1 };
    made_up::attention(*lattice, Patch::Block([side, side]), AttentionKind::Relative, layers, heads)
}

/// Report of a run on a square lattice, with causal attention between blocks of 2x2 sites.
pub(super) fn square(side: usize) -> Report {
    let lattice = Lattice::square(side, side);
    report(lattice, causal(&lattice, [2, 2], 2, 2))
}

/// Report of a run on a chain, with causal attention between patches of up to 4 sites.
pub(super) fn chain(sites: usize) -> Report {
    let lattice = Lattice::chain(sites);
    let length = (1..=4).rev().find(|length| sites.is_multiple_of(*length)).unwrap_or(1);
    report(lattice, causal(&lattice, [length, 1], 1, 2))
}

fn report(lattice: Lattice, attention: AttentionMaps) -> Report {
    made_up::report(&format!("ptf patch=2x2, rydberg, {lattice}"), lattice, 60, Some(attention))
}
