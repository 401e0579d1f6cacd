//! `settings.json` of a run in progress, with its wall time.

use std::path::PathBuf;
use std::time::Instant;

use ketformer::Result;
use ketformer::run::{DeviceLoss, RunEnd, RunSettings};

/// Settings of a run in progress and its clock.
pub struct RunRecord {
    path: PathBuf,
    settings: RunSettings,
    /// Wall time of training before `begun`, in seconds.
    before: f64,
    begun: Instant,
}

impl RunRecord {
    /// Creates the record at `path` of a run that begins, or resumes after `before` seconds, now. Its former end is
    /// forgotten.
    pub fn new(path: PathBuf, settings: RunSettings, before: f64) -> Self {
        let settings = RunSettings { ended: None, ..settings };
        Self { path, settings, before, begun: Instant::now() }
    }

    /// Records the end of the run, and writes the file.
    ///
    /// # Errors
    /// `ErrorKind::File` if it cannot be written.
    pub fn end(&mut self, end: RunEnd) -> Result<()> {
        self.settings.ended = Some(end);
        self.save()
    }

    /// Records a loss of the device, and writes the file. Returns the number of losses so far.
    ///
    /// # Errors
    /// `ErrorKind::File` if it cannot be written.
    pub fn lose_device(&mut self, loss: DeviceLoss) -> Result<u64> {
        self.settings.device_losses.push(loss);
        self.save()?;
        Ok(self.settings.device_losses.len() as u64)
    }

    /// Writes the file atomically, with the wall time up to now in milliseconds.
    ///
    /// # Errors
    /// `ErrorKind::File` if it cannot be written.
    pub fn save(&mut self) -> Result<()> {
        let seconds = self.before + self.begun.elapsed().as_secs_f64();
        self.settings.wall_seconds = Some((seconds * 1e3).round() / 1e3);
        self.settings.save(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_time_includes_that_before_a_resumption() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        let file = r#"{"command": "", "version": "0.1.0", "adapter": {"name": "", "backend": "", "kind": "", "driver": "",
            "driver_info": ""}, "seed": 1, "parameters": 2, "gpu_bytes": 3, "train": {"L": 4}}"#;
        let settings: RunSettings = serde_json::from_str(file).unwrap();
        let mut record = RunRecord::new(path.clone(), settings, 3600.0);
        let mut last = 3600.0;
        for _ in 0..2 {
            record.save().unwrap();
            let now = RunSettings::load(&path).unwrap().wall_seconds.unwrap();
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    }
}
