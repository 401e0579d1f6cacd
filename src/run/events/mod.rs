//! TensorBoard event files: the metrics of each step as scalars, in the folder `tensorboard` of a run.

mod record;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use self::record::{Event, Scalar, Scalars, SessionLog, SessionStatus, What, record};
use super::metrics::{TrainingReport, cannot_write};
use crate::error::{Error, ErrorKind, Result};

/// Prefix by which TensorBoard recognizes event files. It reads the files of a folder in the order of their names.
const PREFIX: &str = "events.out.tfevents.";

/// Event file open for appending: TFRecord records, each an `Event` of TensorBoard's `event.proto`, values as 32-bit
/// floats. NaN values are left out.
///
/// Every file begins with a version event and a session start. At each session start except the first of a folder,
/// TensorBoard discards the steps of earlier files from that step on. These are the steps that a resumed run repeats
/// after its checkpoint.
#[derive(Debug)]
pub struct Events<R: TrainingReport> {
    file: BufWriter<File>,
    name: String,
    scale: R::Scale,
}

impl<R: TrainingReport> Events<R> {
    /// Creates a new file in `folder`, for a run that resumes after step `done` (0 for a new run). Creates the folder
    /// if it does not exist. If the folder has no event file yet, `reports`, the steps up to `done`, are written first.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be written.
    pub fn begin(folder: &Path, scale: R::Scale, reports: &[R], done: u64) -> Result<Self> {
        let cannot_make = |cause| {
            let text =
                format!("run folder: cannot write into {}; free space on the disk or move it away", folder.display());
            Error::new(ErrorKind::File, text).caused_by(cause)
        };
        fs::create_dir_all(folder).map_err(cannot_make)?;
        let newest = event_files(folder).map_err(cannot_make)?.into_iter().map(|(second, _)| second).max();
        let (reports, done) = if newest.is_none() { (reports, done) } else { (&[][..], done) };
        let now = now();
        // Sorts after the existing files even if the clock went backwards.
        let second = newest.map_or(0, |newest| newest.saturating_add(1)).max(now as u64);
        let path = folder.join(format!("{PREFIX}{second:010}.ketformer"));
        let name = path.display().to_string();
        let file = File::create_new(&path).map_err(|cause| cannot_write(&name, cause))?;
        let mut events = Self { file: BufWriter::new(file), name, scale };
        let first = if reports.is_empty() { done + 1 } else { 1 };
        // Their wall times are not recorded: assume that the steps ran without pauses until now.
        let mut time = now - reports.iter().map(R::seconds).sum::<f64>();
        events.event(time, 0, What::FileVersion("brain.Event:2".into()))?;
        events.event(time, first, What::SessionLog(SessionLog { status: SessionStatus::Start.into() }))?;
        for report in reports {
            time += report.seconds();
            events.step(time, report)?;
        }
        events.flush()?;
        Ok(events)
    }

