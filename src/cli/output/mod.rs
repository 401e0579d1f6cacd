//! Output: lines on stdout and stderr, tables, progress, and the printed form of results.

pub mod chains;
pub mod concentration;
pub mod energy_display;
pub mod exact_answer;
pub mod flags;
pub mod loss_display;
pub mod number;
pub mod observables;
pub mod progress;
pub mod projected;
pub mod sector;
pub mod shortfall;
mod stdout;
pub mod steps;

use std::fmt::Display;
use std::io::Write;

pub use stdout::{is_complete, is_read, line, piece};

/// Prints an error on stderr, always as one line.
pub fn error(text: &dyn Display) {
    complain("", text);
}

/// Prints a warning on stderr. Its text should name a remedy.
pub fn warning(text: &dyn Display) {
    complain("warning: ", text);
}

/// Prints a note on stderr. Callers skip notes with `--quiet`.
pub fn note(text: &dyn Display) {
    complain("note: ", text);
}

/// Prints a line of progress on stderr.
pub fn progress(text: &dyn Display) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// Formats rows in aligned columns, without trailing spaces.
pub fn table<const COLUMNS: usize>(rows: impl Iterator<Item = [String; COLUMNS]>) -> String {
    let rows: Vec<_> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let line = |row: &[String; COLUMNS]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn complain(what: &str, text: &dyn Display) {
    let text = flags::with_flags(&text.to_string());
    let words: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    writeln!(std::io::stderr(), "ketformer: {what}{}", words.join(" ")).ok();
}
