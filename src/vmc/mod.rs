//! ROOM 5, variational Monte Carlo: samples, local energies, estimates, gradients, steps.

mod autocorrelation;
mod autoregressive;
mod budget;
mod chains;
mod distinct;
mod enumerate;
mod estimator;
mod evaluate;
mod geometry;
mod gradient;
mod likelihood;
mod metrics;
mod optimizer;
mod passes;
mod reconfiguration;
mod sample;
mod sampler;
mod schedule;
mod sector;
mod tables;
mod trainer;

pub use enumerate::{Amplitudes, LocalEnergies, enumerate, local_energies};
pub use evaluate::{ChainReport, Estimate, EvaluateConfig, FROZEN, evaluate};
pub use geometry::{Geometry, GramMatrix, Solution};
pub use likelihood::Likelihood;
pub use metrics::StepReport;
pub use optimizer::{Optimizer, StochasticReconfiguration};
pub use passes::{Pass, Passes, RecordedPass};
pub use reconfiguration::{ReconfigurationCost, ReconfigurationReport};
pub use sample::{SampleConfig, Samples, sample};
pub use schedule::Schedule;
pub use trainer::{Steps, TrainConfig, Trainer};
