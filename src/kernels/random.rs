//! Reproducible random inputs for test cases and benchmarks.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Stream of random test inputs.
pub struct RandomInputs(Xoshiro256PlusPlus);

impl RandomInputs {
    /// Creates the stream for `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Returns `count` floats, uniform in [−1, 1).
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.0.random_range(-1.0f32..1.0)).collect()
    }

    /// Returns `count` integers, uniform in [0, end).
    pub fn integers(&mut self, count: usize, end: u32) -> Vec<u32> {
        (0..count).map(|_| self.0.random_range(0..end)).collect()
    }
}
