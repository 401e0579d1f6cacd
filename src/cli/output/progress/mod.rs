//! Progress of a run: a live bar on a terminal, otherwise one line per report on stderr, or JSON lines on stdout.

mod bar;

use std::io::IsTerminal;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ketformer::run::TrainingReport;
use serde_json::{Map, Value};

use self::bar::BarText;
use super::number::{duration, significant};
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

impl OutputStyle {
    /// Style of the flags `--json` and `--quiet`.
    pub fn new(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Json,
            (false, true) => Self::Quiet,
            (false, false) => Self::Text,
        }
    }
}

/// What a display shows of reports of type `R`.
pub trait StepDisplay<R> {
    /// What is not finite in a rejected step, after "its".
    const NOT_FINITE: &'static str;
    /// What a step computes and a rate counts, such as `samples`.
    const ITEMS: &'static str;

    /// Number of items of a step.
    fn items(&self, report: &R) -> f64;

    /// Takes a step into account. Returns warnings about it.
    fn take(&mut self, _: &R) -> Vec<String> {
        Vec::new()
    }

    /// Results in the bar, most important first.
    fn bar(&self, report: &R) -> Vec<String>;

    /// Results in a line of text.
    fn line(&self, report: &R) -> String;

    /// Results in a JSON object.
    fn object(&self, report: &R) -> Map<String, Value>;
}

/// Quantities of a run that the progress display needs.
pub struct RunExtent {
    /// Number of steps done before, and total number of steps.
    pub steps: Range<u64>,
    /// Steps between two reports.
    pub report: u64,
    /// Bytes of GPU buffers.
    pub memory: u64,
}

/// Progress display of a run.
pub struct Progress<D> {
    extent: RunExtent,
    display: D,
    form: OutputStyle,
    bar: Option<ProgressBar>,
    begun: Instant,
    rejected: u64,
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

impl<D> Progress<D> {
    /// Creates the progress for the steps after `extent.steps.start` up to `extent.steps.end`.
    pub fn new(extent: RunExtent, display: D, form: OutputStyle) -> Self {
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
        Self { extent, display, form, bar, begun: Instant::now(), rejected: 0, compiled }
    }

    /// Shows a step.
    pub fn step<R: TrainingReport>(&mut self, report: &R)
    where
        D: StepDisplay<R>,
    {
        self.compiled.store(true, Ordering::Relaxed);
        let RunExtent { steps: Range { start: first, end: all }, memory, .. } = self.extent;
        let done = report.step();
        if !report.accepted() {
            self.rejected += 1;
            if self.rejected <= REJECTIONS_TOLD {
                let more = if self.rejected == REJECTIONS_TOLD { "; further ones are counted at the end" } else { "" };
                self.warn(&format!(
                    "step {done} was rejected, its {} is not finite: the weights are unchanged; a smaller lr= or clip=1 \
                     helps if it happens often{more}",
                    D::NOT_FINITE
                ));
            }
        }
        self.display.take(report).iter().for_each(|text| self.warn(text));
        let due = done.is_multiple_of(self.extent.report) || done == all;
        if self.form == OutputStyle::Quiet || (self.bar.is_none() && !due) {
            return;
        }
        let each = self.begun.elapsed().as_secs_f64() / (done - first) as f64;
        let (left, rate) = (each * (all - done) as f64, self.display.items(report) / each);
        if self.form == OutputStyle::Json {
            let mut object = Map::from_iter([("step".to_string(), Value::from(done)), ("steps".into(), all.into())]);
            object.extend(self.display.object(report));
            object.insert(format!("{}_per_second", D::ITEMS), rate.into());
            object.insert("memory".into(), memory.into());
            object.insert("seconds_left".into(), left.into());
            return output::line(Value::from(object));
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                let results = self.display.bar(report);
                bar.set_message(BarText { step: done, steps: all, results, left, each }.line());
            }
            None => {
                let (results, items) = (self.display.line(report), D::ITEMS);
                let (each, rate, left) = (significant(each, 2), significant(rate, 2), duration(left));
                output::progress(&format!("step {done}/{all}  {results}  {each} s/step  {rate} {items}/s  ETA {left}"));
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
