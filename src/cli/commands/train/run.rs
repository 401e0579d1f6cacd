//! Training run: its settings, its trainer, its files and its results so far.

use std::time::SystemTime;

use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::run::{
    Curve, EVENTS_FOLDER, EnergyScale, EnergySummary, Events, HISTORY_FILE, History, METRICS_FILE, Metrics,
    PICTURE_FILE, RunFolder, RunSettings, SETTINGS_FILE, Summary, save_checkpoint,
};
use ketformer::vmc::{Checkpoint, StepReport, Trainer};
use ketformer::{Error, ErrorKind, Result};
use serde_json::json;

use super::files::RunFiles;
use super::job::Job;
use super::location::NO_FOLDER;
use super::record::RunRecord;
use crate::cli::groups::{Problem, hamiltonian, wave_function};
use crate::cli::output::exact_answer::exact_energy;
use crate::cli::output::number::{Measurement, bytes, energy_line, exact_line, relative_error};
use crate::cli::output::progress::{OutputStyle, Progress, RunExtent};
use crate::cli::shell::quoted_path;
use crate::cli::{Outcome, interrupt, output};

/// Training run, created by [`Self::new`] and [`Self::begin`] or by [`Self::resume`].
pub struct TrainingRun {
    job: Job,
    trainer: Trainer,
    /// `None` if nothing is written.
    files: Option<RunFiles>,
    results: Results,
    /// Exact energy of a small lattice.
    exact: Option<f64>,
    /// Number of the last step.
    done: u64,
    /// Number of rejected steps since the last accepted one.
    rejected: u64,
    interrupted: bool,
}

/// Results of a finished run.
pub struct Trained {
    pub job: Job,
    pub weights: Weights,
    /// Exact energy of the whole lattice, if it is known.
    pub exact: Option<f64>,
}

/// Results of the steps.
#[derive(Default)]
struct Results {
    recent: EnergySummary,
    history: History,
    curve: Curve,
}

impl Results {
    fn push(&mut self, report: &StepReport, sites: usize) {
        self.recent.push(report);
        self.history.push(report);
        self.curve.push(report.step, report.energy / sites as f64);
    }
}

impl TrainingRun {
    /// New run, from these weights if given, with the exact energy of a small lattice. Writes nothing.
    ///
    /// # Errors
    /// Errors of adapter, memory and weights; errors of [`exact_energy`].
    pub fn new(job: Job, gpu: &Gpu, weights: Option<&Weights>) -> Result<Self> {
        let Problem { lattice, hamiltonian, model, .. } = &job.problem;
        let mut trainer = Trainer::new(gpu, lattice, hamiltonian.as_ref(), model.as_ref(), job.config.clone())?;
        weights.map_or(Ok(()), |weights| trainer.set_weights(weights))?;
        let (results, exact) = (Results::default(), exact_energy(&job.problem)?);
        Ok(Self { job, trainer, files: None, results, exact, done: 0, rejected: 0, interrupted: false })
    }

    /// Writes the first checkpoint and the settings into `folder`, creates the other files, and keeps it from now on.
    ///
    /// # Errors
    /// `ErrorKind::File` if they cannot be written.
    pub fn begin(&mut self, gpu: &Gpu, folder: Option<RunFolder>) -> Result<()> {
        let Some(folder) = folder else { return Ok(()) };
        // Before the settings, which mark a folder as a run: a run always has a checkpoint to resume from.
        save_checkpoint(folder.path(), &self.trainer.checkpoint()?)?;
        let events = self.job.tensorboard.then(|| self.events(&folder, &[])).transpose()?;
        let job = &self.job;
        let settings = RunSettings {
            command: job.command.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string()),
            wall_seconds: None,
            adapter: gpu.info().into(),
            seed: job.config.seed,
            parameters: self.trainer.parameters(),
            gpu_bytes: self.trainer.memory(),
            resumptions: Vec::new(),
            train: job.settings.map(),
            groups: job.problem.settings().map(|group| (group.group().name.into(), group.map())).collect(),
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
        job: Job,
        gpu: &Gpu,
        folder: RunFolder,
        settings: RunSettings,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let mut run = Self::new(job, gpu, None)?;
        run.trainer.restore(checkpoint)?;
        run.done = checkpoint.step;
        let (metrics, reports) = Metrics::resume(&folder.file(METRICS_FILE), run.done)?;
        if (reports.len() as u64) < run.done {
            output::warning(&format!(
                "metrics.csv has {} of {} steps: the missing rows are not restored; training is not affected",
                reports.len(),
                run.done
            ));
        }
        let sites = run.job.problem.lattice.sites();
        reports.iter().for_each(|report| run.results.push(report, sites));
        let has_events = run.job.tensorboard || folder.file(EVENTS_FOLDER).is_dir();
        let events = has_events.then(|| run.events(&folder, &reports)).transpose()?;
        // Earlier versions did not record the wall time.
        let before = settings.wall_seconds.unwrap_or_else(|| reports.iter().map(|report| report.seconds).sum());
        let record = RunRecord::new(folder.file(SETTINGS_FILE), settings, before);
        run.files = Some(RunFiles { metrics, events, record, folder, saved: run.done });
        Ok(run)
    }

