//! A benchmark under way: inputs, the gate, the clock, the rows so far.

use std::collections::BTreeMap;
use std::time::Instant;

use super::contest::Contest;
use super::gate::affordable;
use super::{BenchConfig, BenchReport, BenchRow, BenchShape, Limits, Origin, ScalingCurve, Subject, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Asked, Buffer, Cost, Gpu, Plan, Profile, Timing, View};
use crate::kernels::{Measured, POISON, RandomInputs};

/// What a row is called.
#[derive(Debug, Clone)]
pub(super) struct Title {
    pub kernel: &'static str,
    pub variant: String,
    pub shape: String,
}

impl Title {
    pub fn new(kernel: &'static str, variant: impl Into<String>, shape: &BenchShape) -> Self {
        Self { kernel, variant: variant.into(), shape: shape.to_string() }
    }
}

pub(super) struct Session<'a> {
    pub gpu: &'a Gpu,
    pub profile: Profile,
    pub random: RandomInputs,
    pub limits: Limits,
    pub notes: Vec<String>,
    pub curves: Vec<ScalingCurve>,
    pub seed: u64,
    /// What the first cases of a kernel gave, for passes of many kernels.
    pub gated: BTreeMap<&'static str, Vec<Measured>>,
    rows: Vec<BenchRow>,
    limit_rows: Vec<BenchRow>,
    origin: Origin,
    variant: Option<String>,
    asked: Vec<Asked>,
    /// Outputs made since the last measurement.
    outputs: Vec<View>,
    contest: Option<Contest>,
    progress: &'a mut dyn FnMut(&str),
}

impl<'a> Session<'a> {
    /// Opens the session by measuring the adapter's limits.
    pub fn new(gpu: &'a Gpu, config: &BenchConfig, progress: &'a mut dyn FnMut(&str)) -> Result<Self> {
        let mut session = Self::bare(gpu, config, progress);
        session.limits = limits::measure(&mut session, config.subjects.contains(&Subject::Limits))?;
        session.limit_rows = std::mem::take(&mut session.rows);
        session.share_limits();
        session.variant = config.variant.clone();
        Ok(session)
    }

    /// A session whose measurements are contests.
    pub fn contests(gpu: &'a Gpu, config: &BenchConfig, contest: Contest, progress: &'a mut dyn FnMut(&str)) -> Self {
        Self { contest: Some(contest), ..Self::bare(gpu, config, progress) }
    }

    /// Whether time for contests is up.
    pub fn is_over(&mut self) -> bool {
        self.contest.as_mut().is_some_and(Contest::is_over)
    }

    /// What came of the contests.
    pub fn end_contests(self) -> Result<Contest> {
        self.contest.ok_or_else(|| Error::new(ErrorKind::Settings, "tune: this session held no contest; report this"))
    }

