//! Training of a GPT: settings, steps and their results.

mod config;
mod readback;
mod source;
mod steps;
mod trainer;
mod tuning;

pub use config::GptTrainConfig;
pub use steps::GptSteps;
pub use trainer::{GptTrainer, Loss};
pub use tuning::{Prompts, TokenReward, TuneConfig};
