//! Kernels of variational Monte Carlo: connected configurations, deduplication, local energies, statistics and Markov
//! chains.

pub(crate) mod cases;
pub mod connected;
pub mod dedup;
pub mod energy;
pub mod enumerated;
pub mod exclusions;
pub mod free_energy;
pub mod history;
pub mod metropolis;
pub mod repeat;
pub mod rows;
pub mod sites;
pub mod spins;
