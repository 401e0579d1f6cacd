//! Recovery of a training run whose device was lost: opens the adapter again and resumes from the newest checkpoint.

use std::time::Duration;

use ketformer::gpu::Gpu;
use ketformer::run::DeviceLoss;
use ketformer::{Error, Result};

use super::files::RunFiles;
use super::{Results, RunTrainer, Training, TrainingRun};
use crate::cli::interrupt;
use crate::cli::output::progress::Progress;

/// Seconds between attempts to open the adapter, which is not there immediately after a reset of its driver.
const PAUSES: [u64; 5] = [0, 1, 2, 4, 8];

/// Function that opens the adapter of a lost device.
type Open = dyn FnMut(&Gpu) -> Result<Gpu>;

/// Opens a lost device again.
pub struct Opener(pub Box<Open>);

impl Default for Opener {
    fn default() -> Self {
        Self(Box::new(Gpu::reopen))
    }
}

impl<T: Training> TrainingRun<T> {
    /// Continues on a new device from the newest checkpoint, after `error` by the loss of the device. The rows of later
    /// steps are dropped from the metrics, because these steps are repeated. Fails if the device was lost too often.
    ///
    /// # Errors
    /// `error` if the device was lost too often; errors of the adapter and of files.
    pub(super) fn recover(&mut self, error: &Error, progress: &Progress<T::Display>) -> Result<()> {
        let lost = error.to_string().split(';').next().unwrap_or_default().to_string();
        let checkpoint = self.trainer.checkpoint()?;
        let most = self.job.max_device_losses;
        while self.device_losses < most {
            self.device_losses += 1;
            let gpu = self.reopened()?;
            let restored =
                self.job.training.trainer(&gpu).and_then(|mut trainer| trainer.restore(&checkpoint).map(|()| trainer));
            match restored {
                Ok(trainer) => {
                    self.trainer = trainer;
                    progress.warn(&format!(
                        "{lost}: {} was opened again, and the run continues from the checkpoint of step {} (loss {} of \
                         at most {most})",
                        gpu.info().name,
                        checkpoint.step,
                        self.device_losses
                    ));
                    return self.return_to(checkpoint.step);
                }
                // Lost again.
                Err(_) if gpu.is_lost() => {}
                Err(error) => return Err(error),
            }
        }
        let text = match most {
            0 => format!("{lost}, and max_device_losses=0; give a larger one to continue on a new device"),
            _ => format!("{lost}, more than max_device_losses={most} times; see the system log for the cause"),
        };
        Err(Error::new(error.kind(), text))
    }

    /// Returns to the results and files after step `step`, that of the last checkpoint.
    fn return_to(&mut self, step: u64) -> Result<()> {
        let loss = DeviceLoss { step: self.done, resumed_from: step };
        self.done = step;
        self.watch = self.saved.watch.clone();
        let Some(mut files) = self.files.take() else {
            self.results = Results { summary: self.saved.summary.clone(), ..Results::default() };
            return Ok(());
        };
        let outcome = self.return_files(&mut files, loss);
        self.files = Some(files);
        outcome
    }

    fn return_files(&mut self, files: &mut RunFiles<T::Report>, loss: DeviceLoss) -> Result<()> {
        files.metrics.flush()?;
        files.check()?;
        let count = files.record.lose_device(loss)?;
        let (metrics, reports) = self.resumed_metrics(&files.folder)?;
        files.metrics = metrics;
        files.metrics.set_device_losses(count)?;
        if files.events.is_some() {
            files.events = Some(self.events(&files.folder, &reports)?);
        }
        Ok(())
    }

