//! Text of the live progress bar.

use crate::cli::output::number::{Measurement, duration, significant};

/// Columns of the narrowest terminal for which the text is made.
const COLUMNS: usize = 80;

/// Columns between two fields, and between the text and the bar.
const GAP: &str = "  ";

/// Maximum number of decimals of the energy.
const DECIMALS: usize = 6;

/// Quantities in the text, most important first.
pub struct BarText {
    /// Number of the last step, and of all steps.
    pub step: u64,
    pub steps: u64,
    /// Energy per site.
    pub energy: Measurement,
    /// Exact energy per site, if it is known.
    pub exact: Option<f64>,
    /// Remaining seconds.
    pub left: f64,
    /// Seconds of a step.
    pub each: f64,
}

impl BarText {
    /// Fields in their order, up to the last one that fits into [`COLUMNS`].
    pub fn line(&self) -> String {
        let Measurement { mean, error } = self.energy;
        let decimals = self.energy.decimals().min(DECIMALS);
        let fields = [
            Some(format!("{}/{}", self.step, self.steps)),
            Some(match error.is_nan() {
                true => format!("E/N {mean:.decimals$} ± unknown"),
                false => format!("E/N {mean:.decimals$} ± {error:.decimals$}"),
            }),
            self.exact.map(|exact| format!("exact {exact:.decimals$}")),
            Some(format!("ETA {}", duration(self.left))),
            Some(format!("{} s/step", significant(self.each, 2))),
        ];
        let add = |line: String, field: String| if line.is_empty() { field } else { line + GAP + &field };
        let fits = |line: &String| line.chars().count() + GAP.len() <= COLUMNS;
        let lines = fields.into_iter().flatten().scan(String::new(), |line, field| {
            *line = add(std::mem::take(line), field);
            Some(line.clone())
        });
        lines.take_while(fits).last().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> BarText {
        let energy = Measurement { mean: -0.452_12, error: 0.000_70 };
        BarText { step: 1000, steps: 1000, energy, exact: Some(-0.453_41), left: 0.0, each: 0.22 }
    }

    #[test]
    fn the_fields_are_in_the_order_of_their_importance() {
        let line = "1000/1000  E/N -0.45212 ± 0.00070  exact -0.45341  ETA 0s  0.22 s/step";
        assert_eq!(usual().line(), line);
        assert_eq!(BarText { exact: None, ..usual() }.line(), line.replace("  exact -0.45341", ""));
    }

    #[test]
    fn the_widest_values_fit_into_80_columns() {
        let long = BarText { step: 50_000, steps: 50_000, left: 99.0 * 3600.0, ..usual() };
        assert!(long.line().ends_with("ETA 99h00m  0.22 s/step"), "{}", long.line());
        let error = Measurement { mean: -123.456_789_012, error: 3e-9 };
        let widest = BarText {
            step: 10_000_000,
            steps: 10_000_000,
            energy: error,
            exact: Some(-123.456_789),
            left: 9999.0 * 3600.0,
            each: 123.4,
        };
        for exact in [widest.exact, None] {
            for error in [3e-9, 0.123, 1e3, f64::NAN] {
                let energy = Measurement { error, ..widest.energy };
                let line = BarText { exact, energy, ..widest }.line();
                assert!(line.chars().count() + GAP.len() <= COLUMNS, "{line}");
                assert!(line.starts_with("10000000/10000000  E/N -123.456"), "{line}");
            }
        }
        assert!(widest.line().contains("exact -123.456789"), "{}", widest.line());
    }
}
