//! Rows of `metrics.csv`, read by the names of the columns, so that files of other versions and damaged files lose as
//! little as possible.

use std::collections::BTreeMap;

use super::quantities::{Column, TrainingReport, columns};

/// Column with the number of device losses so far, which only files of runs with such losses have. It precedes the
/// seconds.
pub(super) const DEVICE_LOSSES: &str = "device_losses";

/// Row of a step.
#[derive(Debug, Clone, Default)]
pub(super) struct Row<R> {
    pub report: R,
    /// Number of device losses so far.
    pub device_losses: u64,
}

/// Contents of a metrics file.
#[derive(Debug, Default)]
pub(super) struct Table<R> {
    /// Readable rows by step.
    pub rows: BTreeMap<u64, Row<R>>,
    /// Whether the file has the column [`DEVICE_LOSSES`].
    pub has_device_losses: bool,
    /// What cannot be read, in a few words each.
    pub faults: Vec<String>,
    /// Differences between the columns of the file and those of this version, in a few words each.
    pub differences: Vec<String>,
}

/// Where a cell belongs.
enum Cell<R> {
    Column(Column<R>),
    DeviceLosses,
    Unknown,
}

impl<R: TrainingReport> Table<R> {
    /// Reads `text`. Lines can end with LF or CRLF. A last line without a line end was being written when the program
    /// ended; it is a row if it is complete.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut table = Self::default();
        let Some((header, rest)) = text.split_once('\n') else {
            if !text.is_empty() {
                table.faults.push("line 1 is no header".into());
            }
            return table;
        };
        let cells = table.cells(header.trim_end_matches('\r'));
        let is_torn = !text.ends_with('\n');
        let last = rest.lines().count() + 1;
        for (number, line) in (2..).zip(rest.lines()).filter(|(_, line)| !line.is_empty()) {
            let fault = match row(line, &cells) {
                Some(row) => match table.rows.insert(row.report.step(), row.clone()) {
                    Some(other) if format!("{other:?}") != format!("{row:?}") => {
                        Some(format!("line {number} repeats step {}", row.report.step()))
                    }
                    _ => None,
                },
                None if number == last && is_torn => None,
                None => Some(format!("line {number} is damaged")),
            };
            table.faults.extend(fault);
        }
        table
    }

    /// Finds the columns of the header.
    fn cells(&mut self, header: &str) -> Vec<Cell<R>> {
        // Earlier versions spelled the same columns differently.
        let header = header.replace("magnetisation", "magnetization");
        let names: Vec<&str> = header.split(',').map(|name| name.trim().trim_matches('"')).collect();
        let own: Vec<Column<R>> = columns().map(|(column, _)| column).collect();
        let matching = names.iter().zip(&own).filter(|(name, column)| **name == column.name).count();
        if names.len() == own.len() && matching < own.len() && 2 * matching >= own.len() {
            self.faults.push("line 1 is damaged".into());
            return own.into_iter().map(Cell::Column).collect();
        }
        let cell = |name: &&str| match own.iter().find(|column| column.name == *name) {
            Some(column) => Cell::Column(*column),
            None if *name == DEVICE_LOSSES => Cell::DeviceLosses,
            None => Cell::Unknown,
        };
        let cells: Vec<Cell<R>> = names.iter().map(cell).collect();
        self.has_device_losses = names.contains(&DEVICE_LOSSES);
        let unknown = names.iter().zip(&cells).filter(|(_, cell)| matches!(cell, Cell::Unknown));
        self.differences.extend(unknown.map(|(name, _)| format!("column {name} is unknown")));
        let missing = own.iter().filter(|column| !names.contains(&column.name));
        self.differences.extend(missing.map(|column| format!("column {} is missing", column.name)));
        cells
    }

    /// Faults and differences in one phrase of limited length; `None` if there are none.
    pub(super) fn complaint(&self) -> Option<String> {
        const SHOWN: usize = 3;
        let all: Vec<&String> = self.faults.iter().chain(&self.differences).collect();
        let shown = all.iter().take(SHOWN).map(|text| text.as_str()).collect::<Vec<_>>().join(", ");
        match all.len() {
            0 => None,
            count if count > SHOWN => Some(format!("{shown} and {} more", count - SHOWN)),
            _ => Some(shown),
        }
    }
}

/// Parses a row; `None` if it is damaged or incomplete. Quantities without a column are unknown (NaN).
fn row<R: TrainingReport>(line: &str, cells: &[Cell<R>]) -> Option<Row<R>> {
    let values: Vec<f64> = line.split(',').map(|cell| cell.trim().parse().ok()).collect::<Option<_>>()?;
    if values.len() != cells.len() {
        return None;
    }
    let mut row = Row::default();
    for (column, _) in columns::<R>() {
        let at = cells.iter().position(|cell| matches!(cell, Cell::Column(own) if own.name == column.name));
        // A step without this column was not known to be rejected.
        let missing = if column.name == "accepted" { 1.0 } else { f64::NAN };
        (column.set)(&mut row.report, at.map_or(missing, |at| values[at]));
        if column.name == "step" && !at.is_some_and(|at| is_step(values[at])) {
            return None;
        }
    }
    if let Some(at) = cells.iter().position(|cell| matches!(cell, Cell::DeviceLosses)) {
        row.device_losses = values[at] as u64;
    }
    Some(row)
}

