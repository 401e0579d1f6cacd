//! Test cases of the kernels of `gram`: inputs, f64 results and tolerances.

pub(crate) mod center;
pub(crate) mod columns;
pub(crate) mod direction;
pub(crate) mod dot;
pub(crate) mod pairs;
pub(crate) mod product;
