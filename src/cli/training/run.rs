//! Training run: its settings, its trainer, its files and its results so far.

use std::time::{Instant, SystemTime};

use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::run::{
    EVENTS_FOLDER, Ending, Events, History, METRICS_FILE, Metrics, ResumedMetrics, RunEnd, RunFolder, RunSettings,
    SETTINGS_FILE, TrainingReport, save_checkpoint,
};
use ketformer::vmc::Checkpoint;
use ketformer::{Error, ErrorKind, Result};

use super::cause::EndWatch;
use super::files::RunFiles;
use super::location::NO_FOLDER;
use super::record::RunRecord;
use super::recovery::Opener;
use super::{Job, RunSteps, RunTrainer, Training};
use crate::cli::arguments::AdapterArguments;
use crate::cli::output::number::bytes;
use crate::cli::output::progress::{OutputStyle, Progress, RunExtent};
use crate::cli::shell::quoted_path;
use crate::cli::{Outcome, device, interrupt, output};

/// Training run, created by [`Self::new`] and [`Self::begin`] or by [`Self::resume`].
pub struct TrainingRun<T: Training> {
    pub job: Job<T>,
    pub trainer: T::Trainer,
    /// `None` if nothing is written.
    pub(super) files: Option<RunFiles<T::Report>>,
    pub results: Results<T>,
    /// State of the results at the last checkpoint.
    pub(super) saved: SavedResults<T>,
    /// Number of the last step.
    pub done: u64,
    pub(super) watch: EndWatch,
    /// Number of device losses since the program started.
    pub(super) device_losses: u64,
    /// Opens a lost device again.
    pub(super) opener: Opener,
    /// Cause of the end; `None` while the run is in progress. All statements about the end are derived from it.
    pub ending: Option<Ending>,
}

/// Results of the steps.
pub struct Results<T: Training> {
    pub summary: T::Summary,
    pub history: History<T::Report>,
    pub curve: T::Curve,
}

impl<T: Training> Default for Results<T> {
    fn default() -> Self {
        Self { summary: T::Summary::default(), history: History::default(), curve: T::Curve::default() }
    }
}

/// Open metrics and the reports of their rows.
type Rows<R> = (Metrics<R>, Vec<R>);

/// Results at a checkpoint that cannot be computed from the metrics of a run without a folder.
pub(super) struct SavedResults<T: Training> {
    pub summary: T::Summary,
    pub watch: EndWatch,
}

impl<T: Training> Results<T> {
    fn push(&mut self, report: &T::Report, training: &T) {
        training.add(report, &mut self.summary, &mut self.curve);
        self.history.push(report);
    }
}

impl<T: Training> TrainingRun<T> {
    /// New run, from these weights if given. Writes nothing.
    ///
    /// # Errors
    /// Errors of adapter, memory and weights; errors of [`Training::prepare`].
    pub fn new(mut job: Job<T>, gpu: &Gpu, weights: Option<&Weights>) -> Result<Self> {
        let mut trainer = job.training.trainer(gpu)?;
        weights.map_or(Ok(()), |weights| trainer.set_weights(weights))?;
        job.training.prepare()?;
        let watch = EndWatch::new(job.max_rejected_steps);
        Ok(Self {
            job,
            trainer,
            files: None,
            results: Results::default(),
            saved: SavedResults { summary: T::Summary::default(), watch: watch.clone() },
            done: 0,
            watch,
            device_losses: 0,
            opener: Opener::default(),
            ending: None,
        })
    }

    /// Reserves the folder of a new run, opens the adapter, and trains from these weights if given.
    ///
    /// # Errors
    /// As [`Self::new`], [`Self::begin`] and [`Self::finish`].
    pub fn start(job: Job<T>, weights: Option<&Weights>, adapter: &AdapterArguments) -> Result<Outcome> {
        let folder = job.location.reserve()?;
        let gpu = device::open(adapter)?;
        let mut run = Self::new(job, &gpu, weights)?;
        if interrupt::requested() {
            output::warning(
                &"interrupted before the first step: nothing is left behind; the same command starts again",
            );
            return Ok(Outcome::Interrupted);
        }
        run.begin(&gpu, folder)?;
        run.finish(&gpu)
    }

