//! Training: configuration, optimizers and schedules, steps and their reports, checkpoints.

pub(crate) mod adam;
pub(super) mod advance;
pub(crate) mod checkpoint;
mod hamiltonian;
pub(crate) mod known_state;
pub(super) mod metrics;
pub(super) mod optimizer;
#[cfg(not(target_arch = "wasm32"))]
pub(super) mod parts;
pub(crate) mod replay;
pub(super) mod schedule;
pub(super) mod shared_views;
pub(super) mod trainer;
