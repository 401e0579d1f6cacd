//! Parameters of a wave function: names, shapes and initial values, host tensors, storage precision.

mod foreign;
pub(super) mod layout;
pub(super) mod precision;
pub(super) mod weights;
