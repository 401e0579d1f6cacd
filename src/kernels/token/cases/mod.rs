//! Test cases of the kernels of `token`: inputs, f64 results and tolerances.

pub(crate) mod cross_entropy;
pub(crate) mod embed;
pub(crate) mod gradient;
pub(crate) mod sample;
