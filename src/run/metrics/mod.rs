//! `metrics.csv`: one row per step, with the columns of [`quantities`]. Its text is read in [`table`].

mod energy_summary;
mod gpt_report;
mod history;
mod loss_summary;
mod quantities;
mod step_report;
mod table;

pub use energy_summary::{EnergySummary, RECENT_STEPS, Summary};
pub use history::History;
pub use loss_summary::LossSummary;
pub use quantities::{Quantity, TrainingReport};
pub use step_report::EnergyScale;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};

use self::table::{Row, Table, header, line_of};
use super::WRITER;
use super::folder::is_at;

/// File open for appending. Numbers are written so that reading them restores the same bits.
#[derive(Debug)]
pub struct Metrics<R> {
    file: BufWriter<File>,
    path: PathBuf,
    name: String,
    /// Number of device losses so far, if the file has that column.
    device_losses: Option<u64>,
    report: PhantomData<R>,
}

/// Metrics of a run that resumes.
#[derive(Debug)]
pub struct ResumedMetrics<R> {
    /// The file.
    pub metrics: Metrics<R>,
    /// Reports of its rows, in order.
    pub reports: Vec<R>,
    /// What was lost from the file and where its former contents are kept; `None` if nothing was lost.
    pub repair: Option<Repair>,
}

/// Damage of a metrics file, or differences of its columns, and the copy that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The damage, in a few words.
    pub damage: String,
    /// Copy of the file as it was.
    pub copy: PathBuf,
}

/// Steps of a metrics file.
#[derive(Debug)]
pub struct LoadedMetrics<R> {
    /// Reports of the readable rows, in order.
    pub reports: Vec<R>,
    /// Damaged rows and differences of columns, in a few words.
    pub damage: Option<String>,
}

impl<R: TrainingReport> Metrics<R> {
    /// Creates a new file with the header.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it already exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::options().read(true).append(true).create_new(true).open(path);
        let file = file.map_err(|cause| cannot_write(&name, cause))?;
        let mut metrics =
            Self { file: BufWriter::new(file), path: path.into(), name, device_losses: None, report: PhantomData };
        metrics.line(&header::<R>(false))?;
        metrics.flush()?;
        Ok(metrics)
    }

    /// Opens the file of a run that resumes after step `step`. Rows of later steps are dropped, because these steps are
    /// repeated. If anything else cannot be kept, such as a damaged row or an unknown column, the file is copied first.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> Result<ResumedMetrics<R>> {
        let name = path.display().to_string();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => {
                let text = format!("run folder: cannot read {name}; move it away to resume without it");
                return Err(Error::new(ErrorKind::File, text).caused_by(cause));
            }
        };
        let mut table = Table::parse(&String::from_utf8_lossy(&bytes));
        let repeated = table.rows.split_off(&(step + 1));
        let kept = table.rows;
        table.rows = repeated;
        if let Some((strange, _)) = (step + 1..).zip(table.rows.keys()).find(|(expected, found)| expected != *found) {
            table.faults.push(format!("a row of step {strange} is missing before later ones"));
        }
        let repair =
            table.complaint().map(|damage| Ok(Repair { damage, copy: keep_copy(path, &bytes)? })).transpose()?;
        let device_losses = table.has_device_losses.then(|| kept.values().last().map_or(0, |row| row.device_losses));
        let metrics = Self::rewrite(path, &kept.values().collect::<Vec<_>>(), device_losses)?;
        Ok(ResumedMetrics { metrics, reports: kept.into_values().map(|row| row.report).collect(), repair })
    }

    /// Replaces the file by one with these rows and opens it.
    fn rewrite(path: &Path, rows: &[&Row<R>], device_losses: Option<u64>) -> Result<Self> {
        let name = path.display().to_string();
        let mut text = header::<R>(device_losses.is_some()) + "\n";
        for row in rows {
            text += &line_of(&row.report, device_losses.map(|_| row.device_losses));
            text.push('\n');
        }
        atomic_write::write(path, text.as_bytes(), WRITER)?;
        let file = File::options().read(true).append(true).open(path).map_err(|cause| cannot_write(&name, cause))?;
        Ok(Self { file: BufWriter::new(file), path: path.into(), name, device_losses, report: PhantomData })
    }

    /// Records that the device was lost `losses` times so far. From the first loss on, the file has a column with this
    /// number.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if the file cannot be read or written.
    pub fn set_device_losses(&mut self, losses: u64) -> Result<()> {
        if self.device_losses.is_none() {
            let text = self.contents()?;
            let rows = Table::<R>::parse(&text).rows;
            *self = Self::rewrite(&self.path, &rows.values().collect::<Vec<_>>(), Some(0))?;
        }
        self.device_losses = Some(losses);
        Ok(())
    }

    /// Adds the row of one step.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be written.
    pub fn write(&mut self, report: &R) -> Result<()> {
        self.line(&line_of(report, self.device_losses))
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

    /// Checks that the path still names the open file. If it was deleted or replaced, writes all rows again and keeps
    /// the other file as a copy. Returns whether that was necessary.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if the file cannot be read or written.
    pub fn restore_if_replaced(&mut self) -> Result<bool> {
        if is_at(self.file.get_ref(), &self.path) {
            return Ok(false);
        }
        let text = self.contents()?;
        if let Ok(other) = fs::read(&self.path) {
            keep_copy(&self.path, &other)?;
        }
        atomic_write::write(&self.path, text.as_bytes(), WRITER)?;
        let file = File::options().read(true).append(true).open(&self.path);
        self.file = BufWriter::new(file.map_err(|cause| cannot_write(&self.name, cause))?);
        Ok(true)
    }

    /// Text of the open file.
    fn contents(&mut self) -> Result<String> {
        self.flush()?;
        let mut text = String::new();
        let file = self.file.get_mut();
        let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
        read.map_err(|cause| cannot_write(&self.name, cause))?;
        Ok(text)
    }

    fn line(&mut self, text: &str) -> Result<()> {
        writeln!(self.file, "{text}").map_err(|cause| cannot_write(&self.name, cause))
    }
}