    /// Adds the scalars of one step.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if they cannot be written.
    pub fn write(&mut self, report: &R) -> Result<()> {
        self.step(now(), report)
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

    fn step(&mut self, time: f64, report: &R) -> Result<()> {
        let scalar = |(tag, value): (&str, f64)| Scalar { tag: tag.into(), simple_value: Some(value as f32) };
        let numbers = scalars(report, self.scale).filter(|(_, value)| !value.is_nan());
        self.event(time, report.step(), What::Summary(Scalars { values: numbers.map(scalar).collect() }))
    }

    fn event(&mut self, wall_time: f64, step: u64, what: What) -> Result<()> {
        let bytes = record(&Event { wall_time, step: step as i64, what: Some(what) });
        self.file.write_all(&bytes).map_err(|cause| cannot_write(&self.name, cause))
    }
}

/// Scalars of a step by name; NaN if there is no value.
fn scalars<R: TrainingReport>(report: &R, scale: R::Scale) -> impl Iterator<Item = (&'static str, f64)> {
    R::quantities().iter().filter_map(move |quantity| {
        let scalar = quantity.scalar.as_ref()?;
        Some((scalar.tag, (scalar.scaled)((quantity.get)(report), scale)))
    })
}

/// Removes the event files of a folder, and the folder if it is then empty.
pub(super) fn remove_events(folder: &Path) {
    for (_, path) in event_files(folder).unwrap_or_default() {
        fs::remove_file(path).ok();
    }
    fs::remove_dir(folder).ok();
}

/// Event files of a folder with the timestamp in their names in seconds; 0 if there is none.
fn event_files(folder: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let file = |path: PathBuf| {
        let rest = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
        let second = rest.split('.').next().and_then(|second| second.parse().ok());
        Some((second.unwrap_or(0), path))
    };
    fs::read_dir(folder)?.filter_map(|entry| entry.map(|entry| file(entry.path())).transpose()).collect()
}

/// Whether `path` has the name of an event file.
pub(super) fn is_event_file(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX))
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::record::read;
    use super::*;
    use crate::run::EnergyScale;
    use crate::vmc::{Magnetization, ReconfigurationReport, StepReport};

    const SCALE: EnergyScale = EnergyScale { sites: 4, exact: Some(-8.0) };

    fn report(step: u64) -> StepReport {
        let reconfiguration = ReconfigurationReport {
            condition: 1e3,
            residual: 1e-12,
            lambda: 0.0,
            update_norm: 0.25,
            effective_samples: 7.0,
        };
        StepReport {
            step,
            energy: -7.0 - 1.0 / step as f64,
            energy_error: 0.3,
            variance: 0.1 + 0.2,
            density: 0.375,
            sigma_x: 0.5,
            staggered: 0.25,
            magnetization: Magnetization::default(),
            gradient_norm: 1.5,
            learning_rate: 5e-4,
            temperature: Some(0.5),
            unique: 17,
            acceptance: Some(0.75),
            accepted: true,
            is_shortening: false,
            sampling_power: Some(1.25),
            reconfiguration: Some(reconfiguration),
            seconds: 2.0,
        }
    }

    /// Events of every file of a folder, in the order in which TensorBoard reads them.
    fn files(folder: &Path) -> Vec<Vec<Event>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| read(&fs::read(path).unwrap())).collect()
    }

    /// Steps and times of the events after the first two, which must be a version and a session start at `first`.
    fn steps(events: &[Event], first: i64) -> Vec<(i64, f64)> {
        assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
        let start = SessionLog { status: SessionStatus::Start.into() };
        assert_eq!((events[1].step, events[1].what.clone()), (first, Some(What::SessionLog(start))));
        assert!(events.iter().all(|event| (1e9..=now()).contains(&event.wall_time)));
        events[2..].iter().map(|event| (event.step, event.wall_time)).collect()
    }

    fn values(event: &Event) -> Vec<(&str, u32)> {
        let Some(What::Summary(scalars)) = &event.what else { panic!("{event:?}") };
        scalars.values.iter().map(|scalar| (scalar.tag.as_str(), scalar.simple_value.unwrap().to_bits())).collect()
    }

    #[test]
    fn every_number_of_a_step_is_a_scalar() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("tensorboard");
        let mut events = Events::begin(&folder, SCALE, &[], 0).unwrap();
        events.write(&report(1)).unwrap();
        let few =
            StepReport { acceptance: None, sigma_x: f64::NAN, accepted: false, reconfiguration: None, ..report(2) };
        events.write(&few).unwrap();
        events.sync().unwrap();
        let [file] = files(&folder).try_into().unwrap();
        assert_eq!(steps(&file, 1).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 2]);
        let all: [(&str, f32); 20] = [
            ("energy/per_site", -2.0),
            ("energy/error_per_site", (0.3 / 4.0) as f32),
            ("energy/variance", (0.1 + 0.2) as f32),
            ("energy/relative_error", 0.0),
            ("observables/density", 0.375),
            ("observables/sigma_x", 0.5),
            ("observables/staggered", 0.25),
            ("sampling/unique", 17.0),
            ("sampling/acceptance", 0.75),
            ("training/gradient_norm", 1.5),
            ("training/learning_rate", 5e-4),
            ("training/temperature", 0.5),
            ("training/accepted", 1.0),
            ("training/shortening", 0.0),
            ("sampling/power", 1.25),
            ("reconfiguration/condition", 1e3),
            ("reconfiguration/residual", 1e-12),
            ("reconfiguration/lambda", 0.0),
            ("reconfiguration/update_norm", 0.25),
            ("time/seconds_per_step", 2.0),
        ];
        assert_eq!(values(&file[2]), all.map(|(tag, value)| (tag, value.to_bits())));
        let others = values(&file[3]);
        let missing: Vec<&str> =
            all.iter().map(|(tag, _)| *tag).filter(|tag| others.iter().all(|(other, _)| other != tag)).collect();
        let expected = ["sampling/acceptance", "reconfiguration/condition", "reconfiguration/residual"];
        let expected = ["observables/sigma_x"].into_iter().chain(expected);
        let expected = expected.chain(["reconfiguration/lambda", "reconfiguration/update_norm"]);
        assert_eq!(missing, expected.collect::<Vec<_>>());
        assert!(
            others.contains(&("training/accepted", 0))
                && others.contains(&("energy/relative_error", 0.0625f32.to_bits()))
        );

        let unknown: Vec<_> = scalars(&report(1), EnergyScale { exact: None, ..SCALE }).collect();
        assert!(unknown.iter().all(|(tag, value)| value.is_nan() == (*tag == "energy/relative_error")), "{unknown:?}");
    }

    #[test]
    fn a_run_that_goes_on_begins_a_later_file_that_takes_the_place_of_repeated_steps() {
        let root = tempfile::tempdir().unwrap();
        let reports = [1, 2, 3].map(report);
        // Three times within a second, and then after a file with a timestamp in the future.
        for done in [0, 2, 3] {
            let mut events = Events::begin(root.path(), SCALE, &reports[..done], done as u64).unwrap();
            events.write(&report(done as u64 + 1)).unwrap();
            events.flush().unwrap();
        }
        fs::write(root.path().join("events.out.tfevents.9000000000.elsewhere"), []).unwrap();
        Events::begin(root.path(), SCALE, &reports, 3).unwrap();
        let files = files(root.path());
        assert_eq!(files.len(), 5);
        for (file, first) in [(0, 1), (1, 3), (2, 4)] {
            let [(step, _)] = steps(&files[file], first).try_into().unwrap();
            assert_eq!(step, first);
        }
        assert!(files[3].is_empty() && steps(&files[4], 4).is_empty(), "read after the file that claims to be later");
    }

    #[test]
    fn the_first_file_of_a_run_that_goes_on_has_the_steps_before() {
        let root = tempfile::tempdir().unwrap();
        let mut events = Events::begin(root.path(), SCALE, &[1, 2, 3].map(report), 3).unwrap();
        events.write(&report(4)).unwrap();
        events.flush().unwrap();
        let [file] = files(root.path()).try_into().unwrap();
        let (steps, times): (Vec<i64>, Vec<f64>) = steps(&file, 1).into_iter().unzip();
        assert_eq!(steps, [1, 2, 3, 4]);
        // Each step took two seconds; the last one ended just now.
        assert!((times[1] - times[0] - 2.0).abs() < 1e-3 && (times[2] - times[1] - 2.0).abs() < 1e-3, "{times:?}");
        assert!(times[2] <= times[3] && times[3] - times[2] < 60.0, "{times:?}");
        assert_eq!(values(&file[2]), values_of(&report(1)));
    }

    fn values_of(report: &StepReport) -> Vec<(&'static str, u32)> {
        scalars(report, SCALE).map(|(tag, value)| (tag, (value as f32).to_bits())).collect()
    }

    #[test]
    fn what_is_not_an_event_file_stays_and_a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("tensorboard");
        drop(Events::<StepReport>::begin(&folder, SCALE, &[], 0).unwrap());
        fs::write(folder.join("notes"), "mine").unwrap();
        remove_events(&folder);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_file(folder.join("notes")).unwrap();
        remove_events(&folder);
        assert!(!folder.exists());
        fs::write(&folder, "mine").unwrap();
        let refused = Events::<StepReport>::begin(&folder, SCALE, &[], 0).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::File);
        assert!(refused.to_string().contains("move it away"), "{refused}");
        remove_events(&folder);
        assert_eq!(fs::read_to_string(&folder).unwrap(), "mine");
    }
}
