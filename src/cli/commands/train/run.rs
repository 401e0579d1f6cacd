//! Training run in progress: its files and its results so far.

use ketformer::gpu::Gpu;
use ketformer::run::{
    Curve, EVENTS_FOLDER, EnergyScale, EnergySummary, Events, HISTORY_FILE, History, METRICS_FILE, MODEL_FILE, Metrics,
    PICTURE_FILE, RunFolder, RunSettings, SETTINGS_FILE, save_checkpoint,
};
use ketformer::vmc::{StepReport, Trainer};
use ketformer::{Error, ErrorKind, Result};
use serde_json::json;

use super::job::{Job, quoted};
use super::place::NO_FOLDER;
use crate::cli::groups::{Problem, hamiltonian, wave_function};
use crate::cli::output::chains;
use crate::cli::output::exact_answer::exact_energy;
use crate::cli::output::number::{Measurement, energy_line, exact_line, relative_error};
use crate::cli::output::progress::{OutputStyle, Progress};
use crate::cli::{Outcome, interrupt, output};

/// Training run in progress.
#[derive(Default)]
pub struct Run {
    metrics: Option<Metrics>,
    events: Option<Events>,
    /// Declared after its files, so that they are closed before a folder that is not kept is removed.
    folder: Option<RunFolder>,
    /// Exact energy, once computed.
    exact: Option<f64>,
    recent: EnergySummary,
    history: History,
    curve: Curve,
    /// Number of the last step.
    done: u64,
    /// Step of the last checkpoint.
    saved: Option<u64>,
    /// Number of rejected steps since the last accepted one.
    rejected: u64,
    interrupted: bool,
}

impl Run {
    /// Writes the first checkpoint and the settings, creates the metrics file, and keeps the folder from now on.
    ///
    /// # Errors
    /// `ErrorKind::File` if they cannot be written.
    pub fn begin(job: &Job, folder: Option<RunFolder>, gpu: &Gpu, trainer: &Trainer) -> Result<Self> {
        let mut run = Self { folder, ..Self::default() };
        if job.tensorboard {
            run.begin_events(job, &[])?;
        }
        let Some(folder) = &mut run.folder else { return Ok(run) };
        // Before the settings, which mark a folder as a run: a run always has a checkpoint to resume from.
        save_checkpoint(folder.path(), &trainer.checkpoint()?)?;
        run.saved = Some(0);
        let settings = RunSettings {
            command: job.command.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            adapter: gpu.info().into(),
            seed: job.config.seed,
            parameters: trainer.parameters(),
            gpu_bytes: trainer.memory(),
            resumptions: Vec::new(),
            train: job.settings.map(),
            groups: job.problem.settings().map(|group| (group.group().name.into(), group.map())).collect(),
        };
        run.metrics = Some(Metrics::create(&folder.file(METRICS_FILE))?);
        settings.save(&folder.file(SETTINGS_FILE))?;
        folder.keep();
        Ok(run)
    }

    /// Resumes after step `done`, with the reports of the steps up to it. Writes events if requested or if the run has
    /// some already.
    ///
    /// # Errors
    /// `ErrorKind::File` if the events cannot be written.
    pub fn go_on(job: &Job, folder: RunFolder, metrics: Metrics, reports: &[StepReport], done: u64) -> Result<Self> {
        let (folder, metrics) = (Some(folder), Some(metrics));
        let mut run = Self { folder, metrics, done, saved: Some(done), ..Self::default() };
        reports.iter().for_each(|report| run.show(job, report));
        let begun = run.folder.as_ref().is_some_and(|folder| folder.file(EVENTS_FOLDER).is_dir());
        if job.tensorboard || begun {
            run.begin_events(job, reports)?;
        }
        Ok(run)
    }

