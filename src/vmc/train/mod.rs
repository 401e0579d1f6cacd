//! Training: configuration, optimizers and schedules, steps and their reports, checkpoints.

pub(super) mod adam;
pub(super) mod checkpoint;
pub(super) mod metrics;
pub(super) mod optimizer;
pub(super) mod parts;
pub(super) mod replay;
pub(super) mod schedule;
pub(super) mod trainer;
