//! Generative pre-trained transformer (GPT): a causal transformer over tokens of a vocabulary.
//!
//! ```text
//! x_t = wte[token_t] + wpe[t]
//! x   = x + W_o softmax(q kᵀ/√D + causal) v + b_o          of LN1(x), K times, pre-norm
//! x   = x + W_2 gelu(W_1 LN2(x) + b_1) + b_2
//! log P(token_{t+1} | earlier) = log softmax(W LN(x_t))
//! ```
//!
//! Dimensions, in addition to those of the crate: `T` positions of a window, `V` tokens of the vocabulary.
//! Source: Radford et al., "Language models are unsupervised multitask learners", 2019, with the parameter names of
//! minGPT and nanoGPT.

mod batch;
mod config;
mod embedding;
mod head;
mod layout;
#[cfg(test)]
mod nano_gpt;
mod network;
mod report;
mod sampler;
mod sampling;
mod state;
mod train;
mod weights;

pub use batch::{Batches, IGNORED, TokenBatch};
pub use config::{GptConfig, TokenPositions};
pub use report::{GptReport, RewardReport};
pub use sampler::{Continuation, GptSampler};
pub use sampling::SamplingSettings;
pub use state::GptState;
pub use train::{GptSteps, GptTrainConfig, GptTrainer, Loss, Prompts, TokenReward, TuneConfig};
#[cfg(not(target_arch = "wasm32"))]
pub use weights::save_hugging_face;
pub use weights::{LoadedGpt, hugging_face_config, hugging_face_weights};
