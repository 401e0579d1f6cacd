//! Kernels of the restricted Boltzmann machine.

pub mod amplitude;
pub mod sweep;
