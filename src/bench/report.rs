//! Report of a benchmark: printing, writing, reading and comparing its rows.

use serde::{Deserialize, Serialize};

use super::curve::ScalingCurve;
use crate::arena::{BenchRow, Limits, Status};
use crate::error::{Error, ErrorKind, Result};

/// Results of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BenchReport {
    /// Limits of the adapter, measured before the rows.
    pub limits: Limits,
    /// Measured rows.
    pub rows: Vec<BenchRow>,
    /// Notes, one line each.
    pub notes: Vec<String>,
    /// Scaling curves, if scaling was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<ScalingCurve>,
}

/// Row of a benchmark compared with the same row of an older one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compared {
    /// Newer row.
    pub row: BenchRow,
    /// Median of the older row in milliseconds.
    pub old_ms: f64,
    /// Older median divided by the newer one: above 1 means faster.
    pub ratio: f64,
}

/// Formats `value` with `decimals` decimals; a dash if there is none.
fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.decimals$}"))
}

/// Rows in aligned columns: the first `left` columns and the last one left-aligned, the others right-aligned.
pub(super) fn aligned<Row: AsRef<[String]>>(rows: &[Row], left: usize) -> String {
    let cells: Vec<&[String]> = rows.iter().map(AsRef::as_ref).collect();
    let count = cells.first().map_or(0, |row| row.len());
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &&[String]| {
        let mut text = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column < left || column + 1 == count {
                text += &format!("{cell:<width$}  ");
            } else {
                text += &format!("{cell:>width$}  ");
            }
        }
        text.trim_end().to_string()
    };
    cells.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Cells of a row of a printed table.
fn cells(row: &BenchRow) -> [String; COLUMNS] {
    let dash = || String::from("-");
    let launched = row.error.as_ref().and_then(|error| error.lines().next()).unwrap_or(&row.launched);
    // With all pairs of causal attention, as others count.
    let of_all_pairs = row.flops_of_all_pairs.zip(row.median_ms).map(|(flops, ms)| flops / ms / 1e6);
    [
        row.kernel.clone(),
        row.variant.clone(),
        row.shape.clone(),
        if row.dtype.is_empty() { dash() } else { row.dtype.clone() },
        row.status.to_string(),
        cell(row.median_ms, 4),
        cell(row.spread.map(|spread| 100.0 * spread), 0),
        cell(row.cold_ms, 4),
        cell(row.gflops, 2),
        cell(of_all_pairs, 2),
        cell(row.gbytes_per_s, 2),
        cell(row.intensity, 1),
        cell(row.percent_of_peak, 1),
        row.max_error.map_or_else(dash, |error| format!("{error:.1e}")),
        row.deterministic.map_or_else(dash, |same| if same { "yes" } else { "no" }.into()),
        cell(row.first_use_ms, 1),
        row.clock.clone().unwrap_or_else(dash),
        launched.into(),
    ]
}

/// Columns of a printed table.
const COLUMNS: usize = 18;

/// Aligned rows without the columns in which every cell is a dash.
fn without_empty_columns(rows: &[[String; COLUMNS]]) -> String {
    let is_kept = |column: &usize| rows.len() == 1 || rows[1..].iter().any(|row| row[*column] != "-");
    let kept: Vec<usize> = (0..COLUMNS).filter(is_kept).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| kept.iter().map(|column| row[*column].clone()).collect()).collect();
    aligned(&rows, kept.iter().filter(|column| **column < WORDS).count())
}

/// Number of columns of words at the left.
const WORDS: usize = 5;

/// A drift in percent above which, and beyond the spread, a device has become slower.
const DRIFT: f64 = 5.0;

/// A note on a row whose times grew while they were measured.
fn drift_note(row: &BenchRow) -> Option<String> {
    let drift = row.drift_percent.filter(|drift| *drift > DRIFT.max(100.0 * row.spread.unwrap_or(0.0)))?;
    let (kernel, shape) = (&row.kernel, &row.shape);
    Some(format!(
        "{kernel} {shape} became {drift:.0} % slower while it was measured: the adapter is too warm or busy; measure again"
    ))
}

impl BenchReport {
    /// Report of rows that were measured elsewhere.
    pub fn new(limits: Limits, rows: Vec<BenchRow>, notes: Vec<String>) -> Self {
        Self { limits, rows, notes, curves: Vec::new() }
    }

    /// Whether a kernel failed.
    pub fn has_errors(&self) -> bool {
        self.rows.iter().any(|row| row.status.is_fault())
    }

    /// Formats the rows as a table with statuses and errors, and the notes below.
    pub fn table(&self) -> String {
        let header = [
            "kernel",
            "variant",
            "shape",
            "type",
            "status",
            "ms",
            "spread %",
            "cold ms",
            "GFLOP/s",
            "of all pairs",
            "GB/s",
            "FLOP/B",
            "% peak",
            "error",
            "same bits",
            "first ms",
            "clock",
            "launched",
        ];
        let mut rows = vec![header.map(String::from)];
        rows.extend(self.rows.iter().map(cells));
        let mut text = without_empty_columns(&rows);
        let long = self.rows.iter().filter_map(|row| row.error.as_ref().filter(|error| error.contains('\n')));
        let slower = self.rows.iter().filter_map(drift_note);
        for note in long.cloned().chain(slower).chain(self.notes.iter().cloned()) {
            text += &format!("\n{note}");
        }
        text
    }

