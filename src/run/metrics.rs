//! `metrics.csv`: one row per step, with the columns of [`super::quantities`].

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};
use crate::vmc::StepReport;

use super::WRITER;
use super::quantities::columns;

/// File open for appending. Numbers are written so that reading them restores the same bits.
#[derive(Debug)]
pub struct Metrics {
    file: BufWriter<File>,
    name: String,
}

impl Metrics {
    /// Creates a new file with the header.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it already exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::create_new(path).map_err(|cause| cannot_write(&name, cause))?;
        let mut metrics = Self { file: BufWriter::new(file), name };
        metrics.line(&header())?;
        metrics.flush()?;
        Ok(metrics)
    }

    /// Opens the file of a run that resumes after step `step`. Rows of later steps are dropped. Also returns the
    /// reports of the remaining rows.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> Result<(Self, Vec<StepReport>)> {
        let name = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => String::new(),
            Err(cause) => {
                let text = format!("run folder: cannot read {name}; move it away to resume without it");
                return Err(Error::new(ErrorKind::File, text).caused_by(cause));
            }
        };
        let mut kept = header() + "\n";
        let mut reports: Vec<StepReport> = Vec::new();
        for (line, report) in rows(&text).take_while(|(_, report)| report.step <= step) {
            kept.extend([line, "\n"]);
            reports.push(report);
        }
        atomic_write::write(path, kept.as_bytes(), WRITER)?;
        let file = File::options().append(true).open(path).map_err(|cause| cannot_write(&name, cause))?;
        Ok((Self { file: BufWriter::new(file), name }, reports))
    }

    /// Adds the row of one step.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be written.
    pub fn write(&mut self, report: &StepReport) -> Result<()> {
        self.line(&row(report))
    }

    /// Flushes the buffer to the operating system.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|cause| cannot_write(&self.name, cause))
    }

    /// Flushes the buffer and syncs the file to disk.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be written.
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(|cause| cannot_write(&self.name, cause))
    }

    fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.file, "{text}").map_err(|cause| cannot_write(&self.name, cause))
    }
}

/// Reads the steps of the file at `path` in order, up to the first incomplete row, such as one that is being written.
///
/// # Errors
/// [`ErrorKind::File`] if it cannot be read or has other columns.
pub fn load_metrics(path: &Path) -> Result<Vec<StepReport>> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|cause| {
        let text = format!("metrics.csv: cannot read {shown}; give the folder of a run, such as out/1");
        Error::new(ErrorKind::File, text).caused_by(cause)
    })?;
    // Earlier versions spelled the same columns differently.
    if text.lines().next().map(|line| line.replace("magnetisation", "magnetization")).as_deref() != Some(&header()) {
        let text = format!("metrics.csv: {shown} has other columns than this version; use the version that wrote it");
        return Err(Error::new(ErrorKind::File, text));
    }
    Ok(rows(&text).map(|(_, report)| report).collect())
}

/// Rows after the header with their reports, as long as they are complete and the step numbers increase.
fn rows(text: &str) -> impl Iterator<Item = (&str, StepReport)> {
    let mut last = 0;
    // A row that was being written when the program ended has no line end.
    let lines = text.split_inclusive('\n').skip(1).map_while(|line| line.strip_suffix('\n'));
    lines.map_while(move |line| {
        let report = report(line).filter(|report| report.step > last)?;
        last = report.step;
        Some((line, report))
    })
}

/// Names of the columns.
fn header() -> String {
    columns().map(|(column, _)| column.name).collect::<Vec<_>>().join(",")
}

/// Row of a step.
fn row(report: &StepReport) -> String {
    columns().map(|(_, get)| get(report).to_string()).collect::<Vec<_>>().join(",")
}

/// Parses a row; `None` if it is incomplete.
fn report(row: &str) -> Option<StepReport> {
    let cells: Vec<f64> = row.split(',').map(|cell| cell.parse().ok()).collect::<Option<_>>()?;
    let mut report = StepReport::default();
    columns().zip(&cells).for_each(|((column, _), cell)| (column.set)(&mut report, *cell));
    (cells.len() == columns().count()).then_some(report)
}

