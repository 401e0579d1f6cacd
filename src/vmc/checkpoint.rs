//! The state of a training run between two steps.

use std::collections::BTreeMap;

use crate::model::{Tensor, Weights};

/// Everything that later steps depend on beside the settings: random numbers are counted by the seed and the step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    /// The last step, from 1; 0 before the first one.
    pub step: u64,
    /// The weights after it.
    pub weights: Weights,
    /// What the optimiser keeps, under the names of the parameters with a prefix: `adam.first.`, `adam.second.`, `sr.direction.`.
    pub optimizer: Weights,
    /// Where the Markov chains stand, (chains, T) tokens; empty where there are none or they begin with the next step.
    pub chains: Vec<u32>,
}

/// Tensors with `prefix` before their names.
pub(super) fn named(prefix: &str, weights: Weights) -> BTreeMap<String, Tensor> {
    weights.tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect()
}

/// The tensors whose names begin with `prefix`, without it.
pub(super) fn of_prefix(prefix: &str, weights: &Weights) -> Weights {
    let own = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor.clone()));
    Weights { tensors: weights.tensors.iter().filter_map(own).collect() }
}
