//! Run folder of a training run, and the analysis of its files.
//!
//! A run folder contains `settings.json` (the resolved settings, the command that reproduces them, date and wall time),
//! `metrics.csv` (one row per step), `metrics.npy` (the same for NumPy), `model.safetensors` (the weights), the newest
//! checkpoints and `energy.svg` (the energy against the step). A run of a GPT has `loss.svg` instead, `best.safetensors`
//! (the weights with the lowest loss of held-out data), `config.json` (its sizes), `tokenizer.json` and `data.json`. On
//! request it also contains `tensorboard` (event files)
//! and `report.html` (a page with all results). Files are written under a temporary name and then renamed, except for
//! the metrics and the events, which are appended to at every step.

mod array;
mod enumeration;
mod events;
mod folder;
mod metrics;
mod number;
mod output_file;
mod phase_diagram;
mod plots;
mod report;
mod settings;

pub use crate::significant::significant;
pub use array::{save_array, save_bytes};
pub use enumeration::Enumeration;
pub use events::Events;
pub use folder::{
    BEST_FILE, CONFIG_FILE, DATA_FILE, DataRecord, EVENTS_FOLDER, HISTORY_FILE, KEPT_CHECKPOINTS, LOSS_FILE,
    METRICS_FILE, MODEL_FILE, Newest, NewestWeights, PICTURE_FILE, REPORT_FILE, REWARD_FILE, RunFolder, SETTINGS_FILE,
    START_FILE, TOKENIZER_FILE, newest_checkpoint, newest_weights, newest_weights_by, save_checkpoint,
};
pub use metrics::{
    EnergyScale, EnergySummary, History, LoadedMetrics, LossSummary, Metrics, Quantity, RECENT_STEPS, Repair,
    ResumedMetrics, Summary, TrainingReport, load_metrics,
};
pub use number::{Measurement, duration, relative_error};
pub use output_file::{is_stream, save_text};
pub use phase_diagram::{PhaseDiagram, PhasePoint};
pub use plots::{Curve, LossCurve, RewardCurve};
pub use report::{GptPage, NextToken, PromptView, Report};
pub use settings::{AdapterRecord, DeviceLoss, Ending, Resumption, RunEnd, RunSettings, RunState, WeightsOrigin};

/// Owner and remedy in the error messages of files that cannot be written.
const WRITER: [&str; 2] = ["run folder", "choose another run folder"];
