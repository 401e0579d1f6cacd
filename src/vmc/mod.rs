//! Variational Monte Carlo: samples, local energies, estimates, gradients, training steps.

mod estimate;
mod sr;
mod state;
mod statistics;
pub(crate) mod step;
pub(crate) mod train;

pub use estimate::attention_maps::AttentionMaps;
pub use estimate::entropy::RenyiEntropy;
pub use estimate::evaluate::Estimate;
pub use estimate::full_sum::{Amplitudes, LocalEnergies};
pub use estimate::likelihood::Likelihood;
pub use estimate::observables::{CORRELATED_SITES, ObservableEstimates};
pub(crate) use estimate::passes::{Pass, Passes, RecordedPass};
pub use estimate::projected::ProjectedEstimate;
pub use estimate::sample::Samples;
pub use estimate::symmetry_expectations::SymmetryExpectation;
pub use sr::gram::{GramMatrix, GramProbe, Solution};
pub use sr::report::{ReconfigurationCost, ReconfigurationReport};
pub use state::{SampleConfig, State};
pub(crate) use statistics::autocorrelation_time;
pub use statistics::{ChainReport, Concentration, FROZEN, MIXED, Mean, NEEDED_LENGTH};
pub use step::enumeration::enumerated_configurations;
pub use step::tables::{TableLimits, check_pairs};
pub use train::advance::Budget;
pub use train::checkpoint::Checkpoint;
pub use train::metrics::{Magnetization, StepReport};
pub use train::optimizer::{Optimizer, Sampling, SamplingPower, StochasticReconfiguration};
#[cfg(not(target_arch = "wasm32"))]
pub use train::parts::PartTime;
pub use train::schedule::{Annealing, Schedule};
pub use train::shared_views::{SharedConfig, SharedViews};
pub use train::trainer::{Steps, TrainConfig, Trainer};
