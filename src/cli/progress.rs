//! Progress on stderr: a live bar on a terminal, a line per report otherwise; or on stdout for programs, in JSON lines.

use std::io::IsTerminal;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ketformer::vmc::StepReport;
use serde_json::json;

use super::number::{Measured, bytes, duration, significant};
use super::output;

/// How many rejected steps are told one by one.
const REJECTIONS_TOLD: u64 = 3;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people: a bar or lines.
    Text,
    /// For programs: a JSON object on a line of stdout for every report.
    Json,
    /// Warnings alone.
    Quiet,
}

/// What a run is, as far as its progress says.
pub struct Extent {
    /// Steps that were done before, and all.
    pub steps: Range<u64>,
    /// Steps between two reports.
    pub report: u64,
    /// Sites of the lattice.
    pub sites: usize,
    /// Samples of a step.
    pub samples: usize,
    /// Bytes of GPU buffers.
    pub memory: u64,
}

/// Shows how a run goes on.
pub struct Progress {
    extent: Extent,
    form: Form,
    bar: Option<ProgressBar>,
    begun: Instant,
    rejected: u64,
    /// Whether it was told that there are few distinct samples.
    few_told: bool,
    /// Whether the first step is done, which is when all kernels are compiled.
    compiled: Arc<AtomicBool>,
}

/// Seconds after which a first step that is not done is said to compile.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thread that shows that kernels are being compiled, from [`PATIENCE`] on until `compiled` is set.
fn show_compilation(bar: Option<ProgressBar>, compiled: Arc<AtomicBool>) {
    let begun = Instant::now();
    std::thread::spawn(move || {
        let mut told = false;
        while !compiled.load(Ordering::Relaxed) {
            let text = format!("compiling kernels for this driver, {} s", begun.elapsed().as_secs());
            match &bar {
                _ if begun.elapsed() < PATIENCE => {}
                Some(bar) => bar.set_message(text),
                None if told => {}
                None => output::progress(&"compiling kernels for this driver; the first step waits for them"),
            }
            told = begun.elapsed() >= PATIENCE;
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

impl Progress {
    /// For the steps after `extent.steps.start` up to `extent.steps.end`.
    pub fn new(extent: Extent, form: Form) -> Self {
        let bar = (form == Form::Text && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:10} {pos}/{len}  {wide_msg}");
            let bar =
                ProgressBar::new(extent.steps.end).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let compiled = Arc::default();
        if form == Form::Text {
            show_compilation(bar.clone(), Arc::clone(&compiled));
        }
        Self { extent, form, bar, begun: Instant::now(), rejected: 0, few_told: false, compiled }
    }

    /// Shows a step.
    pub fn step(&mut self, report: &StepReport) {
        self.compiled.store(true, Ordering::Relaxed);
        let Extent { steps, sites, samples, memory, .. } = &self.extent;
        let (done, all, first) = (report.step, steps.end, steps.start);
        let (sites, samples, memory) = (*sites, *samples as f64, *memory);
        if !report.accepted {
            self.rejected += 1;
            if self.rejected <= REJECTIONS_TOLD {
                let more = if self.rejected == REJECTIONS_TOLD { "; further ones are counted at the end" } else { "" };
                self.warn(&format!(
                    "step {} was rejected, its energy, gradient or Gram matrix is not finite: the weights stay as they were; \
                     a smaller lr= or clip=1 helps if it happens often{more}",
                    report.step
                ));
            }
        }
        if report.lacks_samples(sites) && !self.few_told {
            self.few_told = true;
            self.warn(&format!(
                "step {} had {} distinct samples, which is as many directions as stochastic reconfiguration knows the \
                 geometry of; give more samples (K=), or if they collapsed a smaller lr= or clip=0.3",
                report.step, report.unique
            ));
        }
        let due = done.is_multiple_of(self.extent.report) || done == all;
        if self.form == Form::Quiet || (self.bar.is_none() && !due) {
            return;
        }
        let each = self.begun.elapsed().as_secs_f64() / (done - first) as f64;
        let per_site = sites as f64;
        if self.form == Form::Json {
            return output::line(json!({
                "step": done,
                "steps": all,
                "energy": [report.energy, report.energy_error],
                "per_site": report.energy / per_site,
                "variance": report.variance,
                "acceptance": report.acceptance,
                "accepted": report.accepted,
                "learning_rate": report.learning_rate,
                "samples_per_second": samples / each,
                "memory": memory,
                "seconds_left": each * (all - done) as f64,
            }));
        }
        let energy = Measured { mean: report.energy / per_site, error: report.energy_error / per_site };
        let left = duration(each * (all - done) as f64);
        let variance = significant(report.variance, 2);
        let rate = significant(samples / each, 2);
        let each = significant(each, 2);
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                // Beyond 80 columns the last of it is cut off.
                let memory = bytes(memory);
                bar.set_message(format!(
                    "E/N {energy}  σ² {variance}  {each} s/step  ETA {left}  {rate} samples/s  {memory}"
                ));
            }
            None => output::progress(&format!(
                "step {done}/{all}  E/N {energy}  variance {variance}  {each} s/step  {rate} samples/s  ETA {left}"
            )),
        }
    }

    /// Takes the bar away and tells how many steps were rejected.
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

    fn warn(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::warning(&text)),
            None => output::warning(&text),
        }
    }
}
