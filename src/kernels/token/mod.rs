//! Kernels of models over a vocabulary of tokens.

pub(crate) mod cases;
pub mod sample;
