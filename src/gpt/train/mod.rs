//! Training of a GPT: settings, steps and their results.

mod config;
mod readback;
mod steps;
mod trainer;

pub use config::GptTrainConfig;
pub use steps::GptSteps;
pub use trainer::{GptTrainer, Loss};
