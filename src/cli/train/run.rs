//! A training run that has begun: its files, and what it has shown so far.

use ketformer::gpu::Gpu;
use ketformer::run::{
    Curve, EVENTS_FOLDER, EnergyScale, Events, HISTORY_FILE, History, METRICS_FILE, MODEL_FILE, Metrics, PICTURE_FILE,
    Recent, RunFolder, RunSettings, SETTINGS_FILE, save_checkpoint,
};
use ketformer::vmc::{StepReport, Trainer};
use ketformer::{Error, ErrorKind, Result};
use serde_json::json;

use super::job::{Job, quoted};
use super::place::NO_FOLDER;
use crate::cli::exact_answer::exact_energy;
use crate::cli::groups::{Problem, hamiltonian, wave_function};
use crate::cli::number::{Measured, energy_line, exact_line, relative_error};
use crate::cli::progress::{Form, Progress};
use crate::cli::{Outcome, chains, interrupt, output};

/// A run that has begun.
#[derive(Default)]
pub struct Run {
    metrics: Option<Metrics>,
    events: Option<Events>,
    /// Behind its files, which are closed when a folder that is not kept removes them.
    folder: Option<RunFolder>,
    /// The exact energy, once it is known.
    exact: Option<f64>,
    recent: Recent,
    history: History,
    curve: Curve,
    /// The last step.
    done: u64,
    /// The step of the last checkpoint.
    saved: Option<u64>,
    /// Rejected steps since the last one that was taken.
    rejected: u64,
    interrupted: bool,
}

impl Run {
    /// Writes the settings and the first checkpoint, begins the metrics, and keeps the folder from now on.
    ///
    /// # Errors
    /// `ErrorKind::File` when they cannot be written.
    pub fn begin(job: &Job, folder: Option<RunFolder>, gpu: &Gpu, trainer: &Trainer) -> Result<Self> {
        let mut run = Self { folder, ..Self::default() };
        if job.tensorboard {
            run.begin_events(job, &[])?;
        }
        let Some(folder) = &mut run.folder else { return Ok(run) };
        // Before the settings, by which a folder is known to be of a run: then there is something to go on from.
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

    /// Goes on after step `done`, with the reports of the steps up to there; with events if they are asked for or there.
    ///
    /// # Errors
    /// `ErrorKind::File` when the events cannot be written.
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

    /// Begins an event file for the steps after those that are done, whose reports it gets if it is the first. The exact
    /// energy of a small lattice is computed now instead of at the end.
    fn begin_events(&mut self, job: &Job, reports: &[StepReport]) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        self.exact = exact_energy(&job.problem)?;
        let scale = EnergyScale { sites: job.problem.lattice.sites(), exact: self.exact };
        self.events = Some(Events::begin(&folder.file(EVENTS_FOLDER), scale, reports, self.done)?);
        Ok(())
    }

    /// The last step.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Where the files are.
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

    /// All steps, or those until the user asks to stop, with a checkpoint now and then and at the end.
    ///
    /// # Errors
    /// `ErrorKind::NotFinite` after too many rejected steps in a row; of devices and files.
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
                if interrupt::asked() || self.rejected >= job.rejections {
                    steps.stop();
                }
            }
            self.save(trainer)?;
            if self.rejected >= job.rejections {
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

    /// Metrics and events, a checkpoint, and its weights by themselves.
    fn save(&mut self, trainer: &Trainer) -> Result<()> {
        let (Some(folder), Some(metrics)) = (&self.folder, &mut self.metrics) else { return Ok(()) };
        // Rows come before the checkpoint that needs them.
        metrics.sync()?;
        self.events.as_mut().map_or(Ok(()), Events::sync)?;
        let checkpoint = trainer.checkpoint()?;
        save_checkpoint(folder.path(), &checkpoint)?;
        self.saved = Some(checkpoint.step);
        checkpoint.weights.save(folder.file(MODEL_FILE))
    }

    /// After a failure: saves what can still be saved, and adds to the error what that is and how to go on.
    pub fn rescue(&mut self, error: Error, trainer: &Trainer) -> Error {
        if self.folder.is_none() {
            return error;
        }
        if self.saved != Some(self.done) {
            // Where it fails again, the checkpoint before is what there is.
            self.save(trainer).ok();
        }
        let Some(saved) = self.saved else { return error };
        let text = format!("{error}; saved after step {saved}: `{}` goes on from there", self.resuming());
        Error::new(error.kind(), text)
    }

    /// The command that goes on.
    fn resuming(&self) -> String {
        format!("ketformer train --resume {}", quoted(&self.place()))
    }

    /// The steps as an array, the picture, the final lines, and where everything is.
    ///
    /// # Errors
    /// `ErrorKind::File` when the picture cannot be written.
    pub fn conclude(&self, job: &Job) -> Result<Outcome> {
        let sites = job.problem.lattice.sites();
        let Some(summary) = self.recent.summary() else {
            if self.interrupted {
                return Ok(self.stopped(job));
            }
            let text = "train: every step was rejected for a value that is not finite; give a smaller lr= or clip=1";
            return Err(Error::new(ErrorKind::NotFinite, text));
        };
        let energy = Measured { mean: summary.energy, error: summary.energy_error };
        let shown = job.form != Form::Json;
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
        if let (Some(folder), Form::Text) = (&self.folder, job.form) {
            output::note(&format!("saved in {0}; `ketformer eval {0}` evaluates it", folder.path().display()));
        }
        Ok(Outcome::Done)
    }

    /// Writes the steps as an array and as a picture, with the exact energy where it is known.
    ///
    /// # Errors
    /// `ErrorKind::File` when they cannot be written.
    pub fn draw(&self, job: &Job, exact: Option<f64>) -> Result<()> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.recent.summary().is_some()) else { return Ok(()) };
        let Problem { lattice, hamiltonian_settings, model_settings, .. } = &job.problem;
        let title = hamiltonian::title(hamiltonian_settings, lattice);
        let title = format!("{title}, {}", wave_function::title(model_settings));
        self.history.save(&folder.file(HISTORY_FILE))?;
        self.curve.draw(&folder.file(PICTURE_FILE), &title, exact.map(|exact| exact / lattice.sites() as f64))
    }

    /// Says how far the run came, where it is saved and how to go on.
    fn stopped(&self, job: &Job) -> Outcome {
        let saved = match &self.folder {
            Some(_) => format!("saved in {}; `{}` goes on from there", self.place(), self.resuming()),
            None => format!("nothing is saved (dir={NO_FOLDER})"),
        };
        output::warning(&format!("interrupted after step {} of {}: {saved}", self.done, job.steps));
        Outcome::Interrupted
    }
}
