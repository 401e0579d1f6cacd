//! Settings of sampling: Markov chains and sectors of conserved magnetization.

pub(super) mod metropolis;
pub(super) mod sector;
