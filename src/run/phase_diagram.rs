//! Phase diagram of a scan over a coupling: `sweep.csv`, and `sweep.svg` with the energy, the order parameter and its
//! fluctuation.

use std::fs;
use std::path::Path;

use plotters::prelude::*;

use super::WRITER;
use super::number::relative_error;
use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};
use crate::physics::{DIAGONAL_OBSERVABLES, index_of};
use crate::plot_style;
use crate::plot_style::{Axis, EXACT, Fault, Frame, LETTERS, Panel};
use crate::vmc::{Estimate, Mean};

/// Width of the plot and height of a panel.
const SIZE: (u32, u32) = (800, 340);

/// Number of columns: the coupling, and those of [`columns`].
const COLUMNS: usize = 11 + 2 * DIAGONAL_OBSERVABLES.len();

/// Columns after the coupling: each mean is followed by its standard error; unknown values are NaN.
fn columns() -> String {
    let diagonal = DIAGONAL_OBSERVABLES.iter().map(|row| format!("{0},{0}_error,", row.name)).collect::<String>();
    format!(
        "energy,energy_error,energy_per_site,variance,{diagonal}sigma_x,sigma_x_error,fluctuation,fluctuation_error,\
         exact_energy,relative_error"
    )
}

/// Estimated ground state at one coupling.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PhasePoint {
    /// The coupling.
    pub coupling: f64,
    /// Energy of the whole lattice.
    pub energy: Mean,
    /// Variance of the local energy.
    pub variance: f64,
    /// The observables of [`DIAGONAL_OBSERVABLES`], in their order.
    pub diagonal: [Mean; DIAGONAL_OBSERVABLES.len()],
    /// Mean ⟨σˣ⟩ per site; NaN if there is none.
    pub sigma_x: Mean,
    /// N (⟨m²⟩ − ⟨|m|⟩²), which has its maximum at a transition.
    pub fluctuation: Mean,
    /// Exact energy; NaN if unknown.
    pub exact: f64,
}

impl PhasePoint {
    /// Creates the point of an estimate at `coupling`.
    pub fn new(coupling: f64, estimate: &Estimate, exact: Option<f64>) -> Self {
        let found = &estimate.observables;
        let unknown = Mean { value: f64::NAN, error: f64::NAN };
        Self {
            coupling,
            energy: Mean { value: estimate.energy, error: estimate.energy_error },
            variance: estimate.variance,
            diagonal: std::array::from_fn(|row| found.diagonal[row]),
            sigma_x: found.sigma_x.unwrap_or(unknown),
            fluctuation: found.staggered_fluctuation,
            exact: exact.unwrap_or(f64::NAN),
        }
    }

    /// ⟨|m|⟩ of the staggered magnetization.
    pub fn staggered_abs(&self) -> Mean {
        self.diagonal[index_of("staggered_abs")]
    }

    /// |E − exact| / |exact|
    pub fn relative_error(&self) -> f64 {
        relative_error(self.energy.value, self.exact)
    }
}

/// Points of a scan over a coupling.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseDiagram {
    /// Name of the coupling as on the command line.
    pub coupling: String,
    /// N
    pub sites: usize,
    /// Points in the order in which they were computed.
    pub points: Vec<PhasePoint>,
}

impl PhaseDiagram {
    fn csv(&self) -> String {
        let mut text = format!("{},{}\n", self.coupling, columns());
        for point in &self.points {
            let PhasePoint { coupling, energy, variance, sigma_x, exact, .. } = point;
            let per_site = energy.value / self.sites as f64;
            text += &format!("{coupling},{},{},{per_site},{variance}", energy.value, energy.error);
            for mean in point.diagonal.iter().chain([sigma_x, &point.fluctuation]) {
                text += &format!(",{},{}", mean.value, mean.error);
            }
            text += &format!(",{exact},{}\n", point.relative_error());
        }
        text
    }

