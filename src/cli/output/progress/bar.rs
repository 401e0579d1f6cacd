//! Text of the live progress bar.

use crate::cli::output::number::{duration, significant};

/// Columns of the narrowest terminal for which the text is made.
const COLUMNS: usize = 80;

/// Columns between two fields, and between the text and the bar.
const GAP: &str = "  ";

/// Quantities in the text, most important first.
pub struct BarText {
    /// Number of the last step, and of all steps.
    pub step: u64,
    pub steps: u64,
    /// Results of the step, most important first.
    pub results: Vec<String>,
    /// Remaining seconds.
    pub left: f64,
    /// Seconds of a step.
    pub each: f64,
}

impl BarText {
    /// Fields in their order, up to the last one that fits into [`COLUMNS`].
    pub fn line(self) -> String {
        let first = format!("{}/{}", self.step, self.steps);
        let last = [format!("ETA {}", duration(self.left)), format!("{} s/step", significant(self.each, 2))];
        let add = |line: String, field: String| if line.is_empty() { field } else { line + GAP + &field };
        let fits = |line: &String| line.chars().count() + GAP.len() <= COLUMNS;
        let fields = std::iter::once(first).chain(self.results).chain(last);
        let lines = fields.scan(String::new(), |line, field| {
            *line = add(std::mem::take(line), field);
            Some(line.clone())
        });
        lines.take_while(fits).last().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(results: &[&str]) -> BarText {
        let results = results.iter().map(|text| (*text).into()).collect();
        BarText { step: 1000, steps: 1000, results, left: 0.0, each: 0.22 }
    }

    #[test]
    fn the_fields_are_in_the_order_of_their_importance() {
        let line = "1000/1000  E/N -0.45212 ± 0.00070  exact -0.45341  ETA 0s  0.22 s/step";
        assert_eq!(usual(&["E/N -0.45212 ± 0.00070", "exact -0.45341"]).line(), line);
        assert_eq!(usual(&[]).line(), "1000/1000  ETA 0s  0.22 s/step");
    }

    #[test]
    fn the_widest_values_fit_into_80_columns() {
        let long = ["E/N -0.45212 ± 0.00070", "exact -0.45341"];
        let long = BarText { step: 50_000, steps: 50_000, left: 99.0 * 3600.0, ..usual(&long) };
        let line = long.line();
        assert!(line.ends_with("ETA 99h00m  0.22 s/step"), "{line}");
        for error in ["0.000000", "0.123000", "1000.000000", "unknown"] {
            let energy = format!("E/N -123.456789 ± {error}");
            let widest = BarText {
                step: 10_000_000,
                steps: 10_000_000,
                left: 9999.0 * 3600.0,
                each: 123.4,
                ..usual(&[&energy, "exact -123.456789"])
            };
            let line = widest.line();
            assert!(line.chars().count() + GAP.len() <= COLUMNS, "{line}");
            assert!(line.starts_with("10000000/10000000  E/N -123.456"), "{line}");
            assert!(line.contains("exact -123.456789"), "{line}");
        }
    }
}
