//! Closing lines of a training run, all of which follow from the cause of its end.

use ketformer::run::{Ending, HISTORY_FILE, PICTURE_FILE, Summary};
use ketformer::{Error, ErrorKind, Result};
use serde_json::json;

use super::location::NO_FOLDER;
use super::run::{Results, TrainingRun};
use crate::cli::groups::{Problem, hamiltonian, wave_function};
use crate::cli::output::number::{Measurement, energy_line, exact_line, relative_error};
use crate::cli::output::progress::OutputStyle;
use crate::cli::shell::quoted_path;
use crate::cli::{Outcome, output};

impl TrainingRun {
    /// Prints the final lines and reports the location of the run, which has ended without an error.
    ///
    /// # Errors
    /// `ErrorKind::NotFinite` if every step was rejected; `ErrorKind::File` if the folder is no longer there.
    pub(super) fn conclude(&self) -> Result<Outcome> {
        let is_completed = self.ending == Some(Ending::Completed);
        match self.results.recent.summary() {
            Some(summary) => self.show_energy(summary)?,
            None if is_completed => {
                let text =
                    "train: every step was rejected for a value that is not finite; give a smaller lr= or clip=1";
                return Err(Error::new(ErrorKind::NotFinite, text));
            }
            None => {}
        }
        if let Some(files) = &self.files {
            files.folder.check()?;
        }
        if !is_completed {
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

    /// Prints the mean energy of the last steps.
    fn show_energy(&self, summary: Summary) -> Result<()> {
        let terms = self.job.problem.hamiltonian.terms(&self.job.problem.lattice)?;
        let config = summary.energy_error.is_nan().then(|| self.trainer.last_configuration()).transpose()?.flatten();
        let summary = match config.as_ref().is_some_and(|config| terms.variance_of_configuration(config) == 0.0) {
            // One configuration that is an eigenstate: there is no error.
            true => Summary { energy_error: 0.0, variance: 0.0, ..summary },
            false => summary,
        };
        let config = config.as_deref();
        output::concentration::warn_of_run(&summary, config, &terms, self.job.config.samples, &self.job.problem);
        let (sites, exact) = (self.job.problem.lattice.sites(), self.exact);
        let energy = Measurement { mean: summary.energy, error: summary.energy_error };
        let is_text = self.job.style != OutputStyle::Json;
        if is_text {
            output::line(energy_line(energy, sites, summary.variance));
        }
        if let Some(acceptance) = summary.acceptance {
            output::chains::warn_if_frozen(acceptance, "a smaller lr= or a longer warmup=");
            output::chains::warn_if_short(summary.steps);
        }
        if !is_text {
            output::line(json!({
                "done": self.ending == Some(Ending::Completed),
                "ending": self.ending,
                "step": self.done,
                "energy": [energy.mean, energy.error],
                "per_site": energy.mean / sites as f64,
                "variance": summary.variance,
                "exact": exact,
                "relative_error": exact.map(|exact| relative_error(energy.mean, exact)),
                "device_losses": self.device_losses,
                "run": self.files.as_ref().map(|files| files.folder.path()),
            }));
        } else if let Some(exact) = exact {
            output::line(exact_line(exact, energy));
        }
        Ok(())
    }

    /// Writes the steps as an array and as a plot, with the exact energy if known.
    ///
    /// # Errors
    /// `ErrorKind::File` if they cannot be written.
    pub(super) fn draw(&self) -> Result<()> {
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