/// Writes `bytes` next to the file at `path`, under the first free name such as `metrics.old-1.csv`.
fn keep_copy(path: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let free = |number: u64| path.with_extension(format!("old-{number}.csv"));
    let copy = (1..).map(free).find(|copy| copy.symlink_metadata().is_err()).unwrap_or_else(|| free(0));
    atomic_write::write(&copy, bytes, WRITER)?;
    Ok(copy)
}

/// Reads the steps of the file at `path` in order. Skips a last row that is being written.
///
/// # Errors
/// [`ErrorKind::File`] if it cannot be read or has no steps and is damaged.
pub fn load_metrics<R: TrainingReport>(path: &Path) -> Result<LoadedMetrics<R>> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|cause| {
        let text = format!("metrics.csv: cannot read {shown}; give the folder of a run, such as out/1");
        Error::new(ErrorKind::File, text).caused_by(cause)
    })?;
    let table = Table::parse(&String::from_utf8_lossy(&bytes));
    let damage = table.complaint();
    match damage {
        Some(damage) if table.rows.is_empty() => {
            let text = format!("metrics.csv: {shown} has no readable row ({damage}); restore it");
            Err(Error::new(ErrorKind::File, text))
        }
        damage => Ok(LoadedMetrics { reports: table.rows.into_values().map(|row| row.report).collect(), damage }),
    }
}

