//! Test cases of the kernels of `vmc`: inputs, f64 results and tolerances.

pub(crate) mod connected;
pub(crate) mod dedup;
pub(crate) mod energy;
pub(crate) mod enumerated;
pub(crate) mod exclusions;
pub(crate) mod free_energy;
pub(crate) mod history;
pub(crate) mod metropolis;
pub(crate) mod repeat;
pub(crate) mod rows;
pub(crate) mod sites;
pub(crate) mod spins;
