//! Kernels of the restricted Boltzmann machine.

pub mod amplitude;
pub(crate) mod cases;
pub mod sweep;
