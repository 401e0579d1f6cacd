//! Metrics of runs and tables of sweeps: no panic, and errors of one line.

#![no_main]

use ketformer::run::{PhaseDiagram, load_metrics};
use ketformer::vmc::StepReport;
use ketformer_fuzz::{check_error, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = file("metrics.csv", bytes);
    if let Err(error) = load_metrics::<StepReport>(&path) {
        check_error(&error, &path);
    }
    if let Err(error) = PhaseDiagram::load_points(&path) {
        check_error(&error, &path);
    }
});
