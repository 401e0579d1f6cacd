//! `metrics.npy`: the steps of a run in the columns of the public PyTorch code's `DEBUG.npy`, for scripts that read it.

use std::path::Path;

use super::array::save_array;
use crate::error::Result;
use crate::vmc::{Magnetization, StepReport};

/// Number of columns of a step: energy of the whole lattice and its variance; mean and variance of the magnetization
/// M = Σ (2n − 1), of |M|, of M², and of the staggered magnetization Σ (−1)^(x+y) (n − ½) / N; seconds since the run
/// began.
pub const HISTORY_COLUMNS: usize = 11;

/// Rows of the steps so far.
#[derive(Debug, Clone, Default)]
pub struct History {
    rows: Vec<[f64; HISTORY_COLUMNS]>,
    seconds: f64,
}

impl History {
    /// Adds the next step.
    pub fn push(&mut self, report: &StepReport) {
        self.seconds += report.seconds;
        let Magnetization { mean, absolute, squared, staggered } = report.magnetization;
        let [[m, m_v], [a, a_v], [s, s_v], [t, t_v]] = [mean, absolute, squared, staggered];
        self.rows.push([report.energy, report.variance, m, m_v, a, a_v, s, s_v, t, t_v, self.seconds]);
    }

    /// Writes the file, (steps, 11) 64-bit floats.
    ///
    /// # Errors
    /// [`crate::ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        save_array(path, &[self.rows.len(), HISTORY_COLUMNS], self.rows.as_flattened())
    }
}
