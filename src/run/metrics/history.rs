//! `metrics.npy`: the steps of a run for NumPy.

use std::marker::PhantomData;
use std::path::Path;

use super::quantities::{Quantity, TrainingReport};
use crate::error::Result;
use crate::run::save_array;

/// Rows of the steps so far. The columns are some quantities of the report; the last one has the seconds since the run
/// began.
#[derive(Debug, Clone)]
pub struct History<R> {
    /// (steps, columns)
    values: Vec<f64>,
    seconds: f64,
    report: PhantomData<R>,
}

impl<R> Default for History<R> {
    fn default() -> Self {
        Self { values: Vec::new(), seconds: 0.0, report: PhantomData }
    }
}

impl<R: TrainingReport> History<R> {
    /// Adds the next step.
    pub fn push(&mut self, report: &R) {
        self.seconds += report.seconds();
        self.values.extend(columns().map(|quantity: &Quantity<R>| (quantity.get)(report)));
        if let Some(seconds) = self.values.last_mut() {
            *seconds = self.seconds;
        }
    }

    /// Writes the file, (steps, columns) 64-bit floats.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let columns = columns::<R>().count();
        save_array(path, &[self.values.len() / columns, columns], &self.values)
    }
}

/// Quantities of the columns.
fn columns<R: TrainingReport>() -> impl Iterator<Item = &'static Quantity<R>> {
    R::quantities().iter().filter(|quantity| quantity.in_history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmc::{Magnetization, StepReport};

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
