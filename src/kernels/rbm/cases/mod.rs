//! Test cases of the kernels of `rbm`: inputs, f64 results and tolerances.

pub(crate) mod amplitude;
pub(crate) mod sweep;
