//! Training of a GPT: settings, steps and their results.

mod advance;
mod config;
mod evaluation;
mod in_flight;
mod items;
mod source;
mod steps;
mod trainer;
mod tuning;

pub use config::GptTrainConfig;
pub use evaluation::Loss;
pub use steps::GptSteps;
pub use trainer::GptTrainer;
pub use tuning::{Prompts, TokenReward, TuneConfig};