fn is_step(value: f64) -> bool {
    (1.0..9e15).contains(&value) && value.fract() == 0.0
}

/// Names of the columns, with [`DEVICE_LOSSES`] if requested.
pub(super) fn header<R: TrainingReport>(device_losses: bool) -> String {
    line(columns::<R>().map(|(column, _)| column.name.to_string()), device_losses.then(|| DEVICE_LOSSES.to_string()))
}

/// Row of a step, with the number of device losses if the file has that column.
pub(super) fn line_of<R: TrainingReport>(report: &R, device_losses: Option<u64>) -> String {
    line(columns().map(|(_, get)| get(report).to_string()), device_losses.map(|losses| losses.to_string()))
}

/// Joins cells, with `more` before the last one, which is that of the seconds.
fn line(cells: impl Iterator<Item = String>, more: Option<String>) -> String {
    let mut cells: Vec<String> = cells.collect();
    let at = cells.len().saturating_sub(1);
    if let Some(more) = more {
        cells.insert(at, more);
    }
    cells.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmc::StepReport;

    fn report(step: u64) -> StepReport {
        StepReport { step, energy: -1.5 * step as f64, accepted: true, seconds: 0.25, ..StepReport::default() }
    }

    /// File of `steps` steps.
    fn file(steps: u64) -> String {
        let rows = (1..=steps).map(|step| line_of(&report(step), None) + "\n").collect::<String>();
        header::<StepReport>(false) + "\n" + &rows
    }

    fn steps(table: &Table<StepReport>) -> Vec<u64> {
        table.rows.keys().copied().collect()
    }

    #[test]
    fn line_ends_and_byte_order_marks_do_not_matter() {
        let whole = file(3);
        for text in [whole.clone(), whole.replace('\n', "\r\n"), format!("\u{feff}{whole}"), whole.trim_end().into()] {
            let table = Table::<StepReport>::parse(&text);
            assert_eq!((steps(&table), table.complaint()), (vec![1, 2, 3], None), "{text:?}");
            assert_eq!(line_of(&table.rows[&2].report, None), line_of(&report(2), None));
        }
    }

    #[test]
    fn one_damaged_row_loses_no_other() {
        let lines: Vec<String> = file(4).lines().map(String::from).collect();
        for damage in ["", "garbage", "2,x", "2,-3", "\0\0\0", "0,1", "-2,1", "NaN,1"] {
            let mut lines = lines.clone();
            lines[2] = damage.into();
            let table = Table::<StepReport>::parse(&(lines.join("\n") + "\n"));
            assert_eq!(steps(&table), [1, 3, 4], "{damage:?}");
            assert_eq!(table.complaint().is_some(), !damage.is_empty());
        }
        let mut torn = lines.clone();
        torn[4].truncate(9);
        let table = Table::<StepReport>::parse(&torn.join("\n"));
        assert_eq!((steps(&table), table.complaint()), (vec![1, 2, 3], None));
        let mut header = lines.clone();
        header[0] = header[0].replace("energy", "enemy");
        let table = Table::<StepReport>::parse(&(header.join("\n") + "\n"));
        assert_eq!((steps(&table), table.complaint().as_deref()), (vec![1, 2, 3, 4], Some("line 1 is damaged")));
        let repeated = lines.join("\n") + "\n" + &lines[2].replacen("-3", "-4", 1) + "\n";
        assert_eq!(Table::<StepReport>::parse(&repeated).complaint().as_deref(), Some("line 6 repeats step 2"));
    }

    #[test]
    fn older_and_newer_columns_are_read_by_name() {
        let older = "step,energy,seconds\n1,-7,0.5\n2,-8,0.5\n";
        let table = Table::<StepReport>::parse(older);
        assert_eq!((steps(&table), table.rows[&2].report.energy), (vec![1, 2], -8.0));
        assert!(table.rows[&1].report.variance.is_nan() && table.rows[&1].report.accepted);
        assert!(table.complaint().unwrap().contains("column energy_error is missing"), "{:?}", table.differences);
        let newer = file(2).replace(",seconds", ",color,seconds").replace(",0.25", ",3,0.25");
        let table = Table::<StepReport>::parse(&newer);
        assert_eq!((steps(&table), table.complaint().as_deref()), (vec![1, 2], Some("column color is unknown")));
        assert_eq!(line_of(&table.rows[&2].report, None), line_of(&report(2), None));
        // Without steps, nothing can be read.
        let table = Table::<StepReport>::parse("a,b\n1,2\n");
        assert!(table.rows.is_empty() && !table.faults.is_empty());
        assert_eq!(Table::<StepReport>::parse("").complaint(), None);
    }

    #[test]
    fn device_losses_are_a_column_before_the_seconds() {
        let text = header::<StepReport>(true)
            + "\n"
            + &line_of(&report(1), Some(0))
            + "\n"
            + &line_of(&report(2), Some(3))
            + "\n";
        assert!(text.contains(",device_losses,seconds\n") && text.ends_with(",3,0.25\n"), "{text}");
        let table = Table::<StepReport>::parse(&text);
        assert!(table.has_device_losses && table.complaint().is_none());
        assert_eq!(table.rows.values().map(|row| row.device_losses).collect::<Vec<_>>(), [0, 3]);
    }
}
