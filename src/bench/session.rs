//! State of a running benchmark: inputs, correctness check, timing, and the rows so far.

use std::collections::BTreeMap;
use std::time::Instant;

use super::config::BenchConfig;
use super::curve::ScalingCurve;
use super::gate::affordable;
use super::key::RowKey;
use super::report::BenchReport;
use super::tuning::race::VariantRace;
use crate::arena::{BenchRow, Environment, Limits, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Cost, DType, Gpu, Plan, Profile, Timing, VariantSelection, View};
use crate::kernels::{Comparison, POISON, RandomInputs};

/// Running benchmark: kernels, also those of an application, are checked, timed, and become rows of a [`BenchReport`].
///
/// ```no_run
/// use ketformer::bench::{Bench, BenchConfig, BenchShape, RowKey};
/// use ketformer::kernels::{Comparison, Expected};
/// # use ketformer::gpu::{Kernel, Plan, View};
/// # fn double(plan: &mut Plan, x: View, y: View) -> ketformer::Result<()> { Ok(()) }
/// # fn main() -> ketformer::Result<()> {
/// let gpu = ketformer::Gpu::new()?;
/// let mut progress = |title: &str| eprintln!("{title}");
/// let mut bench = Bench::new(&gpu, &BenchConfig::default(), &mut progress)?;
/// let ((x, x_buffer), y) = (bench.input("x", 4096, 1.0)?, bench.output("y", 4096)?);
/// bench.measure(
///     RowKey::new("double", "", &BenchShape(vec![4096])),
///     None,
///     |plan| double(plan, x_buffer.view(), y.view()),
///     |gpu| {
///         let values = x.iter().map(|x| 2.0 * f64::from(*x)).collect();
///         Ok(vec![Comparison::new("y", &y.view().read(gpu, 4096)?, &Expected::Near { values, tolerance: 1e-6 })])
///     },
/// )?;
/// println!("{}", bench.finish()?.table());
/// # Ok(()) }
/// ```
pub struct Bench<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) profile: Profile,
    pub(super) random: RandomInputs,
    pub(super) limits: Limits,
    pub(super) notes: Vec<String>,
    pub(super) curves: Vec<ScalingCurve>,
    pub(super) seed: u64,
    /// Results of the first cases of each kernel, for passes of many kernels.
    pub(super) gated: BTreeMap<&'static str, Vec<Comparison>>,
    rows: Vec<BenchRow>,
    environment: Environment,
    /// Forced variant of the measured kernels.
    pub(super) variant: Option<String>,
    selections: Vec<VariantSelection>,
    /// Outputs created since the last measurement.
    outputs: Vec<View>,
    /// If given, measurements are variant races instead of rows.
    pub(super) race: Option<&'a mut VariantRace>,
    progress: &'a mut dyn FnMut(&str),
}

impl<'a> Bench<'a> {
    /// Starts a benchmark: measures the limits of the adapter. `progress` receives the name of each measurement.
    ///
    /// # Errors
    /// Those of [`BenchConfig::check`] and of the device.
    pub fn new(gpu: &'a Gpu, config: &BenchConfig, progress: &'a mut dyn FnMut(&str)) -> Result<Self> {
        config.check()?;
        let mut bench = Self::without_limits(gpu, config, progress);
        super::subjects::limits::measure(&mut bench, false)?;
        Ok(bench)
    }