    /// Writes the first checkpoint and the settings into `folder`, creates the other files, and keeps it from now on.
    ///
    /// # Errors
    /// `ErrorKind::File` if they cannot be written.
    pub fn begin(&mut self, gpu: &Gpu, folder: Option<RunFolder>) -> Result<()> {
        // Also without a folder: a run whose device is lost continues from it.
        let checkpoint = self.trainer.checkpoint()?;
        let Some(folder) = folder else { return Ok(()) };
        // Before the settings, which mark a folder as a run: a run always has a checkpoint to resume from.
        save_checkpoint(folder.path(), &checkpoint)?;
        let events = self.job.tensorboard.then(|| self.events(&folder, &[])).transpose()?;
        let job = &self.job;
        job.training.begin(&folder)?;
        let mut groups = job.training.groups();
        groups.insert(T::group().name.into(), job.settings.map());
        let settings = RunSettings {
            command: job.command.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string()),
            wall_seconds: None,
            adapter: gpu.info().into(),
            seed: job.training.seed(),
            parameters: self.trainer.parameters(),
            gpu_bytes: self.trainer.memory(),
            resumptions: Vec::new(),
            device_losses: Vec::new(),
            ended: None,
            train: groups.remove(RunSettings::TRAIN).unwrap_or_default(),
            groups,
        };
        let metrics = Metrics::create(&folder.file(METRICS_FILE))?;
        let mut record = RunRecord::new(folder.file(SETTINGS_FILE), settings, 0.0);
        record.save()?;
        self.files.insert(RunFiles { metrics, events, record, folder, saved: 0 }).folder.keep();
        Ok(())
    }

    /// Run with `settings` in `folder` after its `checkpoint`. Accepts a run without remaining steps. Writes events if requested or if
    /// the run has some already.
    ///
    /// # Errors
    /// Errors of adapter, memory, files and weights.
    pub fn resume(
        job: Job<T>,
        gpu: &Gpu,
        folder: RunFolder,
        settings: RunSettings,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let mut run = Self::new(job, gpu, None)?;
        run.trainer.restore(checkpoint)?;
        run.done = checkpoint.step;
        let (metrics, reports) = run.resumed_metrics(&folder)?;
        let events = (run.job.tensorboard || folder.file(EVENTS_FOLDER).is_dir())
            .then(|| run.events(&folder, &reports))
            .transpose()?;
        // Earlier versions did not record the wall time.
        let before = settings.wall_seconds.unwrap_or_else(|| reports.iter().map(T::Report::seconds).sum());
        let mut record = RunRecord::new(folder.file(SETTINGS_FILE), settings, before);
        record.save()?;
        run.files = Some(RunFiles { metrics, events, record, folder, saved: run.done });
        Ok(run)
    }

    /// Opens the metrics in `folder` after the last step, and takes the results of their rows. Warns about what they
    /// lack.
    pub(super) fn resumed_metrics(&mut self, folder: &RunFolder) -> Result<Rows<T::Report>> {
        let ResumedMetrics { metrics, reports, repair, .. } = Metrics::resume(&folder.file(METRICS_FILE), self.done)?;
        if let Some(repair) = repair {
            output::warning(&format!(
                "metrics.csv: {}; its readable rows are kept, and the file as it was is kept as {}",
                repair.damage,
                repair.copy.display()
            ));
        }
        if (reports.len() as u64) < self.done {
            output::warning(&format!(
                "metrics.csv has {} of {} steps: the missing rows are not restored; training is not affected",
                reports.len(),
                self.done
            ));
        }
        self.results = Results::default();
        reports.iter().for_each(|report| self.results.push(report, &self.job.training));
        self.saved = SavedResults { summary: self.results.summary.clone(), watch: self.watch.clone() };
        Ok((metrics, reports))
    }

    /// Creates an event file for the remaining steps. The first event file of a run starts with `reports`, those of the
    /// finished steps.
    pub(super) fn events(&self, folder: &RunFolder, reports: &[T::Report]) -> Result<Events<T::Report>> {
        Events::begin(&folder.file(EVENTS_FOLDER), self.job.training.scale(), reports, self.done)
    }

    /// Runs the remaining steps and concludes the run.
    ///
    /// # Errors
    /// Errors of [`Self::train`]; `ErrorKind::File` if array or plot cannot be written; `ErrorKind::NotFinite` if every
    /// step was rejected.
    pub fn finish(mut self, gpu: &Gpu) -> Result<Outcome> {
        self.announce(gpu);
        self.job.training.warn();
        self.train()?;
        self.conclude()
    }

    /// Prints notes and warnings, after all checks that precede the first step.
    fn announce(&self, gpu: &Gpu) {
        if gpu.is_software() {
            output::warning(&format!(
                "{} computes on the CPU, which works but is slow; if this machine has a GPU, install its Vulkan driver",
                gpu.info().name
            ));
        }
        let Self { job, trainer, .. } = self;
        if job.style != OutputStyle::Text {
            return;
        }
        let renamed: Vec<String> = job.settings.renamed().collect();
        if !renamed.is_empty() {
            output::note(&renamed.join(", "));
        }
        let inert = job.settings.inert().filter_map(|key| Some(format!("{} ({})", key.name, key.inert?)));
        let inert: Vec<String> = inert.collect();
        if !inert.is_empty() {
            output::note(&format!("accepted without effect: {}", inert.join(", ")));
        }
        job.training.show_notes();
        let from = match self.done {
            0 => String::new(),
            step => format!(", from step {step} on"),
        };
        output::note(&format!(
            "{} parameters, {} on {}, seed {}, run folder {}{from}",
            trainer.parameters(),
            bytes(trainer.memory()),
            gpu.info().name,
            job.training.seed(),
            self.shown_folder().unwrap_or_else(|| format!("nowhere (dir={NO_FOLDER})"))
        ));
    }

    /// Path of the run folder, as text.
    pub(super) fn shown_folder(&self) -> Option<String> {
        self.files.as_ref().map(|files| files.folder.path().display().to_string())
    }

    /// Runs the remaining steps, or those until a signal requests a stop, and shows their progress. Saves a checkpoint
    /// after every interval of checkpoints and at the end, then array and plot, and records the cause of the end. After
    /// a failure, saves what can be saved and adds to the error the saved step and the command that resumes.
    ///
    /// # Errors
    /// `ErrorKind::NotFinite` after too many consecutive rejected steps; errors of devices and files.
    pub fn train(&mut self) -> Result<()> {
        let extent =
            RunExtent { steps: self.done..self.job.steps, report: self.job.report, memory: self.trainer.memory() };
        let mut progress = Progress::new(extent, self.job.training.display(), self.job.style);
        let trained = loop {
            match self.take_steps(&mut progress) {
                Ok(ending) => break Ok(ending),
                Err(error) if self.trainer.gpu().is_lost() => match self.recover(&error, &progress) {
                    Ok(()) => {}
                    Err(error) => break Err((Ending::DeviceLost, error)),
                },
                Err(error) => break Err((Ending::Failed, error)),
            }
        };
        progress.finish();
        let trained = trained.and_then(|ending| {
            self.ending = Some(ending);
            self.record_end().map_err(|error| (Ending::Failed, error))
        });
        match trained {
            Ok(()) if self.ending == Some(Ending::Rejected) => Err(self.with_saved_step(self.rejections())),
            Ok(()) => Ok(()),
            Err((ending, error)) => {
                self.ending = Some(ending);
                if self.files.as_ref().is_some_and(|files| files.saved != self.done) {
                    // If this fails too, the previous checkpoint remains.
                    self.save().ok();
                }
                self.record_end().ok();
                Err(self.with_saved_step(error))
            }
        }
    }

    /// Takes steps until the end of the run. Returns its cause.
    fn take_steps(&mut self, progress: &mut Progress<T::Display>) -> Result<Ending> {
        if self.done >= self.job.steps {
            // Completes the files of a run that was killed after its last checkpoint.
            self.save()?;
        }
        let (mut begun, interval) = (Instant::now(), self.job.checkpoint);
        while self.done < self.job.steps && self.watch.cause().is_none() {
            let next = |steps: u64| (self.done / steps + 1).saturating_mul(steps).min(self.job.steps);
            let checkpoint = interval.steps.map_or(self.job.steps, next);
            let until = self.job.training.pause_interval().map_or(checkpoint, next).min(checkpoint);
            let mut is_stopped = false;
            let mut steps = self.trainer.steps(until - self.done);
            while let Some(report) = steps.next() {
                let report = report?;
                self.done = report.step();
                if let Some(files) = &mut self.files {
                    files.write(&report, self.done.is_multiple_of(self.job.report))?;
                }
                self.results.push(&report, &self.job.training);
                progress.step(&report);
                let must_end = self.watch.step(report.accepted());
                if must_end || interval.time.is_some_and(|time| begun.elapsed() >= time) {
                    is_stopped = true;
                    steps.stop();
                }
            }
            drop(steps);
            if let Some(files) = &self.files {
                T::pause(self, &files.folder)?;
            }
            let is_interrupted = interrupt::requested() && self.done < self.job.steps;
            if is_interrupted || is_stopped || self.done < until || self.done == checkpoint {
                self.save()?;
                begun = Instant::now();
            }
            if is_interrupted {
                self.watch.interrupt();
            }
        }
        Ok(self.watch.cause().unwrap_or(Ending::Completed))
    }

    /// Saves the state after the last step.
    ///
    /// # Errors
    /// `ErrorKind::Device` if the device was lost, so that this state is not known; errors of files.
    fn save(&mut self) -> Result<()> {
        let checkpoint = self.trainer.checkpoint()?;
        if checkpoint.step != self.done {
            let text = format!("the GPU device was lost after step {}; resume the run", self.done);
            return Err(Error::new(ErrorKind::Device, text));
        }
        self.saved = SavedResults { summary: self.results.summary.clone(), watch: self.watch.clone() };
        self.files.as_mut().map_or(Ok(()), |files| files.save(&checkpoint, &self.job.training))
    }

    /// Draws the results and records the cause of the end.
    fn record_end(&mut self) -> Result<()> {
        self.files.as_mut().map_or(Ok(()), RunFiles::check)?;
        self.draw()?;
        let (Some(files), Some(cause)) = (&mut self.files, self.ending) else { return Ok(()) };
        files.record.end(RunEnd { cause, step: files.saved })
    }

    /// Error of a run with too many rejected steps.
    fn rejections(&self) -> Error {
        let text = format!(
            "{}: {} steps in a row were rejected for a value that is not finite; give {}",
            T::COMMAND,
            self.job.max_rejected_steps,
            T::REMEDY
        );
        Error::new(ErrorKind::NotFinite, text)
    }

    /// The error with the saved step and the command that resumes, if the run is saved.
    fn with_saved_step(&self, error: Error) -> Error {
        match (&self.files, self.resuming()) {
            (Some(files), Some(resuming)) if files.folder.check().is_ok() => {
                let text = format!("{error}; saved after step {}: `{resuming}` resumes from there", files.saved);
                Error::new(error.kind(), text)
            }
            _ => error,
        }
    }

    /// Command that resumes the run.
    pub(super) fn resuming(&self) -> Option<String> {
        self.files
            .as_ref()
            .map(|files| format!("ketformer {} --resume {}", T::COMMAND, quoted_path(files.folder.path())))
    }
}
