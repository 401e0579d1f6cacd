//! Test cases of the kernels of `attention/linear`: inputs, f64 results and tolerances.

pub(crate) mod backward;
pub(crate) mod forward;
pub(crate) mod states;
pub(crate) mod suffix;

/// Supported numbers of rows per lane.
const TILES: [u32; 3] = [1, 2, 4];
