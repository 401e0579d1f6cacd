//! Report of the comparison: table and JSON file, with provenance.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::clock;
use crate::work::Work;

/// Engine of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Ketformer,
    Burn,
}

/// Outcome of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Passed,
    IncorrectNumerical,
    RuntimeError,
}

/// Ratio of burn's time to ours in the same round: above 1 ours is faster.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ratio {
    #[serde(rename = "ratio")]
    pub median: f64,
    #[serde(rename = "ratio_q1")]
    pub q1: f64,
    #[serde(rename = "ratio_q3")]
    pub q3: f64,
}

/// Timed rounds of a variant.
#[derive(Debug, Clone, Serialize)]
pub struct Timed {
    /// Number of calls per run.
    pub calls: usize,
    /// Number of rounds.
    pub rounds: usize,
    /// Milliseconds per call of each run, in order.
    pub runs_ms: Vec<f64>,
}

/// Measured variant of an engine in a benchmark.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub engine: Engine,
    /// Name of the variant: kernels of ours, operations of burn.
    pub form: String,
    /// Subject, sizes, mask and pass.
    #[serde(flatten, serialize_with = "sizes")]
    pub work: Work,
    pub dtype: &'static str,
    pub status: Status,
    /// Reason for any other status than passed.
    pub error: Option<String>,
    /// Median in milliseconds per call: of the rounds for the variants that are raced, otherwise after warm-up, waiting for
    /// each call.
    pub ms: Option<f64>,
    /// First quartile.
    pub q1: Option<f64>,
    /// Third quartile.
    pub q3: Option<f64>,
    /// 10⁹ floating-point operations of the result per second.
    pub gflops: Option<f64>,
    /// Largest error against 64-bit sums, divided by the largest magnitude.
    pub max_error: Option<f64>,
    /// Largest difference between the two engines, divided by the largest magnitude.
    pub difference: Option<f64>,
    /// Whether repeated runs have the same bits; `None`: not measured, because another variant is faster.
    pub deterministic: Option<bool>,
    #[serde(flatten)]
    pub timed: Option<Timed>,
    /// Ratio of the race, in burn's row.
    #[serde(flatten)]
    pub ratio: Option<Ratio>,
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
    /// Objects of all variants.
    rows: Vec<Value>,
    error: Option<String>,
}

/// Report of all benchmarks.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Start time, UTC.
    pub date: String,
    pub adapter: String,
    pub driver: String,
    /// Name and number of the host's processors.
    pub host: String,
    pub os: String,
    /// Commit of ketformer.
    pub ketformer: String,
    pub burn: String,
    pub burn_compiler: String,
    /// wgpu of both engines.
    pub wgpu: String,
    /// Maximum number of rounds per benchmark.
    pub runs: usize,
    /// Number of runs whose bits are compared.
    pub repeats: usize,
    /// Seed of the inputs.
    pub seed: u64,
    /// Load averages at the start and at the end, if the system reports them.
    pub load: [Option<f64>; 2],
    #[serde(rename = "rows", serialize_with = "rows")]
    pub races: Vec<Finished>,
}

/// Sizes of a benchmark as members of its row.
fn sizes<S: Serializer>(work: &Work, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Sizes<T: Serialize> {
        subject: &'static str,
        #[serde(flatten)]
        sizes: T,
        pass: &'static str,
    }
    let (subject, pass) = (work.subject(), work.pass());
    match work {
        Work::Attention(problem, _) => Sizes { subject, sizes: problem, pass }.serialize(serializer),
        Work::Layer(layer, _) => Sizes { subject, sizes: layer, pass }.serialize(serializer),
    }
}

/// Rows of all races.
fn rows<S: Serializer>(races: &[Finished], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(races.iter().flat_map(|race| &race.rows))
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

/// Name and number of the processors.
pub fn host() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    };
    let count = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    match (value("model name"), value("cpu family"), value("model")) {
        (Some(name), Some(family), Some(model)) => format!("{name}, family {family} model {model}, {count} threads"),
        _ => format!("{}, {count} threads", std::env::consts::ARCH),
    }
}

/// Current time, as 2026-01-31T12:34:56Z.
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds)
}

