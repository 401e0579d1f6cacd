//! Text of GPTs: tokenizers, texts split into windows, the built-in task of sorting, and rewards of sampled texts.
//!
//! Batches are drawn with counter-based random numbers. A batch depends only on its number and the seed, so that a
//! resumed run continues with the same ones.
//!
//! Without the feature `runs` there is the task of sorting only.

#[cfg(feature = "runs")]
mod corpus;
#[cfg(feature = "runs")]
mod decoder;
mod random;
#[cfg(feature = "runs")]
mod reward;
mod sorting;
#[cfg(feature = "runs")]
mod tokenizer;
#[cfg(feature = "runs")]
mod windows;

#[cfg(feature = "runs")]
pub use corpus::{Corpus, read_text};
#[cfg(feature = "runs")]
pub use decoder::StreamDecoder;
#[cfg(feature = "runs")]
pub use reward::{BuiltInReward, ProgramReward, Reward, RewardDescription, SampledText};
pub use sorting::{Sorting, SortingSizes};
#[cfg(feature = "runs")]
pub use tokenizer::Tokenizer;
#[cfg(feature = "runs")]
pub use windows::Windows;
