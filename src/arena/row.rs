//! Rows of benchmarks: one measurement of one kernel at one shape, with everything that is needed to compare it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::environment::Environment;
use super::problem::{AttentionProblem, Suite};
use super::race::quartiles;
use crate::gpu::Clock;

/// Result of the correctness check of a measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// All compared outputs are within the tolerance, and no input was modified.
    #[default]
    Passed,
    /// An output differs from the reference by more than the tolerance.
    IncorrectNumerical,
    /// Elements of an output were not written, or a binding has another number of elements than the shape.
    IncorrectShape,
    /// An input was modified.
    ModifiedInput,
    /// The device or the driver failed.
    RuntimeError,
    /// The source is not a kernel: WGSL that does not parse or validate, or bindings that are not those of the contract.
    CompileError,
    /// The kernel did not end in time.
    Timeout,
    /// The kernel does not support the shape, by its own statement. No fault.
    Unsupported,
}

impl Status {
    /// Whether the row has times.
    pub fn passed(self) -> bool {
        self == Self::Passed
    }

    /// Whether the kernel is at fault: neither passed nor unsupported.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Passed | Self::Unsupported)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passed => "PASSED",
            Self::IncorrectNumerical => "INCORRECT_NUMERICAL",
            Self::IncorrectShape => "INCORRECT_SHAPE",
            Self::ModifiedInput => "MODIFIED_INPUT",
            Self::RuntimeError => "RUNTIME_ERROR",
            Self::CompileError => "COMPILE_ERROR",
            Self::Timeout => "TIMEOUT",
            Self::Unsupported => "UNSUPPORTED",
        })
    }
}

/// Row of a benchmark. A kernel that is wrong or cannot run has a status, an error and no times.
///
/// In JSON and CSV the fields of [`Environment`] follow those of the row. A field without a value is `null` or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct BenchRow {
    /// Measured kernel or group of kernels.
    pub kernel: String,
    /// Variant of the measurement: causal, input gradient, …
    pub variant: String,
    /// Sizes, in the order of the subject.
    pub shape: String,
    /// Element type of inputs and outputs: f32 or f16.
    pub dtype: String,
    /// Suite of attention shapes that contains this one, if it is of one.
    pub suite: Option<String>,
    /// Mask of attention: causal or full.
    pub mask: Option<String>,
    /// Passes of attention: forward or forward-backward.
    pub pass: Option<String>,
    /// Result of the correctness check.
    pub status: Status,
    /// Reason for missing times.
    pub error: Option<String>,
    /// Median time of a run in milliseconds, inputs in caches as far as they fit.
    pub median_ms: Option<f64>,
    /// Lower and upper quartile of the time of a run in milliseconds.
    pub quartiles_ms: Option<[f64; 2]>,
    /// Interquartile range divided by the median.
    pub spread: Option<f64>,
    /// Median time of the first run after caches were flushed, in milliseconds.
    pub cold_ms: Option<f64>,
    /// Lower and upper quartile of the time with cold caches in milliseconds.
    pub cold_quartiles_ms: Option<[f64; 2]>,
    /// Median of the last third of the runs divided by that of the first third, minus 1, in percent: above 0 if the
    /// device became slower while it was measured.
    pub drift_percent: Option<f64>,
    /// Number of times of which the median is given.
    pub runs: u32,
    /// Number of launches per time, whose mean it is.
    pub launches_per_run: u32,
    /// Number of runs before the first timed one.
    pub warmup: u32,
    /// `timestamp` or `host`.
    pub clock: Option<String>,
    /// Floating-point operations of the result, a multiply-add counting as two. Causal attention counts the pairs that
    /// the mask leaves; a backward pass counts 2.5 times the forward pass.
    pub flops: Option<f64>,
    /// As `flops`, with all pairs of queries and keys, whatever the mask.
    pub flops_of_all_pairs: Option<f64>,
    /// Bytes that must be read or written, each counted once.
    pub bytes: Option<f64>,
    /// 10⁹ operations per second, by `flops`; `None` for a kernel without arithmetic.
    pub gflops: Option<f64>,
    /// 10⁹ bytes per second, by `bytes`.
    pub gbytes_per_s: Option<f64>,
    /// Arithmetic intensity: operations per byte.
    pub intensity: Option<f64>,
    /// Minimum time according to the measured limits of the adapter, in percent of the median: the larger of arithmetic
    /// over peak and traffic over bandwidth. Above 100 if data stays in caches.
    pub percent_of_peak: Option<f64>,
    /// Measured peak of the adapter in 10⁹ operations per second.
    pub peak_gflops: Option<f64>,
    /// Measured peak of the adapter in 10⁹ bytes per second.
    pub peak_gbytes_per_s: Option<f64>,
    /// Largest error against the reference in 64-bit floats, divided by the largest magnitude of the reference.
    pub max_error: Option<f64>,
    /// Largest allowed error of the output whose error is nearest to its tolerance.
    pub tolerance: Option<f64>,
    /// Whether repeated runs of the same inputs had the same bits.
    pub deterministic: Option<bool>,
    /// Number of repeated runs whose bits were compared.
    pub repeats: u32,
    /// Time of the first recording and run in this process in milliseconds. Includes compilation, unless the kernel was
    /// already compiled for an earlier row.
    pub first_use_ms: Option<f64>,
    /// Launched kernels in order, followed by `as` and the variants of those that have several; for a probe of one
    /// operation followed by a colon and its cost.
    pub launched: String,
    /// File of the kernel, if it is not one of this crate.
    pub file: Option<String>,
    /// SHA-256 of that file.
    pub sha256: Option<String>,
    /// Seed of the inputs.
    pub seed: u64,
    /// Adapter, host and versions.
    #[serde(flatten)]
    pub environment: Environment,
}