    /// Formats the rows as CSV.
    pub fn csv(&self) -> String {
        BenchRow::csv(&self.rows)
    }

    /// Formats the report as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::NotFinite`] if a number has no JSON representation.
    pub fn json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        let unwritable = |e| Error::new(ErrorKind::NotFinite, "bench: the rows cannot be written as JSON").caused_by(e);
        text.map(|text| text + "\n").map_err(unwritable)
    }

    /// Parses the output of [`BenchReport::json`]; `name` is the file name for the error message.
    ///
    /// # Errors
    /// [`ErrorKind::File`] for any other text.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut report: Self = serde_json::from_str(text).map_err(|e| {
            let message = format!("bench: {name} is not a benchmark; give the text of BenchReport::json");
            Error::new(ErrorKind::File, message).caused_by(e)
        })?;
        // Files of earlier versions have no status.
        for row in report.rows.iter_mut().filter(|row| row.error.is_some() && row.status.passed()) {
            row.status = Status::IncorrectNumerical;
        }
        Ok(report)
    }

    /// Rows that have a time in both reports, matched by kernel, variant and shape.
    pub(crate) fn compare(&self, old: &Self) -> Vec<Compared> {
        let matched = |row: &BenchRow| {
            let old_ms = old.rows.iter().find(|other| row.is_same_subject(other))?.median_ms?;
            Some(Compared { row: row.clone(), old_ms, ratio: old_ms / row.median_ms? })
        };
        self.rows.iter().filter_map(matched).collect()
    }

    /// Table of the rows that have a time in both reports: the older one divided by the newer one.
    pub fn compare_table(&self, old: &Self) -> String {
        let compared = self.compare(old);
        if compared.is_empty() {
            return "no kernel, variant and shape occurs in both benchmarks".into();
        }
        let header = ["kernel", "variant", "shape", "old ms", "new ms", "old/new", "adapter and commit"];
        let mut rows = vec![header.map(String::from)];
        let origin = |row: &BenchRow| format!("{} {}", row.environment.adapter, row.environment.commit);
        rows.extend(compared.iter().map(|Compared { row, old_ms, ratio }| {
            let then = old.rows.iter().find(|other| row.is_same_subject(other)).map(origin).unwrap_or_default();
            let now = origin(row);
            [
                row.kernel.clone(),
                row.variant.clone(),
                row.shape.clone(),
                format!("{old_ms:.4}"),
                cell(row.median_ms, 4),
                format!("{ratio:.2}"),
                if then == now { now } else { format!("{then} → {now}") },
            ]
        }));
        aligned(&rows, 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Environment;

    fn row(kernel: &str, shape: &str, median_ms: Option<f64>) -> BenchRow {
        let environment = Environment { adapter: "llvmpipe".into(), commit: "0123abc".into(), ..Default::default() };
        BenchRow {
            kernel: kernel.into(),
            variant: "causal".into(),
            shape: shape.into(),
            median_ms,
            percent_of_peak: Some(12.5),
            launched: format!("{kernel} \"scalar\", second"),
            status: if median_ms.is_some() { Status::Passed } else { Status::IncorrectNumerical },
            error: median_ms.is_none().then(|| "wrong".into()),
            environment,
            ..BenchRow::default()
        }
    }

    fn report(rows: Vec<BenchRow>) -> BenchReport {
        BenchReport { limits: Limits::default(), rows, notes: vec!["a note".into()], curves: Vec::new() }
    }

    #[test]
    fn json_comes_back_as_it_was() {
        let written = report(vec![row("attention_forward", "2x2x4x4", Some(0.1 + 0.2)), row("broken", "1", None)]);
        let read = BenchReport::parse("a.json", &written.json().unwrap()).unwrap();
        assert_eq!(read, written);
        let error = BenchReport::parse("a.json", "{\"rows\": 3}").unwrap_err().to_string();
        assert!(error.contains("a.json") && error.contains("BenchReport::json"), "{error}");
    }

    #[test]
    fn rows_are_compared_by_kernel_variant_and_shape() {
        let old = report(vec![row("a", "2", Some(3.0)), row("b", "2", Some(1.0)), row("c", "2", None)]);
        let new = report(vec![row("a", "2", Some(1.5)), row("b", "4", Some(1.0)), row("c", "2", Some(1.0))]);
        let compared = new.compare(&old);
        assert_eq!(compared.len(), 1);
        assert_eq!((compared[0].row.kernel.as_str(), compared[0].old_ms, compared[0].ratio), ("a", 3.0, 2.0));
        assert!(new.compare_table(&old).contains("2.00"));
        assert!(report(Vec::new()).compare_table(&old).contains("no kernel"));
    }

    #[test]
    fn throttling_is_noted() {
        let mut slow = row("a", "2", Some(1.0));
        (slow.drift_percent, slow.spread) = (Some(12.0), Some(0.05));
        assert!(report(vec![slow.clone()]).table().contains("a 2 became 12 % slower"));
        slow.spread = Some(0.2);
        assert!(!report(vec![slow]).table().contains("slower"));
    }

    #[test]
    fn a_row_with_an_error_says_so_and_gives_no_time() {
        let found = report(vec![row("broken", "1", None)]);
        assert!(found.has_errors());
        let table = found.table();
        let line = table.lines().nth(1).unwrap();
        assert!(line.ends_with("wrong") && line.contains("INCORRECT_NUMERICAL"), "{line}");
        assert!(!table.contains("cold ms") && !table.contains("GB/s"), "columns without values: {table}");
    }
}
