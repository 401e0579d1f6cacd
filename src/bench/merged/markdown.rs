//! Merged rows as Markdown, for pull requests: one table per machine, one column per attention kernel.

use super::{MergedReport, letter};
use crate::arena::BenchRow;
use crate::significant::significant;

/// Text of a cell: no column separators or line breaks.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Line of a table.
fn line(cells: impl IntoIterator<Item = String>) -> String {
    cells.into_iter().fold("|".to_string(), |line, cell| format!("{line} {cell} |")) + "\n"
}

/// Header and separator of a table whose first `words` columns are left-aligned.
fn header(names: &[String], words: usize) -> String {
    let rule = (0..names.len()).map(|column| if column < words { "---" } else { "---:" }.to_string());
    line(names.iter().map(|name| cell(name))) + &line(rule)
}

/// Time with three significant digits, or the status of a row without one.
fn time(row: &BenchRow) -> String {
    row.median_ms.map_or_else(|| row.status.to_string(), |ms| significant(ms, 3))
}

impl MergedReport {
    /// All rows as Markdown. Times are medians in milliseconds; in parentheses the time of the baseline divided by this
    /// one, so that above 1 is faster.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (at, machine) in self.machines.iter().enumerate() {
            text += &format!("**{}** {}\n\n", letter(at), cell(&machine.described()));
            text += &self.attention_table(at);
            text += &self.other_table(at);
        }
        self.notes.iter().for_each(|note| text += &format!("- {}\n", cell(note)));
        text.trim_end().to_string() + "\n"
    }

    /// Attention kernels next to each other, one line per problem.
    fn attention_table(&self, machine: usize) -> String {
        let rows: Vec<&BenchRow> = self.rows_of(machine).filter(|row| row.pass.is_some()).collect();
        let is_here = |kernel: &&str| rows.iter().any(|row| row.kernel == *kernel);
        let kernels: Vec<&str> = self.kernels().into_iter().filter(is_here).collect();
        if kernels.is_empty() {
            return String::new();
        }
        let columns = ["shape", "mask and passes", "type"].map(String::from);
        let names: Vec<String> =
            columns.into_iter().chain(kernels.iter().map(|kernel| format!("{kernel}, ms"))).collect();
        let mut text = header(&names, 3);
        let mut problems: Vec<&BenchRow> = Vec::new();
        for row in &rows {
            if !problems.iter().any(|other| other.is_same_problem(row)) {
                problems.push(row);
            }
        }
        for problem in problems {
            let of = |kernel: &str| {
                let kernel = kernel.to_string();
                rows.iter().copied().filter(move |row| row.kernel == kernel && row.is_same_problem(problem))
            };
            let baseline = of(&self.baseline).find_map(|row| row.median_ms);
            let measured = |row: &BenchRow| match (baseline, row.median_ms) {
                (Some(baseline), Some(ms)) if row.kernel != self.baseline => {
                    format!("{} ({}×)", time(row), significant(baseline / ms, 3))
                }
                _ => time(row),
            };
            let times = |kernel: &&str| {
                let all: Vec<String> = of(kernel).map(measured).collect();
                if all.is_empty() { "–".into() } else { all.join(" / ") }
            };
            let key = [&problem.shape, &problem.variant, &problem.dtype].map(|word| cell(word));
            text += &line(key.into_iter().chain(kernels.iter().map(times)));
        }
        match kernels.contains(&self.baseline.as_str()) {
            true => text + &format!("\n(×): time of {} divided by this one.\n\n", cell(&self.baseline)),
            false => text + "\n",
        }
    }

    /// Rows of the other subjects.
    fn other_table(&self, machine: usize) -> String {
        let rows: Vec<&BenchRow> = self.rows_of(machine).filter(|row| row.pass.is_none()).collect();
        if rows.is_empty() {
            return String::new();
        }
        let number = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| significant(value, 3));
        let names = ["kernel", "variant", "shape", "ms", "GFLOP/s", "GB/s", "% peak"].map(String::from);
        let cells = |row: &BenchRow| {
            let words = [&row.kernel, &row.variant, &row.shape].map(|word| cell(word));
            let numbers = [time(row), number(row.gflops), number(row.gbytes_per_s), number(row.percent_of_peak)];
            line(words.into_iter().chain(numbers))
        };
        header(&names, 3) + &rows.into_iter().map(cells).collect::<String>() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{merged, report, row};
    use super::*;

    #[test]
    fn kernels_are_next_to_each_other_with_ratios_to_the_baseline() {
        let text = merged(None).unwrap().markdown();
        for expected in [
            "**A** GPU one · ketformer",
            "| shape | mask and passes | type | mine, ms | ketformer, ms | naive, ms |",
            "| 1x2x16x8 | forward causal | f32 | 4.00 (0.500×) | 2.00 | 40.0 (0.0500×) |",
            "**B** GPU two",
            "| 1x2x16x8 | forward causal | f32 | TIMEOUT | 1.00 |",
            "(×): time of ketformer divided by this one.",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn every_row_of_every_subject_is_there() {
        let mut other = row("GPU", "matmul | x", Some(3.0));
        other.pass = None;
        let twice = vec![row("GPU", "ketformer", Some(1.0)), row("GPU", "ketformer", Some(2.0)), other];
        let text = MergedReport::new(vec![("a".into(), report(twice))], None).unwrap().markdown();
        assert!(text.contains("| 1.00 / 2.00 |") && text.contains("| matmul \\| x | forward causal |"), "{text}");
    }
}