/// Error of a run file that cannot be written.
pub(super) fn cannot_write(name: &str, cause: io::Error) -> Error {
    let text = format!("run folder: cannot write {name}; free space on the disk or choose another run folder");
    Error::new(ErrorKind::File, text).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmc::{Magnetization, ReconfigurationReport, StepReport};

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
            is_shortening: false,
            sampling_power: None,
            reconfiguration: Some(ReconfigurationReport {
                condition: 1e3,
                residual: 1e-12,
                lambda: 0.1 + 0.2,
                update_norm: 0.25,
                effective_samples: 128.0,
            }),
            seconds: 0.3,
        };
        let mut metrics = Metrics::<StepReport>::create(&path).unwrap();
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
        assert!(Metrics::<StepReport>::create(&path).is_err(), "an older file is never overwritten");

        // A later row and an incomplete row are dropped when the run resumes.
        metrics.write(&StepReport { step: 4, ..report.clone() }).unwrap();
        metrics.flush().unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "5,-1").unwrap();
        let steps = |reports: &[StepReport]| reports.iter().map(|report| report.step).collect::<Vec<_>>();
        assert_eq!(steps(&load_metrics::<StepReport>(&path).unwrap().reports), [3, 4]);
        let ResumedMetrics { mut metrics, reports, repair } = Metrics::<StepReport>::resume(&path, 3).unwrap();
        assert_eq!(repair, None);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let debug = |report: &StepReport| format!("{report:?}").replace("128.0", "NaN");
        assert_eq!(reports.iter().map(debug).collect::<Vec<_>>(), [debug(&report)]);
        metrics.write(&StepReport { step: 4, ..report }).unwrap();
        metrics.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    }

    #[test]
    fn files_of_other_columns_are_read_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        assert!(load_metrics::<StepReport>(&path).unwrap_err().to_string().contains("out/1"));
        fs::write(&path, "a,b\n1,-7\n").unwrap();
        assert!(load_metrics::<StepReport>(&path).unwrap_err().to_string().contains("no readable row"));
        for header in [HEADER.into(), HEADER.replace("magnetization", "magnetisation")] {
            fs::write(&path, format!("{header}\n")).unwrap();
            let loaded = load_metrics::<StepReport>(&path).unwrap();
            assert!(loaded.reports.is_empty() && loaded.damage.is_none());
        }
        let old = "step,energy\n1,-7\n2,-8\n3,-9\n";
        for copy in ["metrics.old-1.csv", "metrics.old-2.csv"] {
            fs::write(&path, old).unwrap();
            let ResumedMetrics { reports, repair, .. } = Metrics::<StepReport>::resume(&path, 2).unwrap();
            assert_eq!(reports.iter().map(|report| report.energy).collect::<Vec<_>>(), [-7.0, -8.0]);
            assert_eq!(repair.unwrap().copy, folder.path().join(copy));
            assert_eq!(fs::read_to_string(folder.path().join(copy)).unwrap(), old);
            assert!(fs::read_to_string(&path).unwrap().starts_with(&format!("{HEADER}\n1,-7,NaN,")));
        }
    }

    /// A row of a damaged step number is lost from the file, which is therefore copied.
    #[test]
    fn a_row_that_cannot_be_placed_is_kept_in_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let row = |step: u64| line_of(&StepReport { step, ..StepReport::default() }, None) + "\n";
        let text = format!("{HEADER}\n{}{}{}", row(1), row(9), row(3));
        fs::write(&path, &text).unwrap();
        let ResumedMetrics { reports, repair, .. } = Metrics::<StepReport>::resume(&path, 3).unwrap();
        assert_eq!(reports.len(), 2);
        assert_eq!(fs::read_to_string(repair.unwrap().copy).unwrap(), text);
    }

    #[test]
    fn a_file_that_is_deleted_or_replaced_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut metrics = Metrics::<StepReport>::create(&path).unwrap();
        metrics.write(&StepReport { step: 1, ..StepReport::default() }).unwrap();
        assert!(!metrics.restore_if_replaced().unwrap());
        fs::remove_file(&path).unwrap();
        assert!(metrics.restore_if_replaced().unwrap());
        metrics.write(&StepReport { step: 2, ..StepReport::default() }).unwrap();
        if cfg!(unix) {
            fs::rename(&path, folder.path().join("moved")).unwrap();
            fs::write(&path, "mine").unwrap();
            assert!(metrics.restore_if_replaced().unwrap());
            assert_eq!(fs::read_to_string(folder.path().join("metrics.old-1.csv")).unwrap(), "mine");
        }
        metrics.flush().unwrap();
        assert_eq!(load_metrics::<StepReport>(&path).unwrap().reports.len(), 2);
    }

    #[test]
    fn device_losses_add_a_column_to_all_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let report = |step| StepReport { step, seconds: 0.25, ..StepReport::default() };
        let mut metrics = Metrics::<StepReport>::create(&path).unwrap();
        metrics.write(&report(1)).unwrap();
        metrics.set_device_losses(1).unwrap();
        metrics.write(&report(2)).unwrap();
        metrics.set_device_losses(2).unwrap();
        metrics.write(&report(3)).unwrap();
        metrics.flush().unwrap();
        let last = |text: String| -> Vec<String> {
            text.lines().map(|line| line.rsplit(',').take(2).collect::<Vec<_>>().join(" ")).collect()
        };
        let expected = ["seconds device_losses", "0.25 0", "0.25 1", "0.25 2"];
        assert_eq!(last(fs::read_to_string(&path).unwrap()), expected);
        let ResumedMetrics { mut metrics, repair, .. } = Metrics::<StepReport>::resume(&path, 2).unwrap();
        assert_eq!(repair, None);
        metrics.write(&report(3)).unwrap();
        metrics.flush().unwrap();
        assert_eq!(last(fs::read_to_string(&path).unwrap())[1..], ["0.25 0", "0.25 1", "0.25 1"]);
    }
}
