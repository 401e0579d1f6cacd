//! Training of a wave function: its problem, the displayed energies and the plot of a run.

use std::collections::BTreeMap;
use std::path::Path;

use ketformer::Result;
use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::run::{Curve, Ending, EnergyScale, EnergySummary, PICTURE_FILE, RunSettings, Summary};
use ketformer::vmc::{Checkpoint, Sampling, StepReport, TrainConfig, Trainer};
use serde_json::{Map, Value, json};

use crate::cli::groups::{Problem, hamiltonian, train, wave_function};
use crate::cli::output::energy_display::EnergyDisplay;
use crate::cli::output::exact_answer::exact_energy;
use crate::cli::output::number::{Measurement, energy_line, exact_line, relative_error};
use crate::cli::output::progress::OutputStyle;
use crate::cli::settings::Group;
use crate::cli::training::{Job, Results, Training, TrainingRun};
use crate::cli::{interrupt, output, run_settings};

/// Training of a wave function to the ground state of a Hamiltonian.
pub struct WaveFunctionTraining {
    /// Lattice, wave function and Hamiltonian.
    pub problem: Problem,
    /// Configuration of the trainer.
    pub config: TrainConfig,
    /// Exact energy of the whole lattice, once it is computed and if the lattice is small.
    pub exact: Option<f64>,
}

impl Training for WaveFunctionTraining {
    type Report = StepReport;
    type Trainer = Trainer;
    type Display = EnergyDisplay;
    type Summary = EnergySummary;
    type Curve = Curve;

    const COMMAND: &'static str = "train";
    const MAY_CHANGE: &'static [&'static str] =
        &["steps", "lr", "clip", "report", "checkpoint", "max_rejected_steps", "max_device_losses"];
    const PICTURE_FILE: &'static str = PICTURE_FILE;
    const REMEDY: &'static str = "a smaller lr=, clip=1 or more samples (K=)";

    fn group() -> &'static Group {
        &train::GROUP
    }

    fn groups(&self) -> BTreeMap<String, Map<String, Value>> {
        self.problem.settings().map(|group| (group.group().name.into(), group.map())).collect()
    }

    fn load_settings(folder: &Path) -> Result<RunSettings> {
        run_settings::load(folder)
    }

    fn seed(&self) -> u64 {
        self.config.seed
    }

    fn trainer(&self, gpu: &Gpu) -> Result<Trainer> {
        let Problem { lattice, hamiltonian, model, .. } = &self.problem;
        let mut trainer = Trainer::new(gpu, lattice, hamiltonian.as_ref(), model.as_ref(), self.config.clone())?;
        trainer.stop_when(interrupt::requested);
        Ok(trainer)
    }

    fn prepare(&mut self) -> Result<()> {
        self.exact = exact_energy(&self.problem)?;
        Ok(())
    }

    fn scale(&self) -> EnergyScale {
        EnergyScale { sites: self.problem.lattice.sites(), exact: self.exact }
    }

    fn display(&self) -> EnergyDisplay {
        let display = EnergyDisplay::new(self.problem.lattice.sites(), self.config.samples, self.exact);
        if self.config.sampling == Sampling::FullSum { display.of_full_sum() } else { display }
    }

    fn show_notes(&self) {
        self.problem.show_notes();
    }

    fn warn(&self) {
        output::shortfall::warn(&self.problem, self.exact);
    }

    fn add(&self, report: &StepReport, summary: &mut EnergySummary, curve: &mut Curve) {
        summary.push(report);
        curve.push(report.step, report.energy / self.problem.lattice.sites() as f64);
    }

    fn save_weights(&self, weights: &Weights, path: &Path) -> Result<()> {
        weights.save(path)
    }

    fn has_result(summary: &EnergySummary) -> bool {
        summary.summary().is_some()
    }

    /// Prints the mean energy of the last steps.
    fn show_result(run: &TrainingRun<Self>) -> Result<()> {
        let Some(summary) = run.results.summary.summary() else { return Ok(()) };
        let Self { problem, config, exact } = &run.job.training;
        let terms = problem.hamiltonian.terms(&problem.lattice)?;
        let last = summary.energy_error.is_nan().then(|| run.trainer.last_configuration()).transpose()?.flatten();
        let summary = match last.as_ref().is_some_and(|last| terms.variance_of_configuration(last) == 0.0) {
            // One configuration that is an eigenstate: there is no error.
            true => Summary { energy_error: 0.0, variance: 0.0, ..summary },
            false => summary,
        };
        output::concentration::warn_of_run(&summary, last.as_deref(), &terms, config.samples, problem);
        let sites = problem.lattice.sites();
        let energy = Measurement { mean: summary.energy, error: summary.energy_error };
        let is_text = run.job.style != OutputStyle::Json;
        if is_text {
            output::line(energy_line(energy, sites, summary.variance));
        }
        if let Some(acceptance) = summary.acceptance {
            output::chains::warn_if_frozen(acceptance, "a smaller lr= or a longer warmup=");
            output::chains::warn_if_short(summary.steps);
        }
        if !is_text {
            let result = json!({
                "energy": [energy.mean, energy.error],
                "per_site": energy.mean / sites as f64,
                "variance": summary.variance,
                "exact": exact,
                "relative_error": exact.map(|exact| relative_error(energy.mean, exact)),
            });
            output::line(run.closing_object(result.as_object().cloned().unwrap_or_default()));
        } else if let Some(exact) = exact {
            output::line(exact_line(*exact, energy));
        }
        Ok(())
    }

    /// Draws the energies with the exact energy if it is known.
    fn draw(&self, results: &Results<Self>, path: &Path) -> Result<()> {
        let Problem { lattice, hamiltonian_settings, model_settings, .. } = &self.problem;
        let title = hamiltonian::title(hamiltonian_settings, lattice);
        let title = format!("{title}, {}", wave_function::title(model_settings));
        results.curve.draw(path, &title, self.exact.map(|exact| exact / lattice.sites() as f64))
    }

    fn next_commands(word: &str) -> String {
        format!("`ketformer eval {word}` evaluates it, `ketformer report {word}` draws it")
    }
}

/// Results of a finished run.
pub struct Trained {
    pub job: Job<WaveFunctionTraining>,
    pub weights: Weights,
    /// The device of the run, which is another one than at the beginning if that was lost.
    pub gpu: Gpu,
}

impl TrainingRun<WaveFunctionTraining> {
    /// Warning of a wave function that cannot represent the ground state; `None` if no reason is known.
    pub fn shortfall(&self) -> Option<String> {
        output::shortfall::text(&self.job.training.problem, self.job.training.exact)
    }

    /// Results of the run, if it is completed.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn finished(self) -> Result<Option<Trained>> {
        if self.ending != Some(Ending::Completed) {
            return Ok(None);
        }
        let Checkpoint { weights, .. } = self.trainer.checkpoint()?;
        Ok(Some(Trained { gpu: self.trainer.gpu().clone(), job: self.job, weights }))
    }
}
