//! Device kernels: arguments of indirect dispatches, probes of an adapter's limits, and fills and counts of words.

pub(crate) mod cases;
mod indirect_args;
pub mod probe;
pub mod words;
