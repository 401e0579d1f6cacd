//! Text of GPTs: tokenizers, texts split into windows, the built-in task of sorting, and rewards of sampled texts.
//!
//! Batches are drawn with counter-based random numbers. A batch depends only on its number and the seed, so that a
//! resumed run continues with the same ones.

mod corpus;
mod decoder;
mod random;
mod reward;
mod sorting;
mod tokenizer;
mod windows;

pub use corpus::{Corpus, read_text};
pub use decoder::StreamDecoder;
pub use reward::{BuiltInReward, ProgramReward, Reward, RewardDescription, SampledText};
pub use sorting::{Sorting, SortingSizes};
pub use tokenizer::Tokenizer;
pub use windows::Windows;
