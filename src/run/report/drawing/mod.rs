//! Elements of figures: color scales, matrices, and sites and patches of a lattice.

mod heat_map;
mod patches;
mod pixels;
mod places;
mod scale;

pub(super) use heat_map::HeatMap;
pub(super) use patches::Patches;
pub(super) use pixels::address;
pub(super) use places::{CELL, LEAST, SitePositions};
pub(super) use scale::Scale;
