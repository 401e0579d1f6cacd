//! Device kernels: arguments of indirect dispatches and probes of an adapter's limits.

pub(crate) mod cases;
mod indirect_args;
pub mod probe;
