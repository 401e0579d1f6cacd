//! Report of the comparison: table, and rows as those of `ketformer bench`.

use ketformer::arena::{BenchRow, Environment, Limits, Status};
use ketformer::bench::BenchReport;
use ketformer::gpu::Clock;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::work::Work;

/// Engine of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Ketformer,
    Burn,
}

/// Ratio of burn's time to ours in the same round: above 1 ours is faster.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    pub median: f64,
    pub q1: f64,
    pub q3: f64,
}

/// Measured variant of an engine in a benchmark.
#[derive(Debug, Clone)]
pub struct Row {
    pub engine: Engine,
    /// Name of the variant: kernels of ours, operations of burn.
    pub form: String,
    pub work: Work,
    pub status: Status,
    /// Reason for any other status than passed.
    pub error: Option<String>,
    /// Milliseconds per call: of the rounds for the variants that are raced, otherwise after warm-up, waiting for each call.
    pub times: Vec<f64>,
    /// Number of calls per time.
    pub calls: usize,
    /// Largest error against 64-bit sums, divided by the largest magnitude.
    pub max_error: Option<f64>,
    /// Whether repeated runs have the same bits; `None`: not measured, because another variant is faster.
    pub deterministic: Option<bool>,
}

/// Benchmark of both engines. One that is wrong or cannot run has an error and no ratio.
#[derive(Debug, Clone)]
pub struct Race {
    pub work: Work,
    /// All variants of both engines.
    pub rows: Vec<Row>,
    /// Rows of our and of burn's fastest correct variant.
    pub raced: Option<[usize; 2]>,
    pub ratio: Option<Ratio>,
    pub error: Option<String>,
}

/// Result of a race as it passes from the process that measured it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finished {
    /// Row of the table.
    cells: Vec<String>,
    /// All variants.
    rows: Vec<BenchRow>,
    error: Option<String>,
}

/// Report of all benchmarks.
#[derive(Debug)]
pub struct Report {
    pub environment: Environment,
    /// Limits of the adapter.
    pub limits: Limits,
    pub burn: String,
    pub burn_compiler: String,
    /// Maximum number of rounds per benchmark.
    pub runs: usize,
    /// Number of runs whose bits are compared.
    pub repeats: usize,
    /// Load averages at the start and at the end, if the system reports them.
    pub load: [Option<f64>; 2],
    pub races: Vec<Finished>,
}

/// Versions of a package in the lock file, ascending.
pub fn versions(package: &str) -> Vec<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let mut lines = lock.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line == format!("name = \"{package}\"") {
            found.extend(lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')));
        }
    }
    found
}

/// Load average over the last minute.
pub fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Three significant digits.
fn digits(value: f64) -> String {
    let decimals = (2 - value.abs().max(1e-3).log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ketformer => "ketformer",
            Self::Burn => "burn",
        }
    }
}

impl Row {
    /// Row without results.
    pub fn new(work: &Work, engine: Engine, form: String) -> Self {
        Self {
            engine,
            form,
            work: *work,
            status: Status::Passed,
            error: None,
            times: Vec::new(),
            calls: 1,
            max_error: None,
            deterministic: None,
        }
    }

    /// Quartiles of the times.
    fn quartiles(&self) -> Option<[f64; 3]> {
        (!self.times.is_empty()).then(|| clock::quartiles(&self.times))
    }

    /// Median of the times.
    pub fn ms(&self) -> Option<f64> {
        self.quartiles().map(|[_, median, _]| median)
    }

    /// Result as text, printed while other variants run.
    pub fn outcome(&self) -> String {
        let ms = self.ms().map(|ms| format!("{} ms", digits(ms)));
        let error = self.error.as_ref().map(|error| format!("excluded, {error}"));
        [ms, error].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// The row as `ketformer bench` writes it.
    fn bench_row(&self, settings: &Provenance<'_>) -> BenchRow {
        let kernel = match self.engine {
            Engine::Ketformer => format!("ketformer {}", self.form.split(':').next().unwrap_or_default()),
            Engine::Burn => format!("burn {} {}", settings.burn, self.form),
        };
        let mut row = match self.work {
            Work::Attention(problem) => BenchRow::of_attention(&problem, &kernel, settings.environment),
            Work::Layer(..) => {
                let mut row = BenchRow::default();
                (row.kernel, row.variant, row.shape) = (kernel, self.work.pass(), self.work.shape());
                (row.dtype, row.flops, row.environment) =
                    ("f32".into(), Some(self.work.flops()), settings.environment.clone());
                row
            }
        };
        row.launched.clone_from(&self.form);
        (row.status, row.error) = (self.status, self.error.clone());
        (row.max_error, row.tolerance) = (self.max_error, Some(crate::check::TOLERANCE));
        (row.deterministic, row.seed) = (self.deterministic, settings.seed);
        row.repeats = self.deterministic.map_or(0, |_| settings.repeats as u32);
        row.launches_per_run = self.calls as u32;
        if self.status.passed() && !self.times.is_empty() {
            row.fill_times(&self.times, Clock::Host, &Limits::default());
        }
        row
    }
}

/// What all rows of a process have in common.
pub struct Provenance<'a> {
    pub environment: &'a Environment,
    pub burn: &'a str,
    pub repeats: usize,
    pub seed: u64,
}

