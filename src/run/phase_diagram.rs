//! Phase diagram of a scan over a coupling: `sweep.csv`, and `sweep.svg` with the energy, the order parameter and its
//! fluctuation.

use std::fs;
use std::path::Path;

use plotters::prelude::*;

use super::WRITER;
use super::number::relative_error;
use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};
use crate::physics::{DIAGONAL_OBSERVABLES, DiagonalObservable, Lattice, Order};
use crate::plot_style;
use crate::plot_style::{Axis, EXACT, Fault, Frame, LETTERS, Panel};
use crate::vmc::{Estimate, Mean};

/// Width of the plot and height of a panel.
const SIZE: (u32, u32) = (800, 340);

/// Observables before σˣ. Columns that were added later follow those of earlier tables.
const FIRST: usize = 4;

/// Columns after the coupling: each mean is followed by its standard error; unknown values are NaN.
fn columns() -> Vec<String> {
    let with_error = |name: &str| [name.to_string(), format!("{name}_error")];
    let diagonal = |rows: &[DiagonalObservable]| rows.iter().flat_map(|row| with_error(row.name)).collect::<Vec<_>>();
    let one = |name: &str| vec![name.to_string()];
    [
        with_error("energy").to_vec(),
        one("energy_per_site"),
        one("variance"),
        diagonal(&DIAGONAL_OBSERVABLES[..FIRST]),
        with_error("sigma_x").to_vec(),
        with_error("fluctuation").to_vec(),
        one("exact_energy"),
        one("relative_error"),
        diagonal(&DIAGONAL_OBSERVABLES[FIRST..]),
        with_error("uniform_fluctuation").to_vec(),
        with_error("structure_factor_peak").to_vec(),
        one("peak_kx"),
        one("peak_ky"),
    ]
    .concat()
}

/// Unknown mean.
const UNKNOWN: Mean = Mean { value: f64::NAN, error: f64::NAN };

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
    /// N (⟨m²⟩ − ⟨|m|⟩²), which has its maximum at a transition, of the uniform and of the staggered magnetization.
    pub fluctuations: [Mean; 2],
    /// Largest peak of the structure factor, [`crate::vmc::ObservableEstimates::peak`]; NaN if there is none.
    pub peak: Mean,
    /// Its wave vector in units of π.
    pub peak_at: [f64; 2],
    /// Exact energy; NaN if unknown.
    pub exact: f64,
}

impl PhasePoint {
    /// Creates the point of an estimate on `lattice` at `coupling`.
    pub fn new(coupling: f64, lattice: &Lattice, estimate: &Estimate, exact: Option<f64>) -> Self {
        let found = &estimate.observables;
        let peak = found.peak();
        Self {
            coupling,
            energy: Mean { value: estimate.energy, error: estimate.energy_error },
            variance: estimate.variance,
            diagonal: std::array::from_fn(|row| found.diagonal[row]),
            sigma_x: found.sigma_x.unwrap_or(UNKNOWN),
            fluctuations: found.fluctuations,
            peak: peak.map_or(UNKNOWN, |(_, value)| value),
            peak_at: peak.map_or([f64::NAN; 2], |(peak, _)| peak.vector(lattice)),
            exact: exact.unwrap_or(f64::NAN),
        }
    }

    /// ⟨|m|⟩ and N (⟨m²⟩ − ⟨|m|⟩²) of a magnetization.
    pub fn order_parameter(&self, order: Order) -> [Mean; 2] {
        let [size, _] = order.rows();
        [self.diagonal[size], self.fluctuations[order as usize]]
    }

    /// ⟨m²⟩ of a magnetization; 0 if unknown.
    fn squared(&self, order: Order) -> f64 {
        let [_, squared] = order.rows();
        Some(self.diagonal[squared].value).filter(|value| value.is_finite()).unwrap_or(0.0)
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
    /// The magnetization that is drawn; `None` for the one with the largest ⟨m²⟩ of all points.
    pub order: Option<Order>,
    /// Points in the order in which they were computed.
    pub points: Vec<PhasePoint>,
}

impl PhaseDiagram {
    fn csv(&self) -> String {
        let mut text = format!("{},{}\n", self.coupling, columns().join(","));
        for point in &self.points {
            let means = |means: &[Mean]| means.iter().flat_map(|mean| [mean.value, mean.error]).collect::<Vec<f64>>();
            let [uniform, staggered] = point.fluctuations;
            let cells = [
                vec![point.coupling],
                means(&[point.energy]),
                vec![point.energy.value / self.sites as f64, point.variance],
                means(&point.diagonal[..FIRST]),
                means(&[point.sigma_x, staggered]),
                vec![point.exact, point.relative_error()],
                means(&point.diagonal[FIRST..]),
                means(&[uniform, point.peak]),
                point.peak_at.to_vec(),
            ];
            let cells: Vec<String> = cells.concat().iter().map(f64::to_string).collect();
            text += &(cells.join(",") + "\n");
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
        let foreign = || {
            let text = format!("sweep: {} is not a table of a sweep; move it away", path.display());
            Error::new(ErrorKind::File, text)
        };
        let names: Vec<&str> = text.lines().next().unwrap_or_default().split(',').collect();
        // Columns that an earlier version did not have are unknown.
        let needed = columns().into_iter().take(4).all(|name| names.contains(&name.as_str()));
        let row = |line: &str| {
            let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().ok()).collect::<Option<_>>()?;
            let cell = |name: &str| names.iter().position(|other| *other == name).map_or(f64::NAN, |at| cells[at]);
            let mean = |name: &str| Mean { value: cell(name), error: cell(&format!("{name}_error")) };
            (cells.len() == names.len() && needed).then(|| PhasePoint {
                coupling: cells[0],
                energy: mean("energy"),
                variance: cell("variance"),
                diagonal: std::array::from_fn(|row| mean(DIAGONAL_OBSERVABLES[row].name)),
                sigma_x: mean("sigma_x"),
                fluctuations: [mean("uniform_fluctuation"), mean("fluctuation")],
                peak: mean("structure_factor_peak"),
                peak_at: [cell("peak_kx"), cell("peak_ky")],
                exact: cell("exact_energy"),
            })
        };
        text.lines().skip(1).map(row).collect::<Option<_>>().ok_or_else(foreign)
    }

