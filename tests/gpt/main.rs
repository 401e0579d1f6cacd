//! GPT: laws of its passes, training and sampling.

mod gradient;
mod passes;
mod training;
mod vectors;

use ketformer::Gpu;
use ketformer::gpt::{Batches, GptConfig, TokenBatch, TokenPositions};
use ketformer::kernels::RandomInputs;

/// A small GPT of every kind: learned positions and tied; sines without biases; rotary and untied.
fn configs() -> Vec<GptConfig> {
    let base = GptConfig {
        vocabulary: 7,
        block: 10,
        width: 16,
        heads: 2,
        layers: 2,
        feed_forward: 32,
        position: TokenPositions::Learned,
        bias: true,
        tied: true,
    };
    vec![
        base.clone(),
        GptConfig { position: TokenPositions::Sinusoidal, bias: false, vocabulary: 65, ..base.clone() },
        GptConfig { position: TokenPositions::Rotary, tied: false, heads: 4, block: 7, ..base.clone() },
        // A vocabulary of several chunks.
        GptConfig { vocabulary: 33_000, block: 4, width: 8, layers: 1, feed_forward: 8, ..base.clone() },
        GptConfig { bias: false, tied: false, width: 12, heads: 3, layers: 1, vocabulary: 2, block: 1, ..base },
    ]
}

/// Weights that are large enough for attention to matter.
fn weights(config: &GptConfig) -> ketformer::Weights {
    let mut weights = config.initial(5);
    let mut random = RandomInputs::new(11);
    for (name, tensor) in &mut weights.tensors {
        let scale = if name.ends_with("bias") || name.contains("ln_") { 0.1 } else { 0.3 };
        let shifts = random.floats(tensor.values.len());
        tensor.values.iter_mut().zip(shifts).for_each(|(value, shift)| *value += scale * shift);
    }
    weights
}

/// Random tokens.
fn tokens(config: &GptConfig, count: usize, seed: u64) -> Vec<u32> {
    RandomInputs::new(seed).integers(count, config.vocabulary as u32)
}

/// A counting task: each token is followed by the next one.
struct Counting {
    vocabulary: u32,
    sequences: usize,
    block: usize,
}

impl Counting {
    fn batch(&self, index: u64) -> TokenBatch {
        let token = |at: usize, shift: usize| {
            let (sequence, position) = (at / self.block, at % self.block);
            (index as u32 * 3 + (sequence + position + shift) as u32) % self.vocabulary
        };
        let all = self.sequences * self.block;
        TokenBatch {
            tokens: (0..all).map(|at| token(at, 0)).collect(),
            targets: (0..all).map(|at| token(at, 1)).collect(),
        }
    }
}

impl Batches for Counting {
    fn shape(&self) -> (usize, usize) {
        (self.sequences, self.block)
    }

    fn training(&self, index: u64) -> TokenBatch {
        self.batch(2 * index)
    }

    fn validation_batches(&self) -> u64 {
        2
    }

    fn validation(&self, index: u64) -> TokenBatch {
        self.batch(2 * index + 1)
    }
}

fn gpu() -> Gpu {
    Gpu::new().unwrap()
}
