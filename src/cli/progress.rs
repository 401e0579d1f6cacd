//! Progress on stderr: a live bar on a terminal, a line per report otherwise.

use std::io::IsTerminal;
use std::ops::Range;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ketformer::vmc::StepReport;

use super::number::{Measured, duration, significant};
use super::output;

/// How many rejected steps are told one by one.
const REJECTIONS_TOLD: u64 = 3;

/// Shows how a run goes on.
pub struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    /// Steps that were done before, and all.
    steps: Range<u64>,
    report: u64,
    sites: f64,
    begun: Instant,
    rejected: u64,
    /// Whether it was told that there are few distinct samples.
    few_told: bool,
}

impl Progress {
    /// For the steps after `steps.start` up to `steps.end` with a report every `report`, on `sites` sites; with `quiet` only
    /// warnings are shown.
    pub fn new(steps: Range<u64>, report: u64, sites: usize, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let style = ProgressStyle::with_template("{bar:10} {pos}/{len}  {wide_msg}");
            let bar = ProgressBar::new(steps.end).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self {
            bar,
            lines: !terminal && !quiet,
            steps,
            report,
            sites: sites as f64,
            begun: Instant::now(),
            rejected: 0,
            few_told: false,
        }
    }

    /// Shows a step.
    pub fn step(&mut self, report: &StepReport) {
        let (done, all) = (report.step, self.steps.end);
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
        if report.lacks_samples(self.sites as usize) && !self.few_told {
            self.few_told = true;
            self.warn(&format!(
                "step {} had {} distinct samples, which is as many directions as stochastic reconfiguration knows the \
                 geometry of; give more samples (K=), or if they collapsed a smaller lr= or clip=0.3",
                report.step, report.unique
            ));
        }
        let due = done.is_multiple_of(self.report) || done == all;
        if self.bar.is_none() && !(self.lines && due) {
            return;
        }
        let each = self.begun.elapsed().as_secs_f64() / (done - self.steps.start) as f64;
        let energy = Measured { mean: report.energy / self.sites, error: report.energy_error / self.sites };
        let left = duration(each * (all - done) as f64);
        let variance = significant(report.variance, 2);
        let each = significant(each, 2);
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                // Short enough for 80 columns.
                bar.set_message(format!("E/N {energy}  σ² {variance}  {each} s/step  ETA {left}"));
            }
            None => output::progress(&format!(
                "step {done}/{all}  E/N {energy}  variance {variance}  {each} s/step  ETA {left}"
            )),
        }
    }

    /// Takes the bar away and tells how many steps were rejected.
    pub fn finish(self) {
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
