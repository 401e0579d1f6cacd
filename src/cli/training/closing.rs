//! Closing lines of a training run, all of which follow from the cause of its end.

use ketformer::run::{Ending, HISTORY_FILE};
use ketformer::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use super::Training;
use super::location::NO_FOLDER;
use super::run::TrainingRun;
use crate::cli::output::progress::OutputStyle;
use crate::cli::shell::quoted_path;
use crate::cli::{Outcome, output};

impl<T: Training> TrainingRun<T> {
    /// Prints the final lines and reports the location of the run, which has ended without an error.
    ///
    /// # Errors
    /// `ErrorKind::NotFinite` if every step was rejected; `ErrorKind::File` if the folder is no longer there.
    pub(super) fn conclude(&self) -> Result<Outcome> {
        let is_completed = self.ending == Some(Ending::Completed);
        if T::has_result(&self.results.summary) {
            T::show_result(self)?;
        } else if is_completed {
            let text = format!(
                "{}: every step was rejected for a value that is not finite; give a smaller lr= or clip=1",
                T::COMMAND
            );
            return Err(Error::new(ErrorKind::NotFinite, text));
        }
        if let Some(files) = &self.files {
            files.folder.check()?;
        }
        if !is_completed {
            return Ok(self.stopped());
        }
        if let (Some(files), OutputStyle::Text) = (&self.files, self.job.style) {
            let folder = files.folder.path();
            output::note(&format!("saved in {}; {}", folder.display(), T::next_commands(&quoted_path(folder))));
        }
        Ok(Outcome::Done)
    }

    /// JSON object of the end of the run with the fields of its `result`.
    pub fn closing_object(&self, result: Map<String, Value>) -> Value {
        let mut object = Map::new();
        object.insert("done".into(), (self.ending == Some(Ending::Completed)).into());
        object.insert("ending".into(), json!(self.ending));
        object.insert("step".into(), self.done.into());
        object.extend(result);
        object.insert("device_losses".into(), self.device_losses.into());
        object.insert("run".into(), json!(self.files.as_ref().map(|files| files.folder.path())));
        object.into()
    }

    /// Writes the steps as an array and as a plot.
    ///
    /// # Errors
    /// `ErrorKind::File` if they cannot be written.
    pub(super) fn draw(&self) -> Result<()> {
        let Some(files) = self.files.as_ref().filter(|_| T::has_result(&self.results.summary)) else { return Ok(()) };
        self.results.history.save(&files.folder.file(HISTORY_FILE))?;
        self.job.training.draw(&self.results, &files.folder.file(T::PICTURE_FILE))
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
