//! Run folder of a training run, and the analysis of its files.
//!
//! A run folder contains `settings.json` (the resolved settings, the command that reproduces them, date and wall time),
//! `metrics.csv` (one row per step), `metrics.npy` (the same for NumPy), `model.safetensors` (the weights), the newest
//! checkpoints and `energy.svg` (the energy against the step). On request it also contains `tensorboard` (event files)
//! and `report.html` (a page with all results). Files are written under a temporary name and then renamed, except for
//! the metrics and the events, which are appended to at every step.

mod array;
mod checkpoints;
mod ending;
mod energy_summary;
mod enumeration;
mod events;
mod folder;
mod history;
mod identity;
mod metrics;
mod metrics_table;
mod newest_weights;
mod number;
mod output_file;
mod phase_diagram;
mod plots;
mod quantities;
mod remnants;
mod report;
mod settings_check;
mod settings_file;

pub use array::{save_array, save_bytes};
pub use checkpoints::{KEPT_CHECKPOINTS, Newest, newest_checkpoint, save_checkpoint};
pub use ending::{Ending, RunEnd, RunState, WeightsOrigin};
pub use energy_summary::{EnergySummary, RECENT_STEPS, Summary};
pub use enumeration::Enumeration;
pub use events::Events;
pub use folder::{
    EVENTS_FOLDER, HISTORY_FILE, METRICS_FILE, MODEL_FILE, PICTURE_FILE, REPORT_FILE, RunFolder, SETTINGS_FILE,
};
pub use history::History;
pub use metrics::{LoadedMetrics, Metrics, Repair, ResumedMetrics, load_metrics};
pub use newest_weights::{NewestWeights, newest_weights};
pub use number::{Measurement, duration, relative_error, significant};
pub use output_file::{is_stream, save_text};
pub use phase_diagram::{PhaseDiagram, PhasePoint};
pub use plots::Curve;
pub use quantities::EnergyScale;
pub use report::Report;
pub use settings_file::{AdapterRecord, DeviceLoss, Resumption, RunSettings};

/// Owner and remedy in the error messages of files that cannot be written.
const WRITER: [&str; 2] = ["run folder", "choose another run folder"];
