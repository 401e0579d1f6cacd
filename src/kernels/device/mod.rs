//! Device kernels: arguments of indirect dispatches and probes of an adapter's limits.

pub(crate) mod cases;
pub mod indirect_args;
pub mod probe;
