//! Progress of a run: a live bar on a terminal, otherwise one line per report on stderr, or JSON lines on stdout.

mod bar;

use std::io::IsTerminal;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ketformer::vmc::StepReport;
use serde_json::json;

use self::bar::BarText;
use super::number::{Measurement, duration, significant};
use crate::cli::output;

/// Maximum number of rejected steps that are reported one by one.
const REJECTIONS_TOLD: u64 = 3;

/// Output style of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStyle {
    /// Progress bar or lines of text.
    Text,
    /// One JSON object per report, each on a line of stdout.
    Json,
    /// Warnings and errors only, no progress and no notes.
    Quiet,
}

/// Number of consecutive steps of a single configuration after which a warning is printed.
const SINGLE_TOLD: u64 = 10;

/// Quantities of a run that the progress display needs.
pub struct RunExtent {
    /// Number of steps done before, and total number of steps.
    pub steps: Range<u64>,
    /// Steps between two reports.
    pub report: u64,
    /// Sites of the lattice.
    pub sites: usize,
    /// Samples of a step.
    pub samples: usize,
    /// Bytes of GPU buffers.
    pub memory: u64,
    /// Exact energy of the whole lattice, if it is known.
    pub exact: Option<f64>,
}

/// Progress display of a run.
pub struct Progress {
    extent: RunExtent,
    form: OutputStyle,
    bar: Option<ProgressBar>,
    begun: Instant,
    rejected: u64,
    /// Whether the warning about few deduplicated samples was printed.
    few_told: bool,
    /// Number of consecutive steps whose samples were all one configuration.
    single: u64,
    /// Whether the warning about them was printed.
    single_told: bool,
    /// Whether the first step is done, which is when all kernels are compiled.
    compiled: Arc<AtomicBool>,
}

/// Time after which an unfinished first step is reported as compiling.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts a thread that reports the compilation of kernels, after [`PATIENCE`] and until `compiled` is set.
fn show_compilation(bar: Option<ProgressBar>, compiled: Arc<AtomicBool>) {
    let begun = Instant::now();
    std::thread::spawn(move || {
        let mut is_shown = false;
        while !compiled.load(Ordering::Relaxed) {
            let text = format!("compiling kernels for this driver, {} s", begun.elapsed().as_secs());
            match &bar {
                _ if begun.elapsed() < PATIENCE => {}
                Some(bar) => bar.set_message(text),
                None if is_shown => {}
                None => output::progress(&"compiling kernels for this driver; the first step waits for them"),
            }
            is_shown = begun.elapsed() >= PATIENCE;
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

impl Progress {
    /// Creates the display for the steps after `extent.steps.start` up to `extent.steps.end`.
    pub fn new(extent: RunExtent, form: OutputStyle) -> Self {
        let bar = (form == OutputStyle::Text && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{msg}  {wide_bar}");
            let bar =
                ProgressBar::new(extent.steps.end).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let compiled = Arc::default();
        if form == OutputStyle::Text {
            show_compilation(bar.clone(), Arc::clone(&compiled));
        }
        Self {
            extent,
            form,
            bar,
            begun: Instant::now(),
            rejected: 0,
            few_told: false,
            single: 0,
            single_told: false,
            compiled,
        }
    }

    /// Shows a step.
    pub fn step(&mut self, report: &StepReport) {
        self.compiled.store(true, Ordering::Relaxed);
        let RunExtent { steps, sites, samples, memory, exact, .. } = &self.extent;
        let (done, all, first) = (report.step, steps.end, steps.start);
        let (sites, samples, memory, exact) = (*sites, *samples as f64, *memory, *exact);
        if !report.accepted {
            self.rejected += 1;
            if self.rejected <= REJECTIONS_TOLD {
                let more = if self.rejected == REJECTIONS_TOLD { "; further ones are counted at the end" } else { "" };
                self.warn(&format!(
                    "step {} was rejected, its energy, gradient or Gram matrix is not finite: the weights are \
                     unchanged; a smaller lr= or clip=1 helps if it happens often{more}",
                    report.step
                ));
            }
        }
        self.single = if report.energy_error.is_nan() && report.accepted { self.single + 1 } else { 0 };
        if self.single == SINGLE_TOLD && !self.single_told {
            self.single_told = true;
            self.warn(&format!(
                "all samples of {SINGLE_TOLD} steps up to step {} are one configuration, so that the gradient vanishes; \
                 if that is not the ground state, train again with temperature=2 (annealing), more samples (K=) or a \
                 smaller lr=",
                report.step
            ));
        }
        if report.lacks_samples(sites) && !self.few_told {
            self.few_told = true;
            self.warn(&format!(
                "step {} had {} distinct samples, which limits the rank of the Gram matrix of stochastic \
                 reconfiguration; give more samples (K=), or if they collapsed a smaller lr= or clip=0.3",
                report.step, report.unique
            ));
        }
        let due = done.is_multiple_of(self.extent.report) || done == all;
        if self.form == OutputStyle::Quiet || (self.bar.is_none() && !due) {
            return;
        }
        let each = self.begun.elapsed().as_secs_f64() / (done - first) as f64;
        let per_site = sites as f64;
        if self.form == OutputStyle::Json {
            return output::line(json!({
                "step": done,
                "steps": all,
                "energy": [report.energy, report.energy_error],
                "per_site": report.energy / per_site,
                "variance": report.variance,
                "acceptance": report.acceptance,
                "accepted": report.accepted,
                "learning_rate": report.learning_rate,
                "temperature": report.temperature.unwrap_or(0.0),
                "samples_per_second": samples / each,
                "memory": memory,
                "seconds_left": each * (all - done) as f64,
            }));
        }
        let energy = Measurement { mean: report.energy / per_site, error: report.energy_error / per_site };
        let left = each * (all - done) as f64;
        match &self.bar {
            Some(bar) => {
                let exact = exact.map(|exact| exact / per_site);
                bar.set_position(done);
                bar.set_message(BarText { step: done, steps: all, energy, exact, left, each }.line());
            }
            None => {
                let variance = significant(report.variance, 2);
                let rate = significant(samples / each, 2);
                let (each, left) = (significant(each, 2), duration(left));
                output::progress(&format!(
                    "step {done}/{all}  E/N {energy}  variance {variance}  {each} s/step  {rate} samples/s  ETA {left}"
                ));
            }
        }
    }

    /// Removes the bar and reports the number of rejected steps.
    pub fn finish(self) {
        self.compiled.store(true, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.rejected > REJECTIONS_TOLD {
            output::warning(&format!(
                "{} steps were rejected for a value that is not finite; give a smaller lr= or clip=1",
                self.rejected
            ));
        }
    }

    /// Prints a warning above the bar.
    pub fn warn(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::warning(&text)),
            None => output::warning(&text),
        }
    }
}
