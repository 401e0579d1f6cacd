//! ROOM 5, variational Monte Carlo: samples, local energies, estimates, gradients, steps.

mod autoregressive;
mod budget;
mod chains;
mod distinct;
mod enumerate;
mod estimator;
mod evaluate;
mod geometry;
mod given;
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
mod statistics;
mod symmetrised;
mod tables;
mod trainer;

pub use enumerate::{Amplitudes, LocalEnergies, enumerate, local_energies};
pub use evaluate::{Estimate, EvaluateConfig, evaluate};
pub use geometry::{Geometry, GramMatrix, Solution};
pub use likelihood::Likelihood;
pub use metrics::StepReport;
pub use optimizer::{Optimizer, StochasticReconfiguration};
pub use passes::{Pass, Passes, RecordedPass};
pub use reconfiguration::{ReconfigurationCost, ReconfigurationReport};
pub use sample::{SampleConfig, Samples, sample};
pub use schedule::Schedule;
pub use statistics::{ChainReport, FROZEN, MIXED};
pub use symmetrised::{SymmetrisedEstimate, evaluate_symmetrised};
pub use trainer::{Steps, TrainConfig, Trainer};