    fn bare(gpu: &'a Gpu, config: &BenchConfig, progress: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            gpu,
            profile: config.profile(),
            random: RandomInputs::new(config.seed),
            limits: Limits::default(),
            notes: Vec::new(),
            curves: Vec::new(),
            rows: Vec::new(),
            limit_rows: Vec::new(),
            origin: Origin::of(gpu),
            seed: config.seed,
            gated: BTreeMap::new(),
            variant: None,
            asked: Vec::new(),
            outputs: Vec::new(),
            contest: None,
            progress,
        }
    }

    /// The limits' own rows were made before the limits were known.
    fn share_limits(&mut self) {
        let limits = &self.limits;
        for row in &mut self.limit_rows {
            let share = |rate: Option<f64>, peak: f64| rate.filter(|_| peak > 0.0).map(|rate| 100.0 * rate / peak);
            row.percent_of_peak = match row.kernel.as_str() {
                "probe_multiply_add" => share(row.gflops, limits.gflops),
                "probe_copy" => share(row.gbytes_per_s, limits.gbytes_per_s),
                _ => None,
            };
        }
    }

    /// Puts the limits among the rows.
    pub fn report_limits(&mut self) {
        self.rows.append(&mut self.limit_rows.clone());
        self.notes.push(self.limits.to_string());
        self.notes.push(limits::costs_note(self.gpu));
        self.notes.push(limits::texels_note(&self.limits, self.gpu.reads_texels()));
    }

    /// The last row, taken back.
    pub fn take_row(&mut self) -> Option<BenchRow> {
        self.rows.pop()
    }

    /// All rows.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] where a variant was wanted that nothing measured here has.
    pub fn finish(self) -> Result<BenchReport> {
        if let (Some(variant), []) = (&self.variant, self.rows.as_slice()) {
            let mut names: Vec<String> =
                self.asked.iter().map(|asked| format!("{} {}", asked.kernel, asked.all.join(" "))).collect();
            names.sort();
            names.dedup();
            let there = if names.is_empty() { "none".into() } else { names.join(", ") };
            let message = format!("bench: nothing measured here has a variant `{variant}`; there are {there}");
            return Err(Error::new(ErrorKind::Settings, message));
        }
        Ok(BenchReport { limits: self.limits, rows: self.rows, notes: self.notes, curves: self.curves })
    }

    /// Whether what was just recorded takes the variant that is wanted, if one is.
    pub fn is_wanted(&mut self) -> bool {
        let asked = self.gpu.asked();
        let wanted = self.variant.is_none() || asked.iter().any(|asked| asked.forced);
        self.asked.extend(asked);
        wanted
    }

    pub fn tell(&mut self, title: &Title) {
        let words = [title.kernel, &title.variant, &title.shape];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        (self.progress)(&words.join(" "));
    }

    /// `count` random floats within ± `scale`, here and on the device.
    pub fn input(&mut self, label: &str, count: u64, scale: f32) -> Result<(Vec<f32>, Buffer)> {
        // Asked for first, so that a size that the adapter cannot hold is never made here.
        let buffer = self.gpu.buffer(&format!("bench.{label}"), count)?;
        let values: Vec<f32> = self.random.floats(count as usize).into_iter().map(|v| scale * v).collect();
        buffer.write(self.gpu, &values)?;
        Ok((values, buffer))
    }

    /// An output of `count` elements, poisoned so that what a kernel forgets is an infinite error.
    pub fn output(&mut self, label: &str, count: u64) -> Result<Buffer> {
        let buffer = self.gpu.buffer(&format!("bench.{label}"), count)?;
        buffer.write(self.gpu, &vec![POISON; count as usize])?;
        self.outputs.push(buffer.view());
        Ok(buffer)
    }

    /// Runs what `record` records once, lets `check` compare what it made, and only then takes its time. `flops`
    /// replaces the plan's own count where that is an estimate.
    pub fn measure(
        &mut self,
        title: Title,
        flops: Option<f64>,
        record: impl Fn(&mut Plan) -> Result<()>,
        check: impl FnOnce(&Gpu) -> Result<Vec<Measured>>,
    ) -> Result<()> {
        self.tell(&title);
        let outputs = std::mem::take(&mut self.outputs);
        if let Some(contest) = &mut self.contest {
            return contest.hold(self.gpu, &title, &outputs, record, check);
        }
        // Uploads must not count as first use.
        self.gpu.queue().submit([]);
        self.gpu.wait(None)?;
        let start = Instant::now();
        let mut plan = Plan::new(self.gpu);
        self.gpu.asked();
        match record(&mut plan) {
            Err(error) if self.variant.is_some() && error.kind() == ErrorKind::Shape => {
                // The variant that is wanted is not for this shape.
                let mut row = self.row(&title, String::new());
                row.error = Some(error.to_string());
                self.rows.push(row);
                return Ok(());
            }
            recorded => recorded?,
        }
        let asked = self.gpu.asked();
        if self.variant.is_some() && asked.iter().all(|asked| !asked.forced) {
            self.asked.extend(asked);
            return Ok(());
        }
        plan.run()?;
        let forms: Vec<&str> = asked.iter().map(|asked| asked.taken).collect();
        let launched = match forms.is_empty() {
            true => plan.kernels().join(" "),
            false => format!("{} as {}", plan.kernels().join(" "), forms.join(" ")),
        };
        let mut row = self.row(&title, launched);
        row.first_use_ms = Some(start.elapsed().as_secs_f64() * 1e3);
        let measured = check(self.gpu)?;
        row.error = self.verdict(&measured);
        row.max_error = measured.iter().map(|m| m.error).reduce(f64::max).filter(|error| error.is_finite());
        if row.error.is_none() {
            let cost = Cost { flops: flops.unwrap_or(plan.cost().flops), ..plan.cost() };
            self.fill(&mut row, &plan.timing(self.profile)?, cost);
        }
        self.rows.push(row);
        Ok(())
    }

    /// Why these outputs are no good, if they are not.
    pub fn verdict(&self, measured: &[Measured]) -> Option<String> {
        if measured.is_empty() {
            return Some("nothing was compared with the reference, so there is no time".into());
        }
        measured.iter().find(|m| !m.passed()).map(|m| {
            format!(
                "wrong: output {} is off by {:.1e}, allowed are {:.1e} (seed {})",
                m.output, m.error, m.tolerance, self.seed
            )
        })
    }

    /// A row without numbers.
    pub fn row(&self, title: &Title, launched: String) -> BenchRow {
        BenchRow {
            kernel: title.kernel.into(),
            variant: title.variant.clone(),
            shape: title.shape.clone(),
            median_ms: None,
            spread: None,
            gflops: None,
            gbytes_per_s: None,
            percent_of_peak: None,
            max_error: None,
            first_use_ms: None,
            clock: None,
            launched,
            error: None,
            adapter: self.origin.adapter.clone(),
            driver: self.origin.driver.clone(),
            commit: self.origin.commit.clone(),
        }
    }

    /// Writes times and rates into a row.
    pub fn fill(&self, row: &mut BenchRow, timing: &Timing, cost: Cost) {
        let ms = timing.median();
        let rate = |amount: f64| (amount > 0.0 && ms > 0.0).then(|| amount / ms / 1e6);
        row.median_ms = Some(ms);
        row.spread = Some(timing.spread()).filter(|spread| spread.is_finite());
        row.gflops = rate(cost.flops);
        row.gbytes_per_s = rate(cost.bytes);
        row.percent_of_peak = self.limits.percent(cost, ms);
        row.clock = Some(timing.clock.to_string());
    }

    pub fn push(&mut self, row: BenchRow) {
        self.rows.push(row);
    }
}

