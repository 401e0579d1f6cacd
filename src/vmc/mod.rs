//! ROOM 5, variational Monte Carlo: samples, local energies, estimates, gradients, steps.

mod budget;
mod enumerate;
mod estimator;
mod evaluate;
mod metrics;
mod schedule;
mod tables;
mod trainer;

pub use enumerate::{enumerate, local_energies, LocalEnergies};
pub use evaluate::{Estimate, EvaluateConfig, evaluate};
pub use metrics::StepReport;
pub use schedule::Schedule;
pub use trainer::{TrainConfig, Trainer};
