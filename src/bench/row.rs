//! One measurement.

use serde::{Deserialize, Serialize};

/// One line of a benchmark. A kernel that is wrong, or cannot run, has an error and no numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRow {
    /// What was measured: a kernel, or several together.
    pub kernel: String,
    /// In which form: causal, input gradient, …
    pub variant: String,
    /// Sizes, in the order of the subject.
    pub shape: String,
    /// The middle of the timed runs, in milliseconds.
    pub median_ms: Option<f64>,
    /// Distance of the quartiles over the median.
    pub spread: Option<f64>,
    /// 10⁹ floating-point operations a second, a multiply-add being two; nothing where a kernel has none to speak of.
    pub gflops: Option<f64>,
    /// 10⁹ bytes a second, counting each byte that must be read or written once.
    pub gbytes_per_s: Option<f64>,
    /// The least time that the adapter's measured limits allow, in percent of the median: the larger one of arithmetic
    /// over its peak and traffic over its bandwidth. Above 100 where data stays in caches.
    pub percent_of_peak: Option<f64>,
    /// Largest error against the reference in 64-bit floats over its largest magnitude.
    pub max_error: Option<f64>,
    /// Recording and running for the first time in this process, in milliseconds: compilation, where it was not
    /// compiled for a row before.
    pub first_use_ms: Option<f64>,
    /// `timestamp` or `host`.
    pub clock: Option<String>,
    /// Kernels that were launched, in order, and behind `as` the variants in which those run that have several; for a probe
    /// of one operation, behind a colon its cost.
    pub launched: String,
    /// Why there are no numbers.
    pub error: Option<String>,
    /// Name of the adapter.
    pub adapter: String,
    /// Backend and driver.
    pub driver: String,
    /// The source, see [`crate::bench::Origin::commit`].
    pub commit: String,
}

/// Names of the columns of a CSV file.
const COLUMNS: [&str; 16] = [
    "kernel",
    "variant",
    "shape",
    "median_ms",
    "spread",
    "gflops",
    "gbytes_per_s",
    "percent_of_peak",
    "max_error",
    "first_use_ms",
    "clock",
    "launched",
    "error",
    "adapter",
    "driver",
    "commit",
];

/// A field as RFC 4180 has it.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

impl BenchRow {
    /// The first line of a CSV file.
    pub fn csv_header() -> String {
        COLUMNS.join(",")
    }

    /// A line of a CSV file; what is missing is empty.
    pub fn csv(&self) -> String {
        let fields: [String; COLUMNS.len()] = [
            self.kernel.clone(),
            self.variant.clone(),
            self.shape.clone(),
            number(self.median_ms),
            number(self.spread),
            number(self.gflops),
            number(self.gbytes_per_s),
            number(self.percent_of_peak),
            number(self.max_error),
            number(self.first_use_ms),
            self.clock.clone().unwrap_or_default(),
            self.launched.clone(),
            self.error.clone().unwrap_or_default(),
            self.adapter.clone(),
            self.driver.clone(),
            self.commit.clone(),
        ];
        fields.map(|text| field(&text)).join(",")
    }

    /// Whether `other` measures the same thing.
    pub fn is_same_subject(&self, other: &BenchRow) -> bool {
        (&self.kernel, &self.variant, &self.shape) == (&other.kernel, &other.variant, &other.shape)
    }
}
