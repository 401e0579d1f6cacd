//! Benchmarks: limits of an adapter, and the performance of the kernels relative to them.
//!
//! Every measurement includes the same correctness check: outputs are poisoned, the kernel runs once on random inputs,
//! and its outputs are compared with the reference in 64-bit floats, on as many of them as take about a second. The
//! time of this run is that of the first use, which includes compilation. A wrong kernel gets a row with the error and
//! without times. Otherwise it is warmed up, and whole replays are timed, with GPU timestamps around the pass if
//! available; each [`BenchRow`] names its clock.
//!
//! Peak arithmetic, copy bandwidth, shuffles and the costs of launches and submissions are measured first, by the
//! kernels of `kernels::device::probe`. Every row is also given as a share of them. `bench limits` adds the cost of one
//! load by kind. `cargo bench` and `ketformer bench` run the same code.
//!
//! ```no_run
//! use ketformer::bench::{self, BenchConfig, Subject};
//! # fn main() -> ketformer::Result<()> {
//! let config = BenchConfig::new(vec![Subject::Attention]);
//! let report = bench::run(&ketformer::Gpu::new()?, &config, &mut |_| ())?;
//! println!("{}", report.table());
//! # Ok(()) }
//! ```

mod config;
mod curve;
mod gate;
mod key;
mod merged;
mod plot;
mod prediction;
mod report;
mod roofline;
#[cfg(test)]
mod schema;
mod selection;
mod session;
mod shape;
mod subject;
mod subjects;
mod tuning;

pub use config::{BenchConfig, STORAGE};
pub use curve::{PowerLaw, ScalingCurve};
pub use key::RowKey;
pub use merged::MergedReport;
pub use plot::plot;
pub use prediction::{Bound, CompilerStatistics, PredictedRow, Prediction, predict};
pub use report::BenchReport;
pub use roofline::roofline;
pub use selection::{record_suite, selections};
pub use session::Bench;
pub use shape::BenchShape;
pub use subject::Subject;
pub use tuning::race::Verdict;
pub use tuning::{TuneConfig, TuneReport, tune};

use crate::arena::AttentionProblem;
pub use crate::arena::{BenchRow, Environment, Limits, OperationCost, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::kernels::VARIANTS;
use crate::kernels::variant::Variants;

impl BenchConfig {
    /// Checks that the settings are consistent; needs no adapter.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for zero runs, for a variant that no kernel has, for shapes without exactly one subject,
    /// and for shapes that no kernel supports.
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        if self.runs == 0 {
            return error("bench: a time needs at least one run; give BenchConfig::runs=1 or more".into());
        }
        if self.subjects.is_empty() {
            return error("bench: nothing to measure; give a subject such as attention".into());
        }
        if let Some(variant) = &self.variant
            && variant != STORAGE
            && VARIANTS.iter().all(|variants| variants.find(variant).is_none())
        {
            let names = |variants: &&Variants| {
                let names: Vec<&str> = variants.all.iter().map(|variant| variant.name).collect();
                format!("{} {}", variants.kernel, names.join(" "))
            };
            let all: Vec<String> = VARIANTS.iter().map(names).collect();
            let all = all.join(", ");
            return error(format!(
                "bench: no kernel has a variant `{variant}`; there are {STORAGE} (no textures in any kernel), {all}"
            ));
        }
        if self.subjects.contains(&Subject::Attention) {
            self.problems.iter().try_for_each(AttentionProblem::check)?;
            if self.attention_problems().is_empty() {
                return error(
                    "bench attention: no shape has this mask and pass; give others, or a suite that has them".into(),
                );
            }
        }
        match (self.subjects.as_slice(), self.shapes.as_slice()) {
            (_, []) => Ok(()),
            ([subject], shapes) => shapes.iter().try_for_each(|shape| subject.check(shape)),
            (_, [shape, ..]) => {
                error(format!("bench: shape {shape} could belong to several subjects; give only one of them"))
            }
        }
    }
}

/// Measures the limits of the adapter alone: a report without rows.
///
/// # Errors
/// Those of the device.
pub fn measure_limits(gpu: &Gpu, config: &BenchConfig, progress: &mut dyn FnMut(&str)) -> Result<BenchReport> {
    let mut session = Bench::without_limits(gpu, config, progress);
    subjects::limits::measure(&mut session, false)?;
    session.finish()
}

/// Measures the limits of the adapter once more and keeps the larger ones: another program may have used the adapter in
/// the first measurement. Shares of the peak follow.
///
/// # Errors
/// Those of the device.
pub fn confirm_limits(gpu: &Gpu, config: &BenchConfig, report: &mut BenchReport) -> Result<()> {
    let other = measure_limits(gpu, config, &mut |_| ())?.limits;
    let limits = &mut report.limits;
    limits.gflops = limits.gflops.max(other.gflops);
    limits.gbytes_per_s = limits.gbytes_per_s.max(other.gbytes_per_s);
    let is_probe = |row: &BenchRow| row.kernel.starts_with("probe_");
    report.rows.iter_mut().filter(|row| !is_probe(row)).for_each(|row| row.fill_rates(&report.limits));
    Ok(())
}

/// Runs the benchmark `config` on `gpu`. `progress` receives the name of each measurement. The limits of the adapter
/// are always measured first, because every row is reported relative to them.
///
/// # Errors
/// Those of [`BenchConfig::check`] and of the device; [`ErrorKind::Settings`] for a variant of kernels that were not
/// measured; [`ErrorKind::Memory`] for a shape beyond the limits of the adapter, naming the limit.
pub fn run(gpu: &Gpu, config: &BenchConfig, progress: &mut dyn FnMut(&str)) -> Result<BenchReport> {
    config.check()?;
    for subject in &config.subjects {
        config.shapes_of(*subject).iter().try_for_each(|shape| subject.check_adapter(gpu, shape))?;
    }
    if config.subjects.contains(&Subject::Attention) {
        let problems = config.attention_problems();
        problems.iter().try_for_each(|problem| subjects::arena::check_adapter(gpu, problem))?;
    }
    let gpu = match &config.variant {
        Some(variant) if variant == STORAGE => gpu.with_texels(false).with_selection_log(),
        Some(variant) => gpu.with_variant(variant).with_selection_log(),
        None => gpu.with_selection_log(),
    };
    let mut session = Bench::without_limits(&gpu, config, progress);
    let limits = subjects::limits::measure(&mut session, config.subjects.contains(&Subject::Limits))?;
    session.variant = config.variant.clone().filter(|variant| variant != STORAGE);
    for subject in &config.subjects {
        match subject {
            Subject::Attention => subjects::arena::run(&mut session, config)?,
            _ => subjects::run(&mut session, *subject, &config.shapes_of(*subject), &limits)?,
        }
    }
    let mut report = session.finish()?;
    if config.subjects.iter().any(|subject| *subject != Subject::Limits) {
        confirm_limits(&gpu, config, &mut report)?;
    }
    Ok(report)
}