    /// Creates a benchmark that has not measured the limits.
    pub(super) fn without_limits(gpu: &'a Gpu, config: &BenchConfig, progress: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            gpu,
            profile: Profile { warmup: config.warmup, runs: config.runs },
            random: RandomInputs::new(config.seed),
            limits: Limits::default(),
            notes: Vec::new(),
            curves: Vec::new(),
            rows: Vec::new(),
            environment: Environment::of(gpu),
            seed: config.seed,
            gated: BTreeMap::new(),
            variant: None,
            selections: Vec::new(),
            outputs: Vec::new(),
            race: None,
            progress,
        }
    }

    /// Whether the time limit of the races is reached.
    pub(super) fn is_over(&mut self) -> bool {
        self.race.as_mut().is_some_and(|race| race.is_over())
    }

    /// Removes and returns all rows.
    pub(super) fn take_rows(&mut self) -> Vec<BenchRow> {
        std::mem::take(&mut self.rows)
    }

    /// Removes and returns the last row.
    pub(super) fn take_row(&mut self) -> Option<BenchRow> {
        self.rows.pop()
    }

    /// Ends the benchmark and returns the report.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if no measured kernel has the forced variant.
    pub fn finish(self) -> Result<BenchReport> {
        if let (Some(variant), []) = (&self.variant, self.rows.as_slice()) {
            let mut names: Vec<String> = self
                .selections
                .iter()
                .map(|selections| format!("{} {}", selections.kernel, selections.all.join(" ")))
                .collect();
            names.sort();
            names.dedup();
            let there = if names.is_empty() { "none".into() } else { names.join(", ") };
            let message = format!("bench: nothing measured here has a variant `{variant}`; there are {there}");
            return Err(Error::new(ErrorKind::Settings, message));
        }
        Ok(BenchReport { limits: self.limits, rows: self.rows, notes: self.notes, curves: self.curves })
    }

    /// Whether the kernels recorded last use the forced variant; true if none is forced.
    pub(super) fn is_wanted(&mut self) -> bool {
        let selections = self.gpu.selections();
        let wanted = self.variant.is_none() || selections.iter().any(|selections| selections.forced);
        self.selections.extend(selections);
        wanted
    }

    pub(super) fn tell(&mut self, title: &RowKey) {
        let words = [&title.kernel, &title.variant, &title.shape];
        let words: Vec<&str> = words.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        self.tell_words(&words);
    }

    pub(super) fn tell_words(&mut self, words: &[&str]) {
        (self.progress)(&words.join(" "));
    }

    /// Creates an input of `count` random floats within ± `scale`, on the host and on the device.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] beyond the limits of the adapter.
    pub fn input(&mut self, label: &str, count: u64, scale: f32) -> Result<(Vec<f32>, Buffer)> {
        // Allocated on the device first, so that a size beyond its limits is never allocated on the host.
        let buffer = self.gpu.buffer(&format!("bench.{label}"), count)?;
        let values: Vec<f32> = self.random.floats(count as usize).into_iter().map(|v| scale * v).collect();
        buffer.write(self.gpu, &values)?;
        Ok((values, buffer))
    }

    /// Creates an output of `count` elements, poisoned so that elements that a kernel does not write count as infinite
    /// errors.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] beyond the limits of the adapter.
    pub fn output(&mut self, label: &str, count: u64) -> Result<Buffer> {
        let buffer = self.gpu.buffer(&format!("bench.{label}"), count)?;
        buffer.write(self.gpu, &vec![POISON; count as usize])?;
        self.outputs.push(buffer.view());
        Ok(buffer)
    }

    /// Runs the plan of `record` once, compares its outputs by `check`, and times it only if they are correct. `flops`
    /// replaces the operation count of the plan where that is an estimate. A wrong kernel gets a row with the error and
    /// without times.
    ///
    /// # Errors
    /// Those of `record` and `check`, and those of the device.
    pub fn measure(
        &mut self,
        title: RowKey,
        flops: Option<f64>,
        record: impl Fn(&mut Plan) -> Result<()>,
        check: impl FnOnce(&Gpu) -> Result<Vec<Comparison>>,
    ) -> Result<()> {
        self.tell(&title);
        let outputs = std::mem::take(&mut self.outputs);
        if let Some(race) = &mut self.race {
            return race.hold(self.gpu, &title, &outputs, record, check);
        }
        // Waits for the uploads, which must not count as first use.
        self.gpu.queue().submit([]);
        self.gpu.wait(None)?;
        let start = Instant::now();
        let mut plan = Plan::new(self.gpu);
        self.gpu.selections();
        match record(&mut plan) {
            Err(error) if self.variant.is_some() && error.kind() == ErrorKind::Shape => {
                // The forced variant does not support this shape.
                let mut row = self.row(&title, String::new());
                (row.status, row.error) = (Status::Unsupported, Some(error.to_string()));
                self.rows.push(row);
                return Ok(());
            }
            recorded => recorded?,
        }
        let selections = self.gpu.selections();
        if self.variant.is_some() && selections.iter().all(|selections| !selections.forced) {
            self.selections.extend(selections);
            return Ok(());
        }
        plan.run()?;
        let variants: Vec<&str> = selections.iter().map(|selections| selections.taken).collect();
        let launched = match variants.is_empty() {
            true => plan.kernels().join(" "),
            false => format!("{} as {}", plan.kernels().join(" "), variants.join(" ")),
        };
        let mut row = self.row(&title, launched);
        row.first_use_ms = Some(start.elapsed().as_secs_f64() * 1e3);
        let measured = check(self.gpu)?;
        row.error = self.verdict(&measured);
        row.status = if row.error.is_some() { Status::IncorrectNumerical } else { Status::Passed };
        row.max_error = measured.iter().map(|m| m.error).reduce(f64::max).filter(|error| error.is_finite());
        if row.error.is_none() {
            let cost = Cost { flops: flops.unwrap_or(plan.cost().flops), ..plan.cost() };
            self.fill(&mut row, &plan.timing(self.profile)?, cost);
        }
        self.rows.push(row);
        Ok(())
    }

    /// Error message of the first wrong output, if there is one.
    pub(super) fn verdict(&self, measured: &[Comparison]) -> Option<String> {
        if measured.is_empty() {
            return Some("nothing was compared with the reference, so there is no time".into());
        }
        measured.iter().find(|m| !m.passed()).map(|m| {
            format!(
                "wrong: output {} has an error of {:.1e}, the tolerance is {:.1e} (seed {})",
                m.output, m.error, m.tolerance, self.seed
            )
        })
    }

    /// Creates a row without times.
    pub(super) fn row(&self, title: &RowKey, launched: String) -> BenchRow {
        BenchRow {
            kernel: title.kernel.clone(),
            variant: title.variant.clone(),
            shape: title.shape.clone(),
            dtype: DType::F32.to_string(),
            warmup: self.profile.warmup,
            launched,
            seed: self.seed,
            environment: self.environment.clone(),
            ..BenchRow::default()
        }
    }

    /// Fills in the times and rates of a row.
    pub(super) fn fill(&self, row: &mut BenchRow, timing: &Timing, cost: Cost) {
        row.flops = Some(cost.flops).filter(|flops| *flops > 0.0);
        row.bytes = Some(cost.bytes).filter(|bytes| *bytes > 0.0);
        row.launches_per_run = 1;
        row.fill_times(&timing.milliseconds, timing.clock, &self.limits);
    }

    pub(super) fn push(&mut self, row: BenchRow) {
        self.rows.push(row);
    }
}

