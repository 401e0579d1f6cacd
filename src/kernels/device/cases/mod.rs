//! Test cases of the kernels of `device`: inputs, f64 results and tolerances.

pub(crate) mod indirect_args;
pub(crate) mod probe;
pub(crate) mod words;
