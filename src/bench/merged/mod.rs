//! Rows of several reports, usually of several machines, in one table: an HTML page, Markdown or CSV.

mod markdown;
mod page;

use super::BenchReport;
use crate::arena::{BenchRow, Environment};
use crate::error::{Error, ErrorKind, Result};

/// Reports in one table. Rows of equal environments, whatever their dates, belong to one machine; no row is left out.
#[derive(Debug, Clone)]
pub struct MergedReport {
    machines: Vec<Machine>,
    rows: Vec<Entry>,
    files: Vec<String>,
    baseline: String,
    notes: Vec<String>,
}

/// Adapter, host and versions that rows have in common.
#[derive(Debug, Clone)]
struct Machine {
    /// Environment without its date.
    environment: Environment,
    /// Dates of the rows, the first and the last one.
    dates: [String; 2],
}

/// Row with the index of its machine.
#[derive(Debug, Clone)]
struct Entry {
    machine: usize,
    row: BenchRow,
}

/// Baseline unless another one is given: attention of this crate that supports every shape.
const BASELINE: &str = "ketformer";

impl MergedReport {
    /// Merges reports with their file names. Ratios are relative to the kernel `baseline`, by default `ketformer`, or the
    /// first kernel if there is none of this name.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there are no rows, or no kernel is called `baseline`.
    pub fn new(reports: Vec<(String, BenchReport)>, baseline: Option<&str>) -> Result<Self> {
        let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
        let mut merged = Self {
            machines: Vec::new(),
            rows: Vec::new(),
            files: Vec::new(),
            baseline: String::new(),
            notes: Vec::new(),
        };
        for (file, report) in reports {
            report.rows.into_iter().for_each(|row| merged.add(row));
            merged.notes.extend(report.notes.into_iter().map(|note| format!("{file}: {note}")));
            merged.files.push(file);
        }
        let Some(first) = merged.rows.first() else {
            let files = merged.files.join(", ");
            return error(format!("bench report: no row in {files}; give files of benchmarks that measured something"));
        };
        let exists = |name: &str| merged.rows.iter().any(|entry| entry.row.kernel == name);
        merged.baseline = match baseline {
            Some(name) if exists(name) => name.into(),
            Some(name) => {
                let kernels = merged.kernels().join(", ");
                return error(format!("bench report: no kernel `{name}` in these files; give one of {kernels}"));
            }
            None if exists(BASELINE) => BASELINE.into(),
            None => first.row.kernel.clone(),
        };
        Ok(merged)
    }

    fn add(&mut self, row: BenchRow) {
        let date = row.environment.date.clone();
        let environment = Environment { date: String::new(), ..row.environment.clone() };
        let known = self.machines.iter().position(|machine| machine.environment == environment);
        let machine = known.unwrap_or_else(|| {
            self.machines.push(Machine { environment, dates: [date.clone(), date.clone()] });
            self.machines.len() - 1
        });
        let dates = &mut self.machines[machine].dates;
        // RFC 3339 in UTC is ordered as text.
        dates[0] = dates[0].clone().min(date.clone());
        dates[1] = dates[1].clone().max(date);
        self.rows.push(Entry { machine, row });
    }

    /// Names of the kernels, in the order of the rows.
    fn kernels(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for Entry { row, .. } in &self.rows {
            if !names.contains(&row.kernel.as_str()) {
                names.push(&row.kernel);
            }
        }
        names
    }

    fn rows_of(&self, machine: usize) -> impl Iterator<Item = &BenchRow> + Clone {
        self.rows.iter().filter(move |entry| entry.machine == machine).map(|entry| &entry.row)
    }

    /// All rows as CSV.
    pub fn csv(&self) -> String {
        let rows: Vec<BenchRow> = self.rows.iter().map(|entry| entry.row.clone()).collect();
        BenchRow::csv(&rows)
    }
}

