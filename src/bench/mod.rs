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
mod limits;
mod plot;
mod prediction;
mod provenance;
mod report;
mod row;
mod selection;
mod session;
mod shape;
mod subject;
mod subjects;
mod tuning;

pub use config::{BenchConfig, STORAGE};
pub use curve::{PowerLaw, ScalingCurve};
pub use limits::{Limits, OperationCost};
pub use plot::plot;
pub use prediction::{Bound, CompilerStatistics, PredictedRow, Prediction, predict};
pub use provenance::Provenance;
pub use report::BenchReport;
pub use row::BenchRow;
pub use selection::{record_suite, selections};
pub use shape::BenchShape;
pub use subject::Subject;
pub use tuning::race::Verdict;
pub use tuning::{TuneConfig, TuneReport, tune};

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::kernels::VARIANTS;
use crate::kernels::variant::Variants;
use session::Bench;

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
        match (self.subjects.as_slice(), self.shapes.as_slice()) {
            (_, []) => Ok(()),
            ([subject], shapes) => shapes.iter().try_for_each(|shape| subject.check(shape)),
            (_, [shape, ..]) => {
                error(format!("bench: shape {shape} could belong to several subjects; give only one of them"))
            }
        }
    }
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
    let gpu = match &config.variant {
        Some(variant) if variant == STORAGE => gpu.with_texels(false).with_selection_log(),
        Some(variant) => gpu.with_variant(variant).with_selection_log(),
        None => gpu.with_selection_log(),
    };
    let mut session = Bench::new(&gpu, config, progress);
    let limits = subjects::limits::measure(&mut session, config.subjects.contains(&Subject::Limits))?;
    session.variant = config.variant.clone().filter(|variant| variant != STORAGE);
    config
        .subjects
        .iter()
        .try_for_each(|subject| subjects::run(&mut session, *subject, &config.shapes_of(*subject), &limits))?;
    session.finish()
}
