//! Test cases of the kernels of `nn`: inputs, f64 results and tolerances.

pub(crate) mod adam;
pub(crate) mod cast_f16;
pub(crate) mod categorical;
pub(crate) mod complex_head;
pub(crate) mod dropout;
pub(crate) mod embed;
pub(crate) mod feed_forward;
pub(crate) mod feed_forward_slices;
pub(crate) mod large_patch;
pub(crate) mod norm;
pub(crate) mod phase;
pub(crate) mod rotary;
pub(crate) mod transformer_decode;
pub(crate) mod weights_pack;
