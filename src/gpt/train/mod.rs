//! Training of a GPT: settings, steps and their results.

mod advance;
mod config;
mod in_flight;
mod source;
mod steps;
mod trainer;
mod tuning;

pub use config::GptTrainConfig;
pub use steps::GptSteps;
pub use trainer::{GptTrainer, Loss};
pub use tuning::{Prompts, TokenReward, TuneConfig};
