//! ROOM 6, the run: the folder a training run leaves behind, and what is read from it afterwards.
//!
//! A run folder holds `settings.json` (what was asked, resolved, with the command that asks it again), `metrics.csv`
//! (one row a step), `metrics.npy` (the same for NumPy), `model.safetensors` (the weights), the newest checkpoints and
//! `energy.svg` (the energy against the step); where it is asked for, `tensorboard` (event files) and `report.html` (all of
//! it as a page). Files are put in place whole, under a temporary name first, except for the metrics and the events, which
//! grow step by step.

mod array;
mod checkpoints;
mod curve;
mod enumeration;
mod event_record;
mod events;
mod folder;
mod history;
mod metrics;
mod number;
mod phase_diagram;
mod recent;
mod report;
mod series;
mod settings_file;

pub use array::{save_array, save_bytes};
pub use checkpoints::{KEPT_CHECKPOINTS, Newest, newest_checkpoint, save_checkpoint};
pub use curve::Curve;
pub use enumeration::Enumeration;
pub use events::{EnergyScale, Events};
pub use folder::{
    EVENTS_FOLDER, HISTORY_FILE, METRICS_FILE, MODEL_FILE, PICTURE_FILE, REPORT_FILE, RunFolder, SETTINGS_FILE,
};
pub use history::{HISTORY_COLUMNS, History};
pub use metrics::{HEADER, Metrics, load_metrics};
pub use number::{Measured, duration, relative_error, significant};
pub use phase_diagram::{PhaseDiagram, PhasePoint};
pub use recent::{RECENT_STEPS, Recent, Summary};
pub use report::Report;
pub use settings_file::{AdapterRecord, Resumption, RunSettings};

/// Who writes the files of a run folder, and what helps when it cannot.
const WRITER: [&str; 2] = ["run folder", "choose another --out"];