    /// Draws the energy per site, ⟨|m|⟩ of the order parameter and its fluctuation against the coupling, with error bars,
    /// and the exact energies where they are known.
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
            let order = self.drawn_order();
            let name = format!("{} magnetization |m|", order.name());
            self.panel(&panels[1], "", &name, &|point| point.order_parameter(order)[0], &[])?;
            self.panel(&panels[2], "", "fluctuation N (m² − |m|²)", &|point| point.order_parameter(order)[1], &[])
        })
    }

    /// The magnetization that is drawn.
    fn drawn_order(&self) -> Order {
        let largest = |order: Order| self.points.iter().map(|point| point.squared(order)).fold(0.0, f64::max);
        let by_response =
            || if largest(Order::Uniform) > largest(Order::Staggered) { Order::Uniform } else { Order::Staggered };
        self.order.unwrap_or_else(by_response)
    }

    fn panel(
        &self,
        panel: &Panel<'_>,
        title: &str,
        name: &str,
        of: &dyn Fn(&PhasePoint) -> Mean,
        exact: &[(f64, f64)],
    ) -> std::result::Result<(), Fault> {
        // A point of unknown error is drawn without an error bar.
        let drawn = |Mean { value, error }: Mean| Mean { value, error: if error.is_nan() { 0.0 } else { error } };
        let means = self.points.iter().map(|point| (point.coupling, drawn(of(point))));
        // Points of an earlier version may lack the quantity.
        let means: Vec<(f64, Mean)> = means.filter(|(_, mean)| mean.value.is_finite()).collect();
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
            diagonal: [0.3, 0.1 * i as f64, 0.01, -0.2, 0.4 - 0.1 * i as f64, 0.2].map(mean),
            sigma_x: UNKNOWN,
            fluctuations: [mean(0.25), mean(0.5)],
            peak: mean(3.2),
            peak_at: [0.0, 1.0],
            exact: if i == 1 { f64::NAN } else { -7.01 - i as f64 },
        };
        let points = (0..points).map(point).collect();
        PhaseDiagram { coupling: "delta".into(), sites: 16, order: Some(Order::Staggered), points }
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
        // A table of a version without the last columns.
        let earlier: Vec<String> =
            text.lines().map(|line| line.split(',').take(19).collect::<Vec<_>>().join(",")).collect();
        assert!(earlier[0].ends_with("exact_energy,relative_error"));
        fs::write(&path, earlier.join("\n")).unwrap();
        let points = PhaseDiagram::load_points(&path).unwrap();
        assert!(points[2].energy == diagram(3).points[2].energy && points[2].exact == diagram(3).points[2].exact);
        assert!(points[2].fluctuations[1].value == 0.5 && points[2].peak.value.is_nan());
        fs::write(&path, "delta,energy\n1,2\n").unwrap();
        assert!(PhaseDiagram::load_points(&path).unwrap_err().to_string().contains("move it away"));
    }

    #[test]
    fn the_order_parameter_of_the_hamiltonian_is_drawn() {
        let names = |order| PhaseDiagram { order, ..diagram(3) }.svg("").unwrap();
        assert!(names(Some(Order::Uniform)).contains("uniform magnetization |m|"));
        assert!(names(Some(Order::Staggered)).contains("staggered magnetization |m|"));
        // Without one, that of the largest m².
        assert!(names(None).contains("uniform magnetization |m|"));
    }

    #[test]
    fn a_picture_has_three_panels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sweep.svg");
        for points in [1, 5] {
            let mut diagram = diagram(points);
            diagram.points[0].energy.error = f64::NAN;
            diagram.draw(&path, "rydberg 4x4").unwrap();
            let svg = fs::read_to_string(&path).unwrap();
            for text in ["energy per site", "staggered magnetization", "fluctuation", "exact", "delta", "rydberg 4x4"] {
                assert!(svg.contains(text), "{text}");
            }
            assert!(!svg.contains("NaN"));
        }
        assert!(diagram(0).draw(&path, "").unwrap_err().to_string().contains("no point"));
    }
}