/// Indices of the items, out of `count`, that the reference computes if each takes `work` multiply-adds.
pub(super) fn checked(count: usize, work: u64) -> Vec<usize> {
    super::gate::spread(count, affordable(work).min(4096))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::BenchShape;
    use crate::kernels::device::probe::ProbeCopy;

    /// Row of a copy whose outputs `check` compares.
    fn row_of(check: impl FnOnce() -> Vec<Comparison>) -> BenchRow {
        let gpu = Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one");
        let config = BenchConfig { runs: 1, warmup: 0, ..BenchConfig::default() };
        let mut ignore = |_: &str| ();
        let mut session = Bench::without_limits(&gpu, &config, &mut ignore);
        let ((_, x), y) = (session.input("x", 64, 1.0).unwrap(), session.output("y", 64).unwrap());
        let copy = ProbeCopy { x: x.view(), y: y.view() };
        let title = RowKey::new("probe_copy", "", &BenchShape(vec![16]));
        session.measure(title, None, |plan| copy.record(plan, 16), |_| Ok(check())).unwrap();
        session.take_row().unwrap()
    }

    #[test]
    fn only_what_is_right_gets_a_time() {
        let measured = |error| vec![Comparison { output: "y", error, tolerance: 1e-3 }];
        let right = row_of(|| measured(1e-4));
        assert!(right.error.is_none() && right.median_ms.is_some() && right.clock.is_some());
        for (wrong, said) in [(measured(2e-3), "2.0e-3"), (measured(f64::INFINITY), "inf"), (Vec::new(), "nothing")] {
            let row = row_of(|| wrong);
            assert!(row.error.as_ref().is_some_and(|error| error.contains(said)), "{row:?}");
            assert_eq!((row.median_ms, row.gflops, row.percent_of_peak), (None, None, None));
        }
    }
}
