//! Estimates with fixed weights: energies, observables, full sums, projection, entropy, attention maps, single passes.

pub(super) mod attention_maps;
pub(super) mod entropy;
pub(super) mod evaluate;
pub(super) mod full_sum;
pub(super) mod likelihood;
pub(super) mod observables;
pub(super) mod passes;
pub(super) mod projected;
pub(super) mod sample;
pub(super) mod symmetry_expectations;
