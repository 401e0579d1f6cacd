//! The benchmark room: what an adapter can do at most, and how near the kernels come to it.
//!
//! Every measurement goes through the same gate: outputs are poisoned, the kernel runs once on random inputs, and what
//! it made is compared with the reference in 64-bit floats, on a part of it where all of it would take long. A wrong
//! kernel gets a row that says so, and no time. Then it is warmed up and timed, by the GPU's timestamps where there are
//! any; each [`BenchRow`] says which clock it was.
//!
//! ```no_run
//! use ketformer::bench::{self, BenchConfig, Subject};
//! # fn main() -> ketformer::Result<()> {
//! let config = BenchConfig { subjects: vec![Subject::Attention], ..BenchConfig::default() };
//! let report = bench::run(&ketformer::Gpu::new()?, &config, &mut |_| ())?;
//! println!("{}", report.table());
//! # Ok(()) }
//! ```

mod attention;
mod contest;
mod gate;
mod head;
mod limits;
mod matmul;
mod norm;
mod origin;
mod plot;
mod report;
mod row;
mod scaling;
mod session;
mod shape;
mod step;
mod subject;
mod tune;

pub use contest::Verdict;
pub use limits::{Limits, OperationCost};
pub use origin::Origin;
pub use plot::plot;
pub use report::{BenchReport, Compared};
pub use row::BenchRow;
pub use scaling::{PowerLaw, ScalingCurve};
pub use shape::BenchShape;
pub use subject::Subject;
pub use tune::{TuneConfig, TuneReport, tune};

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Gpu, Profile};
use crate::kernels::choice::{FORMS, Forms};
use session::Session;

/// What to measure, and how often.
#[derive(Debug, Clone)]
pub struct BenchConfig {
    /// What to measure, in this order.
    pub subjects: Vec<Subject>,
    /// Shapes to measure at, for a single subject that has shapes; empty: those of [`Subject::shapes`].
    pub shapes: Vec<BenchShape>,
    /// Timed runs of each row, at least 1.
    pub runs: u32,
    /// Runs before the first that is timed.
    pub warmup: u32,
    /// Seed of the inputs.
    pub seed: u64,
    /// The form that kernels which have one of this name are to take; only they are measured then. With [`STORAGE`] all
    /// kernels are measured, and none reads textures.
    pub variant: Option<String>,
}

/// The variant of all kernels that reads storage buffers where the default reads textures, see [`Gpu::reads_texels`].
pub const STORAGE: &str = "storage";

impl Default for BenchConfig {
    fn default() -> Self {
        let subjects = vec![Subject::Limits, Subject::Attention, Subject::Matmul];
        Self { subjects, shapes: Vec::new(), runs: 10, warmup: 2, seed: 0, variant: None }
    }
}

impl BenchConfig {
    /// Whether the settings make sense together; needs no adapter.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for zero runs, for a variant that no kernel has, for shapes that do not belong to exactly one subject, and for shapes that
    /// no kernel has.
    pub fn check(&self) -> Result<()> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        if self.runs == 0 {
            return error("bench: a time needs at least one run; give --runs 1 or more".into());
        }
        if self.subjects.is_empty() {
            return error("bench: nothing to measure; give a subject such as attention".into());
        }
        if let Some(variant) = &self.variant
            && variant != STORAGE
            && FORMS.iter().all(|forms| forms.find(variant).is_none())
        {
            let names = |forms: &&Forms| {
                let names: Vec<&str> = forms.all.iter().map(|form| form.name).collect();
                format!("{} {}", forms.kernel, names.join(" "))
            };
            let all: Vec<String> = FORMS.iter().map(names).collect();
            let all = all.join(", ");
            return error(format!(
                "bench: no kernel has a variant `{variant}`; there are {STORAGE} (no textures in any kernel), {all}"
            ));
        }
        match (self.subjects.as_slice(), self.shapes.as_slice()) {
            (_, []) => Ok(()),
            ([subject], shapes) => shapes.iter().try_for_each(|shape| subject.check(shape)),
            (_, [shape, ..]) => error(format!(
                "bench: shape {shape} could belong to several subjects; give one, such as `bench attention --shape {}`",
                Subject::Attention.example()
            )),
        }
    }

    fn profile(&self) -> Profile {
        Profile { warmup: self.warmup, runs: self.runs }
    }
}

/// Measures what `config` says on `gpu`; `progress` is told what is being measured. The adapter's limits are measured
/// first in any case: every row is given as a share of them.
///
/// # Errors
/// As [`BenchConfig::check`]; [`ErrorKind::Settings`] for a variant of kernels that were not measured; [`ErrorKind::Memory`] for a shape beyond the adapter's limits, naming the limit; what the
/// device says.
pub fn run(gpu: &Gpu, config: &BenchConfig, progress: &mut dyn FnMut(&str)) -> Result<BenchReport> {
    config.check()?;
    for subject in &config.subjects {
        config.shapes_of(*subject).iter().try_for_each(|shape| subject.check_adapter(gpu, shape))?;
    }
    let gpu = match &config.variant {
        Some(variant) if variant == STORAGE => gpu.with_texels(false).listening(),
        Some(variant) => gpu.forcing(variant).listening(),
        None => gpu.listening(),
    };
    let mut session = Session::new(&gpu, config, progress)?;
    for subject in &config.subjects {
        let shapes = config.shapes_of(*subject);
        match subject {
            Subject::Limits => session.report_limits(),
            Subject::Attention => shapes.iter().try_for_each(|shape| attention::run(&mut session, shape))?,
            Subject::Matmul => shapes.iter().try_for_each(|shape| matmul::run(&mut session, shape))?,
            Subject::Norm => shapes.iter().try_for_each(|shape| norm::run(&mut session, shape))?,
            Subject::Head => shapes.iter().try_for_each(|shape| head::run(&mut session, shape))?,
            Subject::Moves => shapes.iter().try_for_each(|shape| step::run_moves(&mut session, shape))?,
            Subject::Step | Subject::StepRnn | Subject::StepLptf | Subject::StepSr => {
                shapes.iter().try_for_each(|shape| step::run_step(&mut session, *subject, shape))?
            }
            Subject::Scaling => {
                shapes.iter().try_for_each(|shape| scaling::run(&mut session, shape))?;
                scaling::find_laws(&mut session);
            }
        }
    }
    session.finish()
}

impl BenchConfig {
    fn shapes_of(&self, subject: Subject) -> Vec<BenchShape> {
        if self.shapes.is_empty() { subject.shapes() } else { self.shapes.clone() }
    }
}