    /// Creates an event file for the remaining steps. The first event file of a run starts with `reports`, those of the
    /// finished steps. Computes the exact energy of a small lattice, which otherwise happens at the end of the run.
    fn begin_events(&mut self, job: &Job, reports: &[StepReport]) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        self.exact = exact_energy(&job.problem)?;
        let scale = EnergyScale { sites: job.problem.lattice.sites(), exact: self.exact };
        self.events = Some(Events::begin(&folder.file(EVENTS_FOLDER), scale, reports, self.done)?);
        Ok(())
    }

    /// Number of the last step.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Path of the run folder, as text.
    pub fn place(&self) -> String {
        match &self.folder {
            Some(folder) => folder.path().display().to_string(),
            None => format!("nowhere (dir={NO_FOLDER})"),
        }
    }

    fn show(&mut self, job: &Job, report: &StepReport) {
        self.recent.push(report);
        self.history.push(report);
        self.curve.push(report.step, report.energy / job.problem.lattice.sites() as f64);
    }

    /// Runs the remaining steps, or those until the user interrupts. Saves a checkpoint every `job.checkpoint` steps
    /// and at the end.
    ///
    /// # Errors
    /// `ErrorKind::NotFinite` after too many consecutive rejected steps; errors of devices and files.
    pub fn train(&mut self, job: &Job, trainer: &mut Trainer, progress: &mut Progress) -> Result<()> {
        while self.done < job.steps && !self.interrupted {
            let until = (self.done / job.checkpoint + 1).saturating_mul(job.checkpoint).min(job.steps);
            let mut steps = trainer.steps(until - self.done);
            while let Some(report) = steps.next() {
                let report = report?;
                self.done = report.step;
                let due = self.done.is_multiple_of(job.report);
                if let Some(metrics) = &mut self.metrics {
                    metrics.write(&report)?;
                    due.then(|| metrics.flush()).transpose()?;
                }
                if let Some(events) = &mut self.events {
                    events.write(&report)?;
                    due.then(|| events.flush()).transpose()?;
                }
                self.show(job, &report);
                progress.step(&report);
                self.rejected = if report.accepted { 0 } else { self.rejected + 1 };
                if interrupt::requested() || self.rejected >= job.max_rejected_steps {
                    steps.stop();
                }
            }
            self.save(trainer)?;
            if self.rejected >= job.max_rejected_steps {
                let text = format!(
                    "train: {} steps in a row were rejected for a value that is not finite; give a smaller lr=, clip=1 or more \
                     samples (K=)",
                    self.rejected
                );
                return Err(Error::new(ErrorKind::NotFinite, text));
            }
            self.interrupted = self.done < until;
        }
        Ok(())
    }

    /// Saves metrics, events, a checkpoint, and its weights in a separate file.
    fn save(&mut self, trainer: &Trainer) -> Result<()> {
        let (Some(folder), Some(metrics)) = (&self.folder, &mut self.metrics) else { return Ok(()) };
        // Rows are synced before the checkpoint that needs them.
        metrics.sync()?;
        self.events.as_mut().map_or(Ok(()), Events::sync)?;
        let checkpoint = trainer.checkpoint()?;
        save_checkpoint(folder.path(), &checkpoint)?;
        self.saved = Some(checkpoint.step);
        checkpoint.weights.save(folder.file(MODEL_FILE))
    }

    /// Saves what can be saved after a failure. Adds the saved step and the command that resumes to the error.
    pub fn rescue(&mut self, error: Error, trainer: &Trainer) -> Error {
        if self.folder.is_none() {
            return error;
        }
        if self.saved != Some(self.done) {
            // If this fails too, the previous checkpoint remains.
            self.save(trainer).ok();
        }
        let Some(saved) = self.saved else { return error };
        let text = format!("{error}; saved after step {saved}: `{}` resumes from there", self.resuming());
        Error::new(error.kind(), text)
    }

    /// Command that resumes the run.
    fn resuming(&self) -> String {
        format!("ketformer train --resume {}", quoted(&self.place()))
    }

    /// Prints the final lines, writes the array and the plot of the steps, and reports the location of the run.
    ///
    /// # Errors
    /// `ErrorKind::File` if array or plot cannot be written, `ErrorKind::NotFinite` if every step was rejected.
    pub fn conclude(&self, job: &Job) -> Result<Outcome> {
        let sites = job.problem.lattice.sites();
        let Some(summary) = self.recent.summary() else {
            if self.interrupted {
                return Ok(self.stopped(job));
            }
            let text = "train: every step was rejected for a value that is not finite; give a smaller lr= or clip=1";
            return Err(Error::new(ErrorKind::NotFinite, text));
        };
        let energy = Measurement { mean: summary.energy, error: summary.energy_error };
        let shown = job.form != OutputStyle::Json;
        if shown {
            output::line(energy_line(energy, sites, summary.variance));
        }
        if let Some(acceptance) = summary.acceptance {
            chains::warn_if_frozen(acceptance, "a smaller lr= or a longer warmup=");
        }
        let exact = match self.interrupted {
            true => None,
            false if self.exact.is_some() => self.exact,
            false => exact_energy(&job.problem)?,
        };
        match exact {
            Some(exact) if shown => output::line(exact_line(exact, energy)),
            _ if shown => {}
            _ => output::line(json!({
                "done": !self.interrupted,
                "step": self.done,
                "energy": [energy.mean, energy.error],
                "per_site": energy.mean / sites as f64,
                "variance": summary.variance,
                "exact": exact,
                "relative_error": exact.map(|exact| relative_error(energy.mean, exact)),
                "run": self.folder.as_ref().map(|folder| folder.path()),
            })),
        }
        self.draw(job, exact)?;
        if self.interrupted {
            return Ok(self.stopped(job));
        }
        if let (Some(folder), OutputStyle::Text) = (&self.folder, job.form) {
            let shown = folder.path().display();
            output::note(&format!(
                "saved in {shown}; `ketformer eval {shown}` evaluates it, `ketformer report {shown}` draws it"
            ));
        }
        Ok(Outcome::Done)
    }

    /// Writes the steps as an array and as a plot, with the exact energy if known.
    ///
    /// # Errors
    /// `ErrorKind::File` if they cannot be written.
    pub fn draw(&self, job: &Job, exact: Option<f64>) -> Result<()> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.recent.summary().is_some()) else { return Ok(()) };
        let Problem { lattice, hamiltonian_settings, model_settings, .. } = &job.problem;
        let title = hamiltonian::title(hamiltonian_settings, lattice);
        let title = format!("{title}, {}", wave_function::title(model_settings));
        self.history.save(&folder.file(HISTORY_FILE))?;
        self.curve.draw(&folder.file(PICTURE_FILE), &title, exact.map(|exact| exact / lattice.sites() as f64))
    }

    /// Reports the last step, where the run is saved and how to resume it.
    fn stopped(&self, job: &Job) -> Outcome {
        let saved = match &self.folder {
            Some(_) => format!("saved in {}; `{}` resumes from there", self.place(), self.resuming()),
            None => format!("nothing is saved (dir={NO_FOLDER})"),
        };
        output::warning(&format!("interrupted after step {} of {}: {saved}", self.done, job.steps));
        Outcome::Interrupted
    }
}
