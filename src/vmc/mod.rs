//! Variational Monte Carlo: samples, local energies, estimates, gradients, training steps.

mod estimate;
mod sr;
mod statistics;
mod step;
mod train;

pub use estimate::attention_maps::{AttentionMaps, attention_maps};
pub use estimate::entropy::{RenyiEntropy, renyi_entropy};
pub use estimate::evaluate::{Estimate, EvaluateConfig, evaluate};
pub use estimate::full_sum::{Amplitudes, LocalEnergies, full_sum, local_energies};
pub use estimate::likelihood::Likelihood;
pub use estimate::observables::{CORRELATED_SITES, ObservableEstimates};
pub use estimate::passes::{Pass, Passes, RecordedPass};
pub use estimate::projected::{ProjectedEstimate, evaluate_projected};
pub use estimate::sample::{SampleConfig, Samples, sample};
pub use sr::gram::{Geometry, GramMatrix, Solution};
pub use sr::reconfiguration::{ReconfigurationCost, ReconfigurationReport};
pub use statistics::{ChainReport, FROZEN, MIXED, Mean};
pub use train::checkpoint::Checkpoint;
pub use train::metrics::{Magnetization, StepReport};
pub use train::optimizer::{Optimizer, StochasticReconfiguration};
pub use train::parts::PartTime;
pub use train::schedule::Schedule;
pub use train::trainer::{Steps, TrainConfig, Trainer};
