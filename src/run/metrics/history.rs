//! `metrics.npy`: the steps of a run in the columns of the public PyTorch code's `DEBUG.npy`, for scripts that read it.

use std::path::Path;

use super::quantities::{QUANTITIES, Quantity};
use crate::error::Result;
use crate::run::save_array;
use crate::vmc::StepReport;

/// Rows of the steps so far: energy of the whole lattice and its variance; mean and variance of the magnetization
/// M = Σ (2n − 1), of |M|, of M², and of the staggered magnetization Σ (−1)^(x+y) (n − ½) / N; seconds since the run
/// began.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// (steps, columns)
    values: Vec<f64>,
    seconds: f64,
}

impl History {
    /// Adds the next step.
    pub fn push(&mut self, report: &StepReport) {
        self.seconds += report.seconds;
        let report = StepReport { seconds: self.seconds, ..report.clone() };
        self.values.extend(columns().map(|quantity| (quantity.get)(&report)));
    }

    /// Writes the file, (steps, 11) 64-bit floats.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let columns = columns().count();
        save_array(path, &[self.values.len() / columns, columns], &self.values)
    }
}

/// Quantities of the columns.
fn columns() -> impl Iterator<Item = &'static Quantity> {
    QUANTITIES.iter().filter(|quantity| quantity.in_history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmc::Magnetization;

    #[test]
    fn rows_have_the_columns_of_the_public_code() {
        let magnetization =
            Magnetization { mean: [3.0, 4.0], absolute: [5.0, 6.0], squared: [7.0, 8.0], staggered: [9.0, 10.0] };
        let report = StepReport {
            energy: 1.0,
            variance: 2.0,
            magnetization,
            seconds: 11.0,
            density: -1.0,
            ..Default::default()
        };
        let mut history = History::default();
        history.push(&report);
        history.push(&report);
        let row: Vec<f64> = (1..=11).map(f64::from).collect();
        assert_eq!((&history.values[..11], &history.values[11..21]), (&row[..], &row[..10]));
        assert_eq!(history.values[21..], [22.0]);
    }
}
