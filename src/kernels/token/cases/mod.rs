//! Test cases of the kernels of `token`: inputs, f64 results and tolerances.

pub(crate) mod sample;