    /// Writes the table atomically.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic_write::write(path, self.csv().as_bytes(), WRITER)
    }

    /// Reads the points of a table back; returns no points if the file does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be read or is not such a table.
    pub fn load_points(path: &Path) -> Result<Vec<PhasePoint>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => {
                let text = format!("sweep: cannot read {}; move it away to recompute its points", path.display());
                return Err(Error::new(ErrorKind::File, text).caused_by(cause));
            }
        };
        let row = |line: &str| {
            let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().ok()).collect::<Option<_>>()?;
            let cells: [f64; COLUMNS] = cells.try_into().ok()?;
            let mean = |at: usize| Mean { value: cells[at], error: cells[at + 1] };
            Some(PhasePoint {
                coupling: cells[0],
                energy: mean(1),
                variance: cells[4],
                diagonal: std::array::from_fn(|row| mean(5 + 2 * row)),
                sigma_x: mean(COLUMNS - 6),
                fluctuation: mean(COLUMNS - 4),
                exact: cells[COLUMNS - 2],
            })
        };
        text.lines().skip(1).map(row).collect::<Option<_>>().ok_or_else(|| {
            let text = format!("sweep: {} is not a table of a sweep; move it away", path.display());
            Error::new(ErrorKind::File, text)
        })
    }

    /// Draws the energy per site, ⟨|m|⟩ and its fluctuation against the coupling, with error bars, and the exact
    /// energies where they are known.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if there is no point or the file cannot be written.
    pub fn draw(&self, path: &Path, title: &str) -> Result<()> {
        let svg = self.svg(title).map_err(|cause| {
            let text = format!("sweep: cannot draw {}: {cause}; sweep.csv has the numbers", path.display());
            Error::new(ErrorKind::File, text)
        })?;
        atomic_write::write(path, svg.as_bytes(), WRITER)
    }

    fn svg(&self, title: &str) -> std::result::Result<String, Fault> {
        let n = self.sites as f64;
        let per_site = |point: &PhasePoint| Mean { value: point.energy.value / n, error: point.energy.error / n };
        plot_style::svg((SIZE.0, 3 * SIZE.1), 3, |panels| {
            let exact: Vec<(f64, f64)> = self.points.iter().map(|point| (point.coupling, point.exact / n)).collect();
            self.panel(&panels[0], title, "energy per site", &per_site, &exact)?;
            self.panel(&panels[1], "", "staggered magnetization |m|", &PhasePoint::staggered_abs, &[])?;
            self.panel(&panels[2], "", "fluctuation N (m² − |m|²)", &|point| point.fluctuation, &[])
        })
    }

    fn panel(
        &self,
        panel: &Panel<'_>,
        title: &str,
        name: &str,
        of: &dyn Fn(&PhasePoint) -> Mean,
        exact: &[(f64, f64)],
    ) -> std::result::Result<(), Fault> {
        let means: Vec<(f64, Mean)> = self.points.iter().map(|point| (point.coupling, of(point))).collect();
        let exact: Vec<(f64, f64)> = exact.iter().copied().filter(|(_, y)| y.is_finite()).collect();
        let span = |values: &mut dyn Iterator<Item = f64>| {
            let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
            let room = 0.06 * (most - least).max(1e-6 * most.abs()).max(1e-9);
            (least - room, most + room)
        };
        let (left, right) = span(&mut means.iter().map(|mean| mean.0));
        let ends = means.iter().flat_map(|(_, mean)| [mean.value - mean.error, mean.value + mean.error]);
        let (bottom, top) = span(&mut ends.chain(exact.iter().map(|point| point.1)));
        if !(left.is_finite() && bottom.is_finite()) {
            return Err("there is no point".into());
        }
        let decimals = plot_style::decimals(bottom, top);
        let x = Axis { range: left..right, name: &self.coupling, number: &|x| format!("{x:.2}"), numbers: 8 };
        let y = Axis { range: bottom..top, name, number: &|y| format!("{y:.decimals$}"), numbers: 6 };
        let legend = (!exact.is_empty()).then_some(SeriesLabelPosition::UpperRight);
        plot_style::chart(panel, Frame { title, legend, letters: LETTERS }, x, y, |chart| {
            plot_style::means(
                chart,
                &means.iter().map(|(x, mean)| (*x, [mean.value, mean.error])).collect::<Vec<_>>(),
                8,
            )?;
            if !exact.is_empty() {
                let crosses = exact.iter().map(|point| Cross::new(*point, 5, EXACT.stroke_width(2)));
                chart
                    .draw_series(crosses)?
                    .label("exact")
                    .legend(|(x, y)| Cross::new((x + 12, y), 5, EXACT.stroke_width(2)));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagram(points: usize) -> PhaseDiagram {
        let mean = |value: f64| Mean { value, error: 0.01 };
        let point = |i: usize| PhasePoint {
            coupling: 0.1 * i as f64,
            energy: mean(-7.0 - i as f64),
            variance: 0.1 + 0.2,
            diagonal: [0.3, 0.1 * i as f64, 0.01, -0.2].map(mean),
            sigma_x: Mean { value: f64::NAN, error: f64::NAN },
            fluctuation: mean(0.5),
            exact: if i == 1 { f64::NAN } else { -7.01 - i as f64 },
        };
        PhaseDiagram { coupling: "delta".into(), sites: 16, points: (0..points).map(point).collect() }
    }

    #[test]
    fn a_table_reads_back_to_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.csv");
        assert!(PhaseDiagram::load_points(&path).unwrap().is_empty());
        diagram(3).save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("delta,energy,energy_error,energy_per_site,"));
        let columns = text.lines().next().unwrap().split(',').count();
        assert!(text.lines().all(|line| line.split(',').count() == columns));
        // Compared as text, because NaN ≠ NaN.
        let points = PhaseDiagram::load_points(&path).unwrap();
        assert_eq!(format!("{points:?}"), format!("{:?}", diagram(3).points));
        fs::write(&path, "delta,energy\n1,2\n").unwrap();
        assert!(PhaseDiagram::load_points(&path).unwrap_err().to_string().contains("move it away"));
    }

    #[test]
    fn a_picture_has_three_panels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.svg");
        for points in [1, 5] {
            diagram(points).draw(&path, "rydberg 4x4").unwrap();
            let svg = fs::read_to_string(&path).unwrap();
            for text in ["energy per site", "staggered magnetization", "fluctuation", "exact", "delta", "rydberg 4x4"] {
                assert!(svg.contains(text), "{text}");
            }
            assert!(!svg.contains("NaN"));
        }
        assert!(diagram(0).draw(&path, "").unwrap_err().to_string().contains("no point"));
    }
}
