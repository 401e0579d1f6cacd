//! Recorded steps of a run.

use std::path::Path;

use ketformer::run::{LoadedMetrics, METRICS_FILE, TrainingReport, load_metrics};

use crate::cli::output;

/// Steps of the metrics in `folder` for the curves of a page. Warns about damage; without readable metrics there are none.
pub fn recorded_steps<R: TrainingReport>(folder: &Path) -> Vec<R> {
    match load_metrics(&folder.join(METRICS_FILE)) {
        Ok(LoadedMetrics { reports, damage, .. }) => {
            if let Some(damage) = damage {
                output::warning(&format!("metrics.csv: {damage}; the curves are made of the rest"));
            }
            reports
        }
        Err(error) => {
            output::warning(&format!("{error}; the page is made without curves"));
            Vec::new()
        }
    }
}