/// How many of `count` equal things the reference computes, when each takes `work` multiply-adds.
pub(super) fn checked(count: usize, work: u64) -> Vec<usize> {
    super::gate::spread(count, affordable(work).min(4096))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::probe::ProbeCopy;

    /// What the row of a copy is when `check` judges it.
    fn row_of(check: impl FnOnce() -> Vec<Measured>) -> BenchRow {
        let gpu = Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one");
        let config = BenchConfig { runs: 1, warmup: 0, ..BenchConfig::default() };
        let mut ignore = |_: &str| ();
        let mut session = Session::new(&gpu, &config, &mut ignore).unwrap();
        let ((_, x), y) = (session.input("x", 64, 1.0).unwrap(), session.output("y", 64).unwrap());
        let copy = ProbeCopy { x: x.view(), y: y.view() };
        let title = Title::new("probe_copy", "", &BenchShape(vec![16]));
        session.measure(title, None, |plan| copy.record(plan, 16), |_| Ok(check())).unwrap();
        session.take_row().unwrap()
    }

    #[test]
    fn only_what_is_right_gets_a_time() {
        let measured = |error| vec![Measured { output: "y", error, tolerance: 1e-3 }];
        let right = row_of(|| measured(1e-4));
        assert!(right.error.is_none() && right.median_ms.is_some() && right.clock.is_some());
        for (wrong, said) in [(measured(2e-3), "2.0e-3"), (measured(f64::INFINITY), "inf"), (Vec::new(), "nothing")] {
            let row = row_of(|| wrong);
            assert!(row.error.as_ref().is_some_and(|error| error.contains(said)), "{row:?}");
            assert_eq!((row.median_ms, row.gflops, row.percent_of_peak), (None, None, None));
        }
    }
}
