//! Kernels of neural-network layers and of Adam.

pub mod adam;
pub(crate) mod cases;
pub mod cast_f16;
pub mod categorical;
pub mod complex_head;
pub mod dropout;
pub mod embed;
pub mod feed_forward;
pub mod feed_forward_slices;
pub mod large_patch;
pub mod norm;
pub mod phase;
pub mod recurrent;
pub mod rotary;
pub mod transformer_decode;
pub mod weights_pack;
