//! Rows of a benchmark.

use serde::{Deserialize, Serialize};

use super::shape::BenchShape;

/// Key of a row.
#[derive(Debug, Clone)]
pub(super) struct RowKey {
    pub kernel: &'static str,
    pub variant: String,
    pub shape: String,
}

impl RowKey {
    pub(super) fn new(kernel: &'static str, variant: impl Into<String>, shape: &BenchShape) -> Self {
        Self { kernel, variant: variant.into(), shape: shape.to_string() }
    }
}

/// Row of a benchmark. A kernel that is wrong or cannot run has an error and no times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BenchRow {
    /// Measured kernel or group of kernels.
    pub kernel: String,
    /// Variant of the measurement: causal, input gradient, …
    pub variant: String,
    /// Sizes, in the order of the subject.
    pub shape: String,
    /// Median of the timed runs in milliseconds.
    pub median_ms: Option<f64>,
    /// Interquartile range divided by the median.
    pub spread: Option<f64>,
    /// 10⁹ floating-point operations per second, a multiply-add counting as two; `None` for a kernel without
    /// arithmetic.
    pub gflops: Option<f64>,
    /// 10⁹ bytes per second, counting each byte that must be read or written once.
    pub gbytes_per_s: Option<f64>,
    /// Minimum time according to the measured limits of the adapter, in percent of the median: the larger of arithmetic
    /// over peak and traffic over bandwidth. Above 100 if data stays in caches.
    pub percent_of_peak: Option<f64>,
    /// Largest error against the reference in 64-bit floats, divided by the largest magnitude of the reference.
    pub max_error: Option<f64>,
    /// Time of the first recording and run in this process in milliseconds. Includes compilation, unless the kernel was
    /// already compiled for an earlier row.
    pub first_use_ms: Option<f64>,
    /// `timestamp` or `host`.
    pub clock: Option<String>,
    /// Launched kernels in order, followed by `as` and the variants of those that have several; for a probe of one
    /// operation followed by a colon and its cost.
    pub launched: String,
    /// Reason for missing times.
    pub error: Option<String>,
    /// Name of the adapter.
    pub adapter: String,
    /// Backend and driver.
    pub driver: String,
    /// Source of the crate, see [`crate::bench::Provenance::commit`].
    pub commit: String,
}

/// Column names of a CSV file.
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

/// CSV field quoted according to RFC 4180.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

impl BenchRow {
    /// Header line of a CSV file.
    pub(crate) fn csv_header() -> String {
        COLUMNS.join(",")
    }

    /// Line of a CSV file; missing values are empty.
    pub(crate) fn csv(&self) -> String {
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

    /// Whether `other` has the same kernel, variant and shape.
    pub(crate) fn is_same_subject(&self, other: &Self) -> bool {
        (&self.kernel, &self.variant, &self.shape) == (&other.kernel, &other.variant, &other.shape)
    }
}
