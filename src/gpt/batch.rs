//! Batches of tokens.

/// Target of a position that does not count.
pub const IGNORED: u32 = u32::MAX;

/// Windows of tokens with the token that follows each of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenBatch {
    /// (B, T) tokens.
    pub tokens: Vec<u32>,
    /// (B, T): next token of each position, or [`IGNORED`].
    pub targets: Vec<u32>,
}

impl TokenBatch {
    /// Number of positions that have a target.
    pub fn targeted(&self) -> usize {
        self.targets.iter().filter(|target| **target != IGNORED).count()
    }

    /// Weights (B, T) of the cross-entropies: `weight` at positions with a target and 0 elsewhere.
    pub(crate) fn weights(&self, weight: f32) -> Vec<f32> {
        self.targets.iter().map(|target| if *target == IGNORED { 0.0 } else { weight }).collect()
    }
}

/// Source of batches. A batch depends only on its number, so that a resumed run continues with the same ones.
pub trait Batches: Send {
    /// B, T of all batches.
    fn shape(&self) -> (usize, usize);

    /// Training batch of number `index`, counted from 0. Step s with A accumulated batches uses (s − 1)·A .. s·A.
    fn training(&self, index: u64) -> TokenBatch;

    /// Number of validation batches; 0 if there is no held-out data.
    fn validation_batches(&self) -> u64;

    /// Validation batch of number `index`. The positions of all of them are the held-out data, each once.
    fn validation(&self, index: u64) -> TokenBatch;
}