/// Calendar date of seconds since 1970: Richards' algorithm for the Gregorian calendar.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let julian = days + 2_440_588;
    let f = julian + 1401 + (4 * julian + 274_277) / 146_097 * 3 / 4 - 38;
    let e = 4 * f + 3;
    let h = 5 * (e % 1461 / 4) + 2;
    let (day, month) = (h % 153 / 5 + 1, (h / 153 + 2) % 12 + 1);
    let year = e / 1461 - 4716 + (14 - month) / 12;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
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
    /// Row without figures.
    pub fn new(work: &Work, engine: Engine, form: String) -> Self {
        Self {
            engine,
            form,
            work: *work,
            dtype: "f32",
            status: Status::Passed,
            error: None,
            ms: None,
            q1: None,
            q3: None,
            gflops: None,
            max_error: None,
            difference: None,
            deterministic: None,
            timed: None,
            ratio: None,
        }
    }

    /// Takes the quartiles of times in milliseconds per call.
    pub fn set_times(&mut self, times: &[f64]) {
        let [q1, ms, q3] = clock::quartiles(times);
        (self.q1, self.ms, self.q3) = (Some(q1), Some(ms), Some(q3));
        self.gflops = Some(self.work.flops() / ms / 1e6);
    }

    /// Result as text, printed while other variants run.
    pub fn outcome(&self) -> String {
        let ms = self.ms.map(|ms| format!("{} ms", digits(ms)));
        let error = self.error.as_ref().map(|error| format!("excluded, {error}"));
        [ms, error].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
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
    pub fn finished(&self) -> Finished {
        // A row has no keys but text.
        let rows = self.rows.iter().filter_map(|row| serde_json::to_value(row).ok()).collect();
        Finished { cells: self.cells().into(), rows, error: self.error.clone() }
    }

    fn cells(&self) -> [String; COLUMNS] {
        let none = || "-".to_string();
        let [ours, burn] = [0, 1].map(|side| self.raced.map(|raced| &self.rows[raced[side]]));
        let cell = |row: Option<&Row>, text: fn(&Row) -> Option<String>| row.and_then(text).unwrap_or_else(none);
        let ms = |row: &Row| {
            let (q1, ms, q3) = (row.q1?, row.ms?, row.q3?);
            Some(format!("{} ±{:.0} %", digits(ms), 50.0 * (q3 - q1) / ms))
        };
        let gflops = |row: &Row| row.gflops.map(digits);
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
        race.finished()
    }
}

const COLUMNS: usize = 12;

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
        let [before, after] = self.load.map(|load| load.map_or_else(|| "-".into(), |load| format!("{load:.2}")));
        lines.push(String::new());
        lines.push(format!(
            "{}; {}; {}; ketformer {}; burn {} ({}); wgpu {}; {}; up to {} rounds per benchmark; bits of {} runs; load \
             {before} before, {after} after",
            self.adapter,
            self.driver,
            self.host,
            self.ketformer,
            self.burn,
            self.burn_compiler,
            self.wgpu,
            self.date,
            self.runs,
            self.repeats,
        ));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Pass;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(date(1_798_761_599), "2026-12-31T23:59:59Z");
    }

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
    fn rows_are_flat_objects() {
        let work = Work::Attention("1x32/8x1:4096x128".parse().unwrap(), Pass::Forward);
        let mut row = Row::new(&work, Engine::Burn, "attention".into());
        row.set_times(&[3.0, 1.0, 2.0]);
        row.timed = Some(Timed { calls: 5, rounds: 3, runs_ms: vec![3.0, 1.0, 2.0] });
        row.ratio = Some(Ratio { median: 2.0, q1: 1.0, q3: 3.0 });
        let json = serde_json::to_value(&row).unwrap();
        let names =
            ["engine", "form", "subject", "b", "h", "hk", "s", "sk", "d", "mask", "pass", "dtype", "status", "ms"];
        assert!(names.iter().all(|name| json.get(name).is_some_and(|value| !value.is_object())), "{json}");
        assert_eq!(
            (&json["hk"], &json["sk"], &json["ms"], &json["q1"]),
            (&8.into(), &4096.into(), &2.0.into(), &1.5.into())
        );
        assert_eq!((&json["engine"], &json["status"], &json["ratio"]), (&"burn".into(), &"PASSED".into(), &2.0.into()));
    }
}
