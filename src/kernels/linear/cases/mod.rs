//! Test cases of the kernels of `linear`: inputs, f64 results and tolerances.

pub(crate) mod activate;
pub(crate) mod cooperative;
pub(crate) mod gradient;
pub(crate) mod product;
pub(crate) mod sums;
