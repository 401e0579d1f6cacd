//! State of a training run between two steps.
//!
//! The state is the step, the weights, the state of the optimizer and the configurations of the Markov chains. What
//! chains store in addition to their configurations is recomputed in every step. `Trainer::checkpoint` is an error
//! while steps are in flight, so a run trains `checkpoint=` steps at a time.

use std::collections::BTreeMap;

use crate::model::{Tensor, Weights};

/// State that later steps depend on, in addition to the settings. Random numbers are counter-based and need no state:
/// the seed and the step are part of their key and counter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    /// Last step, counted from 1; 0 before the first step.
    pub step: u64,
    /// Weights after this step.
    pub weights: Weights,
    /// State of the optimizer by parameter name with a prefix: `adam.first.`, `adam.second.` or `sr.direction.`; also
    /// `adam.state`.
    pub optimizer: Weights,
    /// Configurations of the Markov chains, (chains, T) tokens. Empty without chains, or if they start with the next
    /// step.
    pub chains: Vec<u32>,
}

/// Returns the tensors with `prefix` added to their names.
pub(crate) fn named(prefix: &str, weights: Weights) -> BTreeMap<String, Tensor> {
    weights.tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect()
}

/// Returns the tensors whose names begin with `prefix`, with the prefix removed.
pub(crate) fn of_prefix(prefix: &str, weights: &Weights) -> Weights {
    let own = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor.clone()));
    Weights { tensors: weights.tensors.iter().filter_map(own).collect() }
}