    /// Opens the adapter again, after some pauses if necessary.
    fn reopened(&mut self) -> Result<Gpu> {
        let mut outcome = (self.opener.0)(self.trainer.gpu());
        for pause in PAUSES {
            if outcome.is_ok() || interrupt::requested() {
                break;
            }
            std::thread::sleep(Duration::from_secs(pause));
            outcome = (self.opener.0)(self.trainer.gpu());
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use clap::Parser;
    use ketformer::kernels::RandomInputs;
    use ketformer::run::{Ending, METRICS_FILE, MODEL_FILE, RunSettings, SETTINGS_FILE, newest_checkpoint};

    use super::*;
    use crate::cli::arguments::gpt::GptCommand;
    use crate::cli::arguments::{Arguments, Command};
    use crate::cli::commands::gpt::GptTraining;
    use crate::cli::commands::train::WaveFunctionTraining;

    /// Runs with different states: moments, or a direction and Markov chains.
    const KINDS: [&str; 2] = [
        "L=4 K=8 --ptf patch=2x1 Nh=8 nhead=2 num_layers=1 ffn=16",
        "L=4 K=8 optimizer=sr momentum=0.9 lambda=0.1 clip=0.1 --rbm alpha=1 sweeps=2 burn_in=4",
    ];

    /// Run of `words` in `folder` that has begun.
    fn run(gpu: &Gpu, words: &str, folder: &Path) -> TrainingRun<WaveFunctionTraining> {
        let out = folder.display().to_string();
        let typed = ["ketformer", "train"].into_iter().chain(words.split(' ')).chain(["--quiet", "--out", &out]);
        let Command::Train(arguments) = Arguments::try_parse_from(typed).unwrap().command else { unreachable!() };
        let job = WaveFunctionTraining::job(&arguments).unwrap();
        let reserved = job.location.reserve().unwrap();
        let mut run = TrainingRun::new(job, gpu, None).unwrap();
        run.begin(gpu, reserved).unwrap();
        run
    }

    /// Destroys `gpu` after a time.
    fn destroy_later(gpu: &Gpu, time: Duration) {
        let device = gpu.device().clone();
        std::thread::spawn(move || {
            std::thread::sleep(time);
            device.destroy();
        });
    }

    /// Destroys `gpu` after the next checkpoint of the run in `folder`.
    fn destroy_after_checkpoint(gpu: &Gpu, folder: &Path) {
        let step = |folder: &Path| newest_checkpoint(folder).ok().flatten().map(|newest| newest.checkpoint.step);
        let (device, folder, before) = (gpu.device().clone(), folder.to_path_buf(), step(folder));
        std::thread::spawn(move || {
            while step(&folder) <= before {
                std::thread::sleep(Duration::from_millis(5));
            }
            device.destroy();
        });
    }

    /// Rows of the metrics without the seconds, and without the losses of the device if there are any.
    fn rows(folder: &Path) -> Vec<String> {
        let text = fs::read_to_string(folder.join(METRICS_FILE)).unwrap();
        let dropped = if text.lines().next().unwrap().contains("device_losses") { 2 } else { 1 };
        text.lines().map(|line| line.rsplitn(dropped + 1, ',').last().unwrap().to_string()).collect()
    }

    /// Devices are destroyed at random moments of training and of recovery. `KETFORMER_LOST_DEVICES` sets the number of
    /// losses.
    #[test]
    fn a_run_whose_devices_are_destroyed_ends_as_one_whose_device_was_not() {
        let all = std::env::var("KETFORMER_LOST_DEVICES").map_or(2, |number| number.parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let first = Gpu::new().unwrap();
        let random = Arc::new(Mutex::new(RandomInputs::new(7)));
        let lines = KINDS.map(|kind| format!("steps=150 checkpoint=7 seed=2 max_device_losses=1000 {kind}"));
        let begun = Instant::now();
        let undisturbed = [0, 1].map(|kind| {
            let path = folder.path().join(format!("whole-{kind}"));
            run(&first, &lines[kind], &path).train().unwrap();
            path
        });
        let most = begun.elapsed().as_millis() as u32;
        let (mut losses, mut round) = (0, 0);
        while losses < all {
            let kind = round % KINDS.len();
            let path = folder.path().join(format!("run-{round}"));
            let gpu = Gpu::new().unwrap();
            let mut run = run(&gpu, &lines[kind], &path);
            let state = random.clone();
            let kill = move |gpu: &Gpu| {
                let milliseconds = state.lock().unwrap().integers(1, most)[0];
                destroy_later(gpu, Duration::from_millis(milliseconds.into()));
            };
            kill(&gpu);
            run.opener = Opener(Box::new(move |gpu| gpu.reopen().inspect(&kill)));
            run.train().unwrap();
            assert_eq!(run.ending, Some(Ending::Completed));
            let whole = &undisturbed[kind];
            assert!(fs::read(path.join(MODEL_FILE)).unwrap() == fs::read(whole.join(MODEL_FILE)).unwrap(), "{round}");
            assert_eq!(rows(&path), rows(whole), "{round}");
            let settings = RunSettings::load(&path.join(SETTINGS_FILE)).unwrap();
            assert!(settings.device_losses.len() as u64 <= run.device_losses);
            assert!(settings.device_losses.iter().all(|loss| loss.resumed_from <= loss.step));
            assert_eq!(rows(&path).len(), 151);
            losses += run.device_losses;
            round += 1;
            assert!(round < 100, "devices are not lost");
        }
        println!("{losses} lost devices in {round} runs");
    }

    #[test]
    fn a_device_that_is_lost_too_often_ends_the_run_with_its_state_saved() {
        let folder = tempfile::tempdir().unwrap();
        for most in [0, 1] {
            let (gpu, place) = (Gpu::new().unwrap(), folder.path().join(format!("run-{most}")));
            let path = place.clone();
            let words = format!("steps=1000000 checkpoint=5 max_device_losses={most} {}", KINDS[0]);
            let mut run = run(&gpu, &words, &path);
            // At a fixed time, a device could be lost before it has made a step.
            let kill = move |gpu: &Gpu| destroy_after_checkpoint(gpu, &path);
            kill(&gpu);
            run.opener = Opener(Box::new(move |gpu| gpu.reopen().inspect(&kill)));
            let said = run.train().unwrap_err().to_string();
            let resumes = format!("--resume {}", place.display());
            for word in ["device was lost", &format!("max_device_losses={most}"), "saved after step", &resumes] {
                assert!(said.contains(word), "{word}: {said}");
            }
            assert!(!said.contains('\n'), "{said}");
            let settings = RunSettings::load(&place.join(SETTINGS_FILE)).unwrap();
            assert_eq!(settings.ended.map(|end| end.cause), Some(Ending::DeviceLost));
            assert_eq!(settings.device_losses.len(), most);
        }
    }

    /// A GPT has batches of data and no chains.
    #[test]
    fn a_gpt_whose_device_was_lost_ends_as_one_whose_device_was_not() {
        let folder = tempfile::tempdir().unwrap();
        let words = "task=sort length=3 layers=1 heads=1 width=8 batch=4 steps=12 eval_interval=4 checkpoint=5";
        let weights = |name: &str, destroy: bool| {
            let (gpu, path) = (Gpu::new().unwrap(), folder.path().join(name));
            let out = path.display().to_string();
            let typed = ["ketformer", "gpt", "train", "--quiet", "--out", &out].into_iter().chain(words.split(' '));
            let Command::Gpt { command: GptCommand::Train(arguments) } =
                Arguments::try_parse_from(typed).unwrap().command
            else {
                unreachable!()
            };
            let (job, _) = GptTraining::job(&arguments).unwrap();
            let reserved = job.location.reserve().unwrap();
            let mut run = TrainingRun::new(job, &gpu, None).unwrap();
            run.begin(&gpu, reserved).unwrap();
            if destroy {
                gpu.device().destroy();
            }
            run.train().unwrap();
            assert_eq!((run.done, run.device_losses), (12, u64::from(destroy)));
            (fs::read(path.join(MODEL_FILE)).unwrap(), rows(&path))
        };
        assert!(weights("whole", false) == weights("lost", true));
    }

    /// Without a folder, a run continues from the newest state that the host knows.
    #[test]
    fn a_run_without_a_folder_recovers_too() {
        let gpu = Gpu::new().unwrap();
        let typed = format!("ketformer train steps=60 checkpoint=5 dir=<NONE> {} --quiet", KINDS[0]);
        let Command::Train(arguments) = Arguments::try_parse_from(typed.split(' ')).unwrap().command else {
            unreachable!()
        };
        let energy = |destroy: bool| {
            let mut run = TrainingRun::new(WaveFunctionTraining::job(&arguments).unwrap(), &gpu, None).unwrap();
            run.begin(&gpu, None).unwrap();
            if destroy {
                gpu.device().destroy();
            }
            run.train().unwrap();
            assert_eq!((run.done, run.device_losses), (60, u64::from(destroy)));
            run.results.summary.summary().unwrap()
        };
        assert_eq!(energy(false), energy(true));
    }
}