    /// Warning of a wave function that cannot represent the ground state; `None` if no reason is known.
    pub fn shortfall(&self) -> Option<String> {
        output::shortfall::text(&self.job.problem, self.exact)
    }

    /// Creates an event file for the remaining steps. The first event file of a run starts with `reports`, those of the
    /// finished steps.
    fn events(&self, folder: &RunFolder, reports: &[StepReport]) -> Result<Events> {
        let scale = EnergyScale { sites: self.job.problem.lattice.sites(), exact: self.exact };
        Events::begin(&folder.file(EVENTS_FOLDER), scale, reports, self.done)
    }

    /// Runs the remaining steps and concludes the run.
    ///
    /// # Errors
    /// Errors of [`Self::train`]; `ErrorKind::File` if array or plot cannot be written; `ErrorKind::NotFinite` if every
    /// step was rejected.
    pub fn finish(mut self, gpu: &Gpu) -> Result<Outcome> {
        self.announce(gpu);
        output::shortfall::warn(&self.job.problem, self.exact);
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
        job.problem.show_notes();
        let from = match self.done {
            0 => String::new(),
            step => format!(", from step {step} on"),
        };
        output::note(&format!(
            "{} parameters, {} on {}, seed {}, run folder {}{from}",
            trainer.parameters(),
            bytes(trainer.memory()),
            gpu.info().name,
            job.config.seed,
            self.shown_folder().unwrap_or_else(|| format!("nowhere (dir={NO_FOLDER})"))
        ));
    }

    /// Path of the run folder, as text.
    fn shown_folder(&self) -> Option<String> {
        self.files.as_ref().map(|files| files.folder.path().display().to_string())
    }

    /// Runs the remaining steps, or those until the user interrupts, and shows their progress. Saves a checkpoint after
    /// every interval of checkpoints and at the end. After a failure, saves what can be saved and adds to the error
    /// the saved step and the command that resumes.
    ///
    /// # Errors
    /// `ErrorKind::NotFinite` after too many consecutive rejected steps; errors of devices and files.
    pub fn train(&mut self) -> Result<()> {
        let extent = RunExtent {
            steps: self.done..self.job.steps,
            report: self.job.report,
            sites: self.job.problem.lattice.sites(),
            samples: self.job.config.samples,
            memory: self.trainer.memory(),
            exact: self.exact,
        };
        let mut progress = Progress::new(extent, self.job.style);
        let trained = self.take_steps(&mut progress);
        progress.finish();
        trained.map_err(|error| {
            if self.files.as_ref().is_some_and(|files| files.saved != self.done) {
                // If this fails too, the previous checkpoint remains.
                self.save().ok();
            }
            let (Some(files), Some(resuming)) = (&self.files, self.resuming()) else { return error };
            let text = format!("{error}; saved after step {}: `{resuming}` resumes from there", files.saved);
            Error::new(error.kind(), text)
        })
    }

    fn take_steps(&mut self, progress: &mut Progress) -> Result<()> {
        let sites = self.job.problem.lattice.sites();
        while self.done < self.job.steps && !self.interrupted {
            let interval = self.job.checkpoint;
            let until = (self.done / interval + 1).saturating_mul(interval).min(self.job.steps);
            let mut steps = self.trainer.steps(until - self.done);
            while let Some(report) = steps.next() {
                let report = report?;
                self.done = report.step;
                if let Some(files) = &mut self.files {
                    files.write(&report, self.done.is_multiple_of(self.job.report))?;
                }
                self.results.push(&report, sites);
                progress.step(&report);
                self.rejected = if report.accepted { 0 } else { self.rejected + 1 };
                if interrupt::requested() || self.rejected >= self.job.max_rejected_steps {
                    steps.stop();
                }
            }
            self.save()?;
            if self.rejected >= self.job.max_rejected_steps {
                let text = format!(
                    "train: {} steps in a row were rejected for a value that is not finite; give a smaller lr=, clip=1 \
                     or more samples (K=)",
                    self.rejected
                );
                return Err(Error::new(ErrorKind::NotFinite, text));
            }
            self.interrupted = self.done < until;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let Some(files) = &mut self.files else { return Ok(()) };
        files.save(&self.trainer.checkpoint()?)
    }

    /// Command that resumes the run.
    fn resuming(&self) -> Option<String> {
        self.files.as_ref().map(|files| format!("ketformer train --resume {}", quoted_path(files.folder.path())))
    }

    /// Results of the run, unless it was interrupted.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn finished(self) -> Result<Option<Trained>> {
        let weights = (self.done == self.job.steps).then(|| self.trainer.weights()).transpose()?;
        Ok(weights.map(|weights| Trained { job: self.job, weights, exact: self.exact }))
    }