/// CSV field quoted according to RFC 4180.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

/// Value of a column as text; a missing value is empty.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Fields that are pairs: quartiles, and smallest and largest.
const PAIRS: [&str; 3] = ["quartiles_ms", "cold_quartiles_ms", "subgroup_sizes"];

/// Columns of a field: one, or two for a pair.
fn columns_of(name: &str, value: &Value) -> Vec<(String, String)> {
    if !PAIRS.contains(&name) {
        return vec![(name.into(), text(value))];
    }
    let end = |at: usize, end: &str| (format!("{name}_{end}"), value.get(at).map(text).unwrap_or_default());
    vec![end(0, "low"), end(1, "high")]
}

impl BenchRow {
    /// Row of attention without results. Rows of other subjects start with [`BenchRow::default`].
    pub fn of_attention(problem: &AttentionProblem, kernel: &str, environment: &Environment) -> Self {
        let [flops, of_all_pairs] = problem.flops();
        Self {
            kernel: kernel.into(),
            variant: format!("{} {}", problem.pass, problem.mask),
            shape: problem.to_string(),
            dtype: problem.dtype.to_string(),
            suite: Suite::of(problem).map(|suite| suite.to_string()),
            mask: Some(problem.mask.to_string()),
            pass: Some(problem.pass.to_string()),
            flops: Some(flops),
            flops_of_all_pairs: Some(of_all_pairs),
            bytes: Some(problem.cost().bytes),
            environment: environment.clone(),
            ..Self::default()
        }
    }

    /// Columns with their values, in the order of the fields.
    pub(crate) fn columns(&self) -> Vec<(String, String)> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields.iter().flat_map(|(name, value)| columns_of(name, value)).collect(),
            _ => Vec::new(),
        }
    }

    /// Formats rows as CSV with a header line.
    pub fn csv(rows: &[Self]) -> String {
        let line = |fields: Vec<String>| fields.iter().map(|text| field(text)).collect::<Vec<_>>().join(",") + "\n";
        let header = line(Self::default().columns().into_iter().map(|(name, _)| name).collect());
        let rows = rows.iter().map(|row| line(row.columns().into_iter().map(|(_, value)| value).collect()));
        header + &rows.collect::<String>()
    }

    /// Whether `other` has the same variant, shape and element type.
    pub(crate) fn is_same_problem(&self, other: &Self) -> bool {
        let key = |row: &Self| [&row.variant, &row.shape, &row.dtype].map(String::clone);
        key(self) == key(other)
    }

    /// Whether `other` has the same kernel, variant, shape and element type.
    pub(crate) fn is_same_subject(&self, other: &Self) -> bool {
        self.kernel == other.kernel && self.is_same_problem(other)
    }

    /// Fills in what follows from times in milliseconds, and the rates and shares of the limits of the adapter.
    pub fn fill_times(&mut self, times: &[f64], clock: Clock, limits: &super::Limits) {
        let [low, median, high] = quartiles(times);
        self.median_ms = Some(median);
        self.quartiles_ms = Some([low, high]);
        self.spread = Some((high - low) / median).filter(|spread| spread.is_finite());
        self.runs = times.len() as u32;
        self.clock = Some(clock.to_string());
        self.fill_rates(limits);
    }

    /// Fills in the rates that follow from the median, `flops` and `bytes`, and the shares of `limits`.
    pub fn fill_rates(&mut self, limits: &super::Limits) {
        let Some(ms) = self.median_ms else { return };
        let rate =
            |amount: Option<f64>| amount.filter(|amount| *amount > 0.0 && ms > 0.0).map(|amount| amount / ms / 1e6);
        let cost = crate::gpu::Cost { flops: self.flops.unwrap_or(0.0), bytes: self.bytes.unwrap_or(0.0) };
        self.gflops = rate(self.flops);
        self.gbytes_per_s = rate(self.bytes);
        self.intensity = (cost.flops > 0.0 && cost.bytes > 0.0).then(|| cost.flops / cost.bytes);
        self.percent_of_peak = limits.percent(cost, ms);
        let measured = |rate: f64| (rate > 0.0).then_some(rate);
        self.peak_gflops = measured(limits.gflops);
        self.peak_gbytes_per_s = measured(limits.gbytes_per_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_has_a_field_for_every_column() {
        let row = BenchRow { kernel: "a \"b\", c".into(), quartiles_ms: Some([1.0, 2.5]), ..BenchRow::default() };
        let text = BenchRow::csv(&[row, BenchRow::default()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].contains("\"a \"\"b\"\", c\"") && lines[1].contains(",1.0,2.5,"), "{}", lines[1]);
        assert!(lines[0].contains(",quartiles_ms_low,quartiles_ms_high,"), "{}", lines[0]);
        // Every line has the same number of commas outside quotes.
        let commas = |line: &str| line.split('"').step_by(2).map(|part| part.matches(',').count()).sum::<usize>();
        assert!(lines.iter().all(|line| commas(line) == commas(lines[0])), "{text}");
        for column in
            ["adapter", "commit", "date", "os", "cpu", "wgpu", "subgroup_sizes_low", "dtype", "status", "sha256"]
        {
            assert!(lines[0].split(',').any(|name| name == column), "{column}: {}", lines[0]);
        }
    }

    #[test]
    fn statuses_have_one_name_everywhere() {
        use Status::*;
        let all = [
            Passed,
            IncorrectNumerical,
            IncorrectShape,
            ModifiedInput,
            RuntimeError,
            CompileError,
            Timeout,
            Unsupported,
        ];
        for status in all {
            assert_eq!(serde_json::to_value(status).unwrap(), status.to_string());
        }
    }
}