impl Machine {
    /// Version of the crate with the commit; empty if it did not measure the rows.
    fn version(&self) -> String {
        let Environment { version, commit, .. } = &self.environment;
        if version.is_empty() { String::new() } else { format!("ketformer {version} ({commit})") }
    }

    /// Adapter with its driver and processor, and the version of the crate.
    fn described(&self) -> String {
        let Environment { adapter, backend, driver, os, cpu, .. } = &self.environment;
        let version = self.version();
        let words = [adapter, backend, driver, os, cpu, &version];
        words.into_iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" · ")
    }
}

/// Machines are called A, B, … Z, AA, …
fn letter(machine: usize) -> String {
    let last = char::from(b'A' + (machine % 26) as u8);
    match machine / 26 {
        0 => last.into(),
        before => letter(before - 1) + &last.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{AttentionProblem, Limits, Status};

    /// Row of a kernel on an adapter that takes `ms`.
    pub(super) fn row(adapter: &str, kernel: &str, ms: Option<f64>) -> BenchRow {
        let environment = Environment {
            adapter: adapter.into(),
            version: "0.1.0".into(),
            date: format!("date of {kernel}"),
            ..Default::default()
        };
        let problem = AttentionProblem::parse("1x2x16x8").unwrap();
        let mut row = BenchRow::of_attention(&problem, kernel, &environment);
        match ms {
            Some(ms) => row.fill_times(&[ms, ms], crate::gpu::Clock::Host, &limits()),
            None => (row.status, row.error) = (Status::Timeout, Some("too <slow> | here".into())),
        }
        row
    }

    fn limits() -> Limits {
        Limits { gflops: 100.0, gbytes_per_s: 10.0, ..Limits::default() }
    }

    pub(super) fn report(rows: Vec<BenchRow>) -> BenchReport {
        BenchReport { limits: limits(), rows, notes: Vec::new(), curves: Vec::new() }
    }

    /// Two machines, of which the first is in two files.
    pub(super) fn merged(baseline: Option<&str>) -> Result<MergedReport> {
        let first = report(vec![row("GPU one", "mine", Some(4.0)), row("GPU one", "ketformer", Some(2.0))]);
        let second = report(vec![row("GPU two", "mine", None), row("GPU two", "ketformer", Some(1.0))]);
        let third = report(vec![row("GPU one", "naive", Some(40.0))]);
        let named = |name: &str, report| (format!("{name}.json"), report);
        MergedReport::new(vec![named("a", first), named("b", second), named("c", third)], baseline)
    }

    #[test]
    fn rows_of_equal_environments_belong_to_one_machine() {
        let merged = merged(None).unwrap();
        assert_eq!(merged.rows.iter().map(|entry| entry.machine).collect::<Vec<_>>(), [0, 0, 1, 1, 0]);
        assert_eq!(merged.machines[0].dates, ["date of ketformer", "date of naive"]);
        assert_eq!(merged.kernels(), ["mine", "ketformer", "naive"]);
        assert_eq!(merged.csv().lines().count(), 6);
        assert_eq!([0, 25, 26, 27, 26 * 27].map(letter), ["A", "Z", "AA", "AB", "AAA"]);
    }

    #[test]
    fn the_baseline_must_be_a_kernel_of_the_rows() {
        let names = [None, Some("naive")].map(|name| merged(name).unwrap().baseline);
        assert_eq!(names, ["ketformer", "naive"]);
        let other = MergedReport::new(vec![("a".into(), report(vec![row("x", "mine", None)]))], None).unwrap();
        assert_eq!(other.baseline, "mine");
        let error = merged(Some("yours")).unwrap_err().to_string();
        assert!(error.contains("`yours`") && error.contains("mine, ketformer, naive"), "{error}");
        let error = MergedReport::new(vec![("empty.json".into(), report(Vec::new()))], None).unwrap_err().to_string();
        assert!(error.contains("empty.json"), "{error}");
    }
}
