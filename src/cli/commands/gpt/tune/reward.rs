//! Reward of the text of tokens.

use ketformer::Result;
use ketformer::gpt::TokenReward;
use ketformer::text::{Reward, SampledText, Tokenizer};

/// Reward of texts with the tokenizer that makes them.
pub struct TextReward {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The reward.
    pub reward: Box<dyn Reward>,
}

impl TokenReward for TextReward {
    fn rewards(&mut self, prompts: &[Vec<u32>], continuations: &[Vec<u32>]) -> Result<Vec<f64>> {
        let text = |(prompt, made): (&Vec<u32>, &Vec<u32>)| SampledText {
            prompt: self.tokenizer.decode(prompt),
            text: self.tokenizer.decode(made),
        };
        let texts: Vec<SampledText> = prompts.iter().zip(continuations).map(text).collect();
        self.reward.rewards(&texts)
    }
}