/// Error of a run file that cannot be written.
pub(super) fn cannot_write(name: &str, cause: io::Error) -> Error {
    let text = format!("run folder: cannot write {name}; free space on the disk or choose another run folder");
    Error::new(ErrorKind::File, text).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmc::{Magnetization, ReconfigurationReport};

    /// The header of every version so far.
    const HEADER: &str = "step,energy,energy_error,variance,density,sigma_x,staggered,magnetization,\
                          magnetization_variance,magnetization_abs,magnetization_abs_variance,magnetization_squared,\
                          magnetization_squared_variance,staggered_signed,staggered_signed_variance,unique,acceptance,\
                          gradient_norm,learning_rate,accepted,condition,residual,lambda,update_norm,seconds";

    #[test]
    fn rows_have_the_columns_of_the_header_and_read_back_to_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let report = StepReport {
            step: 3,
            energy: -7.254_611_338_546_482,
            energy_error: 1e-300,
            variance: 0.1 + 0.2,
            density: f64::from(0.3f32),
            sigma_x: 0.5,
            staggered: 0.25,
            magnetization: Magnetization {
                mean: [-1.5, 0.1 + 0.7],
                absolute: [2.5, 3.0],
                squared: [9.0, 1e-300],
                staggered: [-0.125, 0.5],
            },
            gradient_norm: f64::NAN,
            learning_rate: 5e-4,
            temperature: None,
            unique: 17,
            acceptance: Some(0.375),
            accepted: false,
            reconfiguration: Some(ReconfigurationReport {
                condition: 1e3,
                residual: 1e-12,
                lambda: 0.1 + 0.2,
                update_norm: 0.25,
                effective_samples: 128.0,
            }),
            seconds: 0.3,
        };
        let mut metrics = Metrics::create(&path).unwrap();
        metrics.write(&report).unwrap();
        metrics.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        assert_eq!(header.join(","), HEADER);
        let row: Vec<f64> = lines.next().unwrap().split(',').map(|cell| cell.parse().unwrap()).collect();
        assert_eq!((row.len(), lines.next()), (header.len(), None));
        let of = |name: &str| row[header.iter().position(|column| *column == name).unwrap()];
        assert_eq!(
            (of("energy"), of("energy_error"), of("variance")),
            (report.energy, report.energy_error, report.variance)
        );
        assert_eq!((of("step"), of("unique"), of("accepted"), of("seconds")), (3.0, 17.0, 0.0, 0.3));
        let squared = [of("magnetization_squared"), of("magnetization_squared_variance")];
        assert_eq!((squared, of("staggered_signed")), (report.magnetization.squared, -0.125));
        assert_eq!((of("magnetization_variance"), of("magnetization_abs")), (0.1 + 0.7, 2.5));
        assert_eq!((of("density"), of("sigma_x"), of("staggered")), (report.density, 0.5, 0.25));
        assert_eq!((of("condition"), of("residual"), of("lambda"), of("update_norm")), (1e3, 1e-12, 0.1 + 0.2, 0.25));
        assert_eq!(of("acceptance"), 0.375);
        assert_eq!((of("gradient_norm").is_nan(), of("learning_rate")), (true, 5e-4));
        assert!(Metrics::create(&path).is_err(), "an older file is never overwritten");

        // A later row and an incomplete row are dropped when the run resumes.
        metrics.write(&StepReport { step: 4, ..report.clone() }).unwrap();
        metrics.flush().unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "5,-1").unwrap();
        let steps = |reports: &[StepReport]| reports.iter().map(|report| report.step).collect::<Vec<_>>();
        assert_eq!(steps(&load_metrics(&path).unwrap()), [3, 4]);
        let (mut metrics, reports) = Metrics::resume(&path, 3).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let debug = |report: &StepReport| format!("{report:?}").replace("128.0", "NaN");
        assert_eq!(reports.iter().map(debug).collect::<Vec<_>>(), [debug(&report)]);
        metrics.write(&StepReport { step: 4, ..report }).unwrap();
        metrics.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    }

    #[test]
    fn files_of_other_columns_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        assert!(load_metrics(&path).unwrap_err().to_string().contains("out/1"));
        fs::write(&path, "step,energy\n1,-7\n").unwrap();
        assert!(load_metrics(&path).unwrap_err().to_string().contains("other columns"));
        for header in [HEADER.into(), HEADER.replace("magnetization", "magnetisation")] {
            fs::write(&path, format!("{header}\n")).unwrap();
            assert!(load_metrics(&path).unwrap().is_empty());
        }
    }
}