    /// Prints the final lines, writes the array and the plot of the steps, and reports the location of the run.
    fn conclude(&self) -> Result<Outcome> {
        let sites = self.job.problem.lattice.sites();
        let Some(summary) = self.results.recent.summary() else {
            if self.interrupted {
                return Ok(self.stopped());
            }
            let text = "train: every step was rejected for a value that is not finite; give a smaller lr= or clip=1";
            return Err(Error::new(ErrorKind::NotFinite, text));
        };
        let terms = self.job.problem.hamiltonian.terms(&self.job.problem.lattice)?;
        let config = self.trainer.last_configuration()?;
        let summary = match summary.energy_error.is_nan() && terms.variance_of_configuration(&config) == 0.0 {
            // One configuration that is an eigenstate: there is no error.
            true => Summary { energy_error: 0.0, variance: 0.0, ..summary },
            false => summary,
        };
        output::concentration::warn_of_run(&summary, &config, &terms, self.job.config.samples, &self.job.problem);
        let energy = Measurement { mean: summary.energy, error: summary.energy_error };
        let is_text = self.job.style != OutputStyle::Json;
        if is_text {
            output::line(energy_line(energy, sites, summary.variance));
        }
        if let Some(acceptance) = summary.acceptance {
            output::chains::warn_if_frozen(acceptance, "a smaller lr= or a longer warmup=");
            output::chains::warn_if_short(summary.steps);
        }
        let exact = self.exact;
        if !is_text {
            output::line(json!({
                "done": !self.interrupted,
                "step": self.done,
                "energy": [energy.mean, energy.error],
                "per_site": energy.mean / sites as f64,
                "variance": summary.variance,
                "exact": exact,
                "relative_error": exact.map(|exact| relative_error(energy.mean, exact)),
                "run": self.files.as_ref().map(|files| files.folder.path()),
            }));
        } else if let Some(exact) = exact {
            output::line(exact_line(exact, energy));
        }
        self.draw()?;
        if self.interrupted {
            return Ok(self.stopped());
        }
        if let (Some(files), OutputStyle::Text) = (&self.files, self.job.style) {
            let folder = files.folder.path();
            let word = quoted_path(folder);
            output::note(&format!(
                "saved in {}; `ketformer eval {word}` evaluates it, `ketformer report {word}` draws it",
                folder.display()
            ));
        }
        Ok(Outcome::Done)
    }

    /// Writes the steps as an array and as a plot, with the exact energy if known.
    ///
    /// # Errors
    /// `ErrorKind::File` if they cannot be written.
    pub fn draw(&self) -> Result<()> {
        let Results { recent, history, curve } = &self.results;
        let Some(files) = self.files.as_ref().filter(|_| recent.summary().is_some()) else { return Ok(()) };
        let Problem { lattice, hamiltonian_settings, model_settings, .. } = &self.job.problem;
        let title = hamiltonian::title(hamiltonian_settings, lattice);
        let title = format!("{title}, {}", wave_function::title(model_settings));
        history.save(&files.folder.file(HISTORY_FILE))?;
        curve.draw(&files.folder.file(PICTURE_FILE), &title, self.exact.map(|exact| exact / lattice.sites() as f64))
    }

    /// Reports the last step, where the run is saved and how to resume it.
    fn stopped(&self) -> Outcome {
        let saved = match (self.shown_folder(), self.resuming()) {
            (Some(folder), Some(resuming)) => format!("saved in {folder}; `{resuming}` resumes from there"),
            _ => format!("nothing is saved (dir={NO_FOLDER})"),
        };
        output::warning(&format!("interrupted after step {} of {}: {saved}", self.done, self.job.steps));
        Outcome::Interrupted
    }
}