impl Race {
    /// Error message if no variant of an engine is correct.
    pub fn no_variant(&self, engine: Engine) -> String {
        let rows = self.rows.iter().filter(|row| row.engine == engine);
        let errors: Vec<&str> = rows.filter_map(|row| row.error.as_deref()).collect();
        format!("no variant of {} is correct: {}", engine.name(), errors.join("; "))
    }

    /// Result as text, printed while later benchmarks run.
    pub fn line(&self) -> String {
        match (&self.error, self.cells()) {
            (Some(error), _) => format!("    {error}"),
            (None, [_, _, ours, burn, _, _, ratio, ..]) => format!("    ours {ours} ms, burn {burn} ms, ratio {ratio}"),
        }
    }

    /// The result for another process.
    pub fn finished(&self, provenance: &Provenance<'_>) -> Finished {
        let rows = self.rows.iter().map(|row| row.bench_row(provenance)).collect();
        Finished { cells: self.cells().into(), rows, error: self.error.clone() }
    }

    fn cells(&self) -> [String; COLUMNS] {
        let none = || "-".to_string();
        let [ours, burn] = [0, 1].map(|side| self.raced.map(|raced| &self.rows[raced[side]]));
        let cell = |row: Option<&Row>, text: fn(&Row) -> Option<String>| row.and_then(text).unwrap_or_else(none);
        let ms = |row: &Row| {
            let [q1, ms, q3] = row.quartiles()?;
            Some(format!("{} ±{:.0} %", digits(ms), 50.0 * (q3 - q1) / ms))
        };
        let gflops = |row: &Row| row.ms().map(|ms| digits(row.work.flops() / ms / 1e6));
        let error = |row: &Row| row.max_error.map(|error| format!("{error:.0e}"));
        let same = |row: &Row| row.deterministic.map(|same| if same { "yes" } else { "no" }.to_string());
        let ratio = |ratio: &Ratio| format!("{} ({} to {})", digits(ratio.median), digits(ratio.q1), digits(ratio.q3));
        [
            self.work.name(),
            self.work.shape(),
            cell(ours, ms),
            cell(burn, ms),
            cell(ours, gflops),
            cell(burn, gflops),
            self.ratio.as_ref().map_or_else(none, ratio),
            cell(ours, error),
            cell(burn, error),
            cell(ours, same),
            cell(burn, same),
            self.error.clone().unwrap_or_else(|| cell(burn, |row| Some(row.form.clone()))),
        ]
    }
}

impl Finished {
    /// A benchmark that could not run.
    pub fn failed(work: &Work, error: String) -> Self {
        let race = Race { work: *work, rows: Vec::new(), raced: None, ratio: None, error: Some(error) };
        Self { cells: race.cells().into(), rows: Vec::new(), error: race.error }
    }
}

const COLUMNS: usize = 12;
/// Column of the ratio.
const RATIO: usize = 6;

/// Titles of the table; those of figures are aligned to the right.
const TITLES: [&str; COLUMNS] = [
    "work",
    "shape",
    "ours, ms",
    "burn, ms",
    "ours, GFLOP/s",
    "burn, GFLOP/s",
    "burn/ours",
    "our error",
    "its error",
    "our bits repeat",
    "its bits repeat",
    "burn's variant",
];

impl Report {
    /// Whether a benchmark has an error instead of times.
    pub fn has_errors(&self) -> bool {
        self.races.iter().any(|race| race.error.is_some())
    }

    /// The report as a file of `ketformer bench`; notes have the ratios.
    pub fn bench_report(&self) -> BenchReport {
        let mut rows: Vec<BenchRow> = self.races.iter().flat_map(|race| race.rows.clone()).collect();
        rows.iter_mut().for_each(|row| row.fill_rates(&self.limits));
        let note = |race: &Finished| match &race.error {
            Some(error) => format!("{}, {}: {error}", race.cells[0], race.cells[1]),
            None => format!("{}, {}: burn/ours {}", race.cells[0], race.cells[1], race.cells[RATIO]),
        };
        let notes = [self.provenance()].into_iter().chain(self.races.iter().map(note)).collect();
        BenchReport::new(self.limits.clone(), rows, notes)
    }

    /// Machine, versions and settings in one line.
    fn provenance(&self) -> String {
        let [before, after] = self.load.map(|load| load.map_or_else(|| "-".into(), |load| format!("{load:.2}")));
        let Environment { adapter, driver, cpu, commit, wgpu, date, .. } = &self.environment;
        format!(
            "{adapter}; {driver}; {cpu}; ketformer {commit}; burn {} ({}); wgpu {wgpu}; {date}; up to {} rounds per \
             benchmark; bits of {} runs; load {before} before, {after} after",
            self.burn, self.burn_compiler, self.runs, self.repeats,
        )
    }

    /// Formats the races as an aligned Markdown table, with the provenance below.
    pub fn table(&self) -> String {
        let mut rows = vec![TITLES.map(String::from).to_vec()];
        rows.extend(self.races.iter().map(|race| race.cells.clone()));
        let widths: [usize; COLUMNS] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3));
        let is_figure = |column: usize| (2..COLUMNS - 1).contains(&column);
        let line = |row: &Vec<String>| {
            let cell = |column: usize| {
                let (text, width) = (&row[column], widths[column]);
                if is_figure(column) { format!(" {text:>width$} |") } else { format!(" {text:<width$} |") }
            };
            format!("|{}", (0..COLUMNS).map(cell).collect::<String>())
        };
        let rule = |column: usize| {
            let end = if is_figure(column) { ":" } else { "-" };
            format!("{}{end}|", "-".repeat(widths[column] + 1))
        };
        let mut lines = vec![line(&rows[0]), format!("|{}", (0..COLUMNS).map(rule).collect::<String>())];
        lines.extend(rows[1..].iter().map(line));
        lines.push(String::new());
        lines.push(self.provenance());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ketformer::arena::AttentionProblem;

    #[test]
    fn the_lock_file_names_both_engines() {
        assert_eq!(versions("burn-wgpu").len(), 1);
        assert!(!versions("wgpu").is_empty());
    }

    #[test]
    fn figures_have_three_digits() {
        let figures = [0.01234, 0.5, 9.876, 12.345, 1234.5].map(digits);
        assert_eq!(figures, ["0.0123", "0.500", "9.88", "12.3", "1234"]);
    }

    #[test]
    fn rows_are_those_of_a_benchmark() {
        let work = Work::Attention(AttentionProblem::parse("1x32/8x1:4096x128").unwrap());
        let mut row = Row::new(&work, Engine::Burn, "autotuned".into());
        (row.times, row.calls, row.deterministic) = (vec![3.0, 1.0, 2.0], 5, Some(true));
        let environment = Environment::default();
        let provenance = Provenance { environment: &environment, burn: "0.23", repeats: 10, seed: 7 };
        let found = row.bench_row(&provenance);
        assert_eq!((found.kernel.as_str(), found.shape.as_str()), ("burn 0.23 autotuned", "1x32/8x1:4096x128"));
        assert_eq!((found.variant.as_str(), found.suite.as_deref()), ("forward causal", Some("decode")));
        assert_eq!((found.median_ms, found.quartiles_ms), (Some(2.0), Some([1.5, 2.5])));
        assert_eq!((found.runs, found.launches_per_run, found.repeats, found.seed), (3, 5, 10, 7));

        let layer = Work::Layer(crate::work::Layer { rows: 4, inner: 3, columns: 2 }, crate::work::Product::Output);
        let mut wrong = Row::new(&layer, Engine::Ketformer, "linear: linear_product".into());
        (wrong.status, wrong.error, wrong.times) = (Status::IncorrectNumerical, Some("wrong".into()), vec![1.0]);
        let found = wrong.bench_row(&provenance);
        assert_eq!(
            (found.kernel.as_str(), found.variant.as_str(), found.shape.as_str()),
            ("ketformer linear", "y", "4x3x2")
        );
        assert_eq!((found.median_ms, found.pass, found.status), (None, None, Status::IncorrectNumerical));
    }
}
