//! `ketformer train`: settings in, run folder out.

use std::path::{Path, PathBuf};

use ketformer::gpu::Gpu;
use ketformer::model::Weights;
use ketformer::physics::ground_state;
use ketformer::run::{
    Curve, METRICS_FILE, MODEL_FILE, Metrics, PICTURE_FILE, Recent, RunFolder, RunSettings, SETTINGS_FILE,
};
use ketformer::vmc::{TrainConfig, Trainer};
use ketformer::{Error, ErrorKind, Result};

use super::arguments::{GroupArguments, TrainArguments};
use super::groups::{Problem, hamiltonian, train, wave_function};
use super::number::{Measured, bytes, energy_line, exact_line};
use super::progress::Progress;
use super::settings::{Extent, Settings, Value};
use super::{Outcome, chains, device, interrupt, output};

/// Up to here the exact energy is computed at the end, which takes a second or two.
const EXACT_SITES: usize = 16;

/// What `dir=` takes for no run folder, as in the reference.
const NO_FOLDER: &str = "<NONE>";

/// Trains and prints the final energy. All that can be checked without a GPU is checked before one is opened, and the
/// run folder stays only if the run begins.
///
/// # Errors
/// Of every room: settings, adapter, memory, files, weights.
pub fn run(arguments: &TrainArguments) -> Result<Outcome> {
    let job = Job::new(arguments)?;
    interrupt::watch()?;
    let weights = arguments.weights.as_deref().map(Weights::load).transpose()?;
    let folder = job.place.reserve()?;
    let gpu = device::open(&arguments.gpu.adapter)?;
    let Problem { lattice, hamiltonian, model, .. } = &job.problem;
    let mut trainer = Trainer::new(&gpu, lattice, hamiltonian.as_ref(), model.as_ref(), job.config.clone())?;
    if let Some(weights) = &weights {
        trainer.set_weights(weights)?;
    }
    if interrupt::asked() {
        output::warning(&"interrupted before the first step: nothing is left behind; the same command starts again");
        return Ok(Outcome::Interrupted);
    }
    let mut run = Run::begin(&job, folder, &gpu, &trainer)?;
    job.announce(&gpu, &trainer, &run);

    let mut progress = Progress::new(job.steps, job.report, lattice.sites(), arguments.gpu.quiet);
    let trained = run.train(&job, &mut trainer, &mut progress);
    progress.finish();
    let saved = trained.and_then(|()| run.save(&trainer.weights()?));
    if let Err(error) = saved {
        return Err(run.rescue(error, &trainer));
    }
    run.conclude(&job)
}

/// A training run as it was asked for, checked.
struct Job {
    problem: Problem,
    settings: Settings,
    config: TrainConfig,
    steps: u64,
    report: u64,
    place: Place,
    command: String,
    quiet: bool,
}

/// Where the run folder goes.
enum Place {
    At(PathBuf),
    Under(PathBuf),
    Nowhere,
}

impl Job {
    fn new(arguments: &TrainArguments) -> Result<Self> {
        let mut words = arguments.settings.clone();
        words.extend(arguments.train.iter().flatten().cloned());
        let mut settings = train::GROUP.parse(&words)?;
        let GroupArguments { model, hamiltonian } = &arguments.groups;
        let problem = Problem::new(model, hamiltonian, settings.optional_extent("L"))?;
        settings.resolve("L", Value::Extent(Extent::Sites(problem.lattice.sites() as u64)));
        let config = train::config(&mut settings, arguments.gpu.memory)?;
        settings.resolve("B", Value::Count(config.samples as u64));
        let place = Place::new(arguments.out.as_deref(), &settings)?;
        let command = command(arguments, &problem, &settings);
        let (steps, report, quiet) = (settings.count("steps"), settings.count("report"), arguments.gpu.quiet);
        Ok(Self { problem, settings, config, steps, report, place, command, quiet })
    }

    /// Notes and warnings, told when nothing can fail any more before the first step.
    fn announce(&self, gpu: &Gpu, trainer: &Trainer, run: &Run) {
        if gpu.is_software() {
            output::warning(&format!(
                "{} computes on the CPU, which works and is slow; with a GPU in this machine install its Vulkan driver",
                gpu.info().name
            ));
        }
        if self.quiet {
            return;
        }
        let inert = self.settings.inert().filter_map(|key| Some(format!("{} ({})", key.name, key.inert?)));
        let inert: Vec<String> = inert.collect();
        if !inert.is_empty() {
            output::note(&format!("accepted and without effect here: {}", inert.join(", ")));
        }
        let into = match &run.folder {
            Some(folder) => folder.path().display().to_string(),
            None => format!("nowhere (dir={NO_FOLDER})"),
        };
        output::note(&format!(
            "{} parameters, {} on {}, seed {}, run folder {into}",
            trainer.parameters(),
            bytes(trainer.memory()),
            gpu.info().name,
            self.config.seed
        ));
    }
}

impl Place {
    /// `--out DIR` as it is, or a numbered folder under `dir/sub_directory`.
    fn new(out: Option<&Path>, settings: &Settings) -> Result<Self> {
        let fault = |text: &str| Err(train::GROUP.error(text));
        let dir = settings.text("dir");
        match (out, settings.optional_text("sub_directory")) {
            (Some(_), _) if settings.is_given("dir") => fault("dir= and --out both name a place; keep one of them"),
            (Some(out), _) if out.as_os_str().is_empty() => fault("--out is empty; give it the name of a folder"),
            // With --out the folder is the user's own choice, and sub_directory has nothing to add.
            (Some(out), _) => Ok(Self::At(out.to_path_buf())),
            (None, _) if dir == NO_FOLDER => Ok(Self::Nowhere),
            (None, None) => Ok(Self::Under(dir.into())),
            (None, Some(inside)) => {
                // In the reference it ends a folder's name and may begin with a slash.
                let inside = Path::new(inside.trim_start_matches(['/', '\\']));
                match inside.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
                    true => Ok(Self::Under(Path::new(dir).join(inside))),
                    false => fault("sub_directory= leads out of dir=; give a plain name"),
                }
            }
        }
    }

    fn reserve(&self) -> Result<Option<RunFolder>> {
        match self {
            Self::At(path) => RunFolder::at(path).map(Some),
            Self::Under(parent) => RunFolder::numbered(parent).map(Some),
            Self::Nowhere => Ok(None),
        }
    }
}

/// The command that runs the same again, every setting spelled out; into a new folder, since the old one is taken.
fn command(arguments: &TrainArguments, problem: &Problem, settings: &Settings) -> String {
    let mut words = vec!["ketformer".to_string(), "train".into()];
    let typed = |settings: &Settings| settings.resolved().map(|(name, value)| format!("{name}={value}")).collect();
    words.extend::<Vec<_>>(typed(settings));
    for group in problem.settings() {
        words.push(format!("--{}", group.group().name));
        words.extend::<Vec<_>>(typed(group));
    }
    let path = |path: &PathBuf| path.display().to_string();
    let flags = [
        ("--weights", arguments.weights.as_ref().map(path)),
        ("--adapter", arguments.gpu.adapter.adapter.clone()),
        ("--memory", arguments.gpu.memory.map(|memory| memory.to_string())),
    ];
    words.extend(flags.into_iter().filter_map(|(flag, value)| Some([flag.to_string(), value?])).flatten());
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A run that has begun: its files and what it has shown so far.
struct Run {
    folder: Option<RunFolder>,
    metrics: Option<Metrics>,
    recent: Recent,
    curve: Curve,
    done: u64,
    interrupted: bool,
}

impl Run {
    /// Writes the settings, begins the metrics, and keeps the folder from now on.
    fn begin(job: &Job, folder: Option<RunFolder>, gpu: &Gpu, trainer: &Trainer) -> Result<Self> {
        let mut run = Self {
            folder,
            metrics: None,
            recent: Recent::default(),
            curve: Curve::default(),
            done: 0,
            interrupted: false,
        };
        let Some(folder) = &mut run.folder else { return Ok(run) };
        let map = |settings: &Settings| settings.resolved().map(|(name, value)| (name.into(), value.into())).collect();
        let settings = RunSettings {
            command: job.command.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            adapter: gpu.info().into(),
            seed: job.config.seed,
            parameters: trainer.parameters(),
            gpu_bytes: trainer.memory(),
            train: map(&job.settings),
            groups: job.problem.settings().map(|group| (group.group().name.into(), map(group))).collect(),
        };
        settings.save(&folder.file(SETTINGS_FILE))?;
        run.metrics = Some(Metrics::create(&folder.file(METRICS_FILE))?);
        folder.keep();
        Ok(run)
    }

    /// All steps, or those until the user asks to stop.
    fn train(&mut self, job: &Job, trainer: &mut Trainer, progress: &mut Progress) -> Result<()> {
        let sites = job.problem.lattice.sites() as f64;
        let mut steps = trainer.steps(job.steps);
        while let Some(report) = steps.next() {
            let report = report?;
            self.done += 1;
            if let Some(metrics) = &mut self.metrics {
                metrics.write(&report)?;
                if self.done.is_multiple_of(job.report) {
                    metrics.flush()?;
                }
            }
            self.recent.push(&report);
            self.curve.push(report.step, report.energy / sites);
            progress.step(self.done, &report);
            if interrupt::asked() {
                steps.stop();
            }
        }
        self.interrupted = self.done < job.steps;
        Ok(())
    }

    /// Flushes the metrics and saves the weights.
    fn save(&mut self, weights: &Weights) -> Result<()> {
        if let (Some(folder), Some(metrics)) = (&self.folder, &mut self.metrics) {
            metrics.flush()?;
            weights.save(folder.file(MODEL_FILE))?;
        }
        Ok(())
    }

    /// After a failure: saves what can still be saved, and adds to the error what that is.
    fn rescue(&mut self, error: Error, trainer: &Trainer) -> Error {
        let Some(folder) = &self.folder else { return error };
        let flushed = self.metrics.as_mut().is_some_and(|metrics| metrics.flush().is_ok());
        let weights = trainer.weights().and_then(|weights| weights.save(folder.file(MODEL_FILE))).is_ok();
        let saved = match (flushed, weights) {
            (true, true) => "metrics and weights",
            (true, false) => "metrics",
            (false, true) => "weights",
            (false, false) => "nothing of the last steps",
        };
        let text = format!("{error}; saved of {} steps in {}: {saved}", self.done, folder.path().display());
        Error::new(error.kind(), text)
    }

    /// The picture, the final lines, and where everything is.
    fn conclude(&self, job: &Job) -> Result<Outcome> {
        let Problem { lattice, hamiltonian, .. } = &job.problem;
        let sites = lattice.sites();
        let Some(summary) = self.recent.summary() else {
            if self.interrupted {
                return Ok(self.stopped(job));
            }
            let text = "train: every step was rejected for a value that is not finite; give a smaller lr= or clip=1";
            return Err(Error::new(ErrorKind::NotFinite, text));
        };
        let energy = Measured { mean: summary.energy, error: summary.energy_error };
        output::line(energy_line(energy, sites, summary.variance));
        if let Some(acceptance) = summary.acceptance {
            chains::warn_if_frozen(acceptance, "a smaller lr= or a longer warmup=");
        }
        let exact = match sites <= EXACT_SITES && !self.interrupted {
            true => Some(ground_state(&hamiltonian.terms(lattice)?, sites)?.energy),
            false => None,
        };
        if let Some(exact) = exact {
            output::line(exact_line(exact, energy));
        }
        if let Some(folder) = &self.folder {
            let title = hamiltonian::title(&job.problem.hamiltonian_settings, lattice);
            let title = format!("{title}, {}", wave_function::title(&job.problem.model_settings));
            self.curve.draw(&folder.file(PICTURE_FILE), &title, exact.map(|exact| exact / sites as f64))?;
        }
        if self.interrupted {
            return Ok(self.stopped(job));
        }
        if let (Some(folder), false) = (&self.folder, job.quiet) {
            output::note(&format!("saved in {0}; `ketformer eval {0}` evaluates it", folder.path().display()));
        }
        Ok(Outcome::Done)
    }

    /// Says how far the run came, where it is saved and how to go on.
    fn stopped(&self, job: &Job) -> Outcome {
        let saved = match &self.folder {
            Some(folder) => format!(
                "saved in {}; the same command with --weights {} goes on from there",
                folder.path().display(),
                quoted(&folder.file(MODEL_FILE).display().to_string())
            ),
            None => format!("nothing is saved (dir={NO_FOLDER})"),
        };
        output::warning(&format!("interrupted after step {} of {}: {saved}", self.done, job.steps));
        Outcome::Interrupted
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Parser;

    use super::super::arguments::{Arguments, Command};
    use super::super::reference_line::with_subcommand;
    use super::*;

    fn job(line: &str) -> Result<Job> {
        let typed = ["ketformer", "train"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(typed).unwrap().command {
            Command::Train(arguments) => Job::new(&arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_of_the_settings_file_asks_the_same_again() {
        let first = job("L=64 K=512 lr=1e-3 seed=None --ptf patch=2x2 --rydberg delta=1.2 --memory 1GiB").unwrap();
        let asked = "ketformer train L=64 K=512 Q=1 B=512 steps=50000 ";
        assert!(first.command.starts_with(asked) && first.command.contains(" lr=0.001 "), "{}", first.command);
        let second = job(first.command.strip_prefix("ketformer train ").unwrap()).unwrap();
        assert_eq!(first.command, second.command);
        assert_eq!((second.config.seed, second.config.memory), (first.config.seed, Some(1 << 30)));
    }

    #[test]
    fn the_command_of_every_family_asks_the_same_again() {
        for (line, resolved) in [
            ("--ptf patch=2x2 attention=softmax norm=post", "--ptf patch=2x2 Nh=128"),
            ("--rnn patch=2x2 rnntype=elman", "--rnn patch=2x2 Nh=256 rnntype=ELMAN"),
            ("--rnn patch=2x1 --lptf patch=2x2 Nh=16", "--rnn L=4 patch=2x1 Nh=16 rnntype=GRU"),
            ("--lptf patch=4x2 --ptf L=4x2 patch=2x2 Nh=32", "--ptf L=4x2 patch=2x2 Nh=32"),
            (
                "--rbm alpha=0.5 chains=16 proposal=flip",
                "--rbm alpha=0.5 chains=16 sweeps=10 burn_in=100 proposal=flip",
            ),
        ] {
            let first = job(line).unwrap();
            assert!(first.command.contains(resolved), "{}", first.command);
            let second = job(first.command.strip_prefix("ketformer train ").unwrap()).unwrap();
            assert_eq!(first.command, second.command);
        }
    }

    /// As its help and its description have them.
    #[test]
    fn the_command_lines_of_the_reference_are_understood() {
        for (line, title) in [
            ("--train L=64 NLOOPS=16 K=1024 sub_directory=2x2 --ptf patch=2x2", "ptf patch=2x2"),
            (
                "--rydberg --train L=576 NLOOPS=64 sub_directory=3x3 --lptf patch=3x3 --rnn L=9 patch=3 Nh=128",
                "lptf patch=3x3 of rnn patch=3",
            ),
            ("--rydberg --train L=144 NLOOPS=36 --rnn patch=4", "rnn patch=4"),
            ("--rydberg --train L=144 NLOOPS=24 --ptf patch=2x3", "ptf patch=2x3"),
            ("--train L=36 --lptf patch=2x3 full_seq=False dropout=0.0 --rnn L=2x3", "lptf patch=2x3 of rnn patch=1"),
        ] {
            let typed = ["ketformer"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
            let arguments = match Arguments::try_parse_from(with_subcommand(typed)).unwrap().command {
                Command::Train(arguments) => arguments,
                other => panic!("{other:?}"),
            };
            let job = Job::new(&arguments).unwrap();
            assert_eq!(wave_function::title(&job.problem.model_settings), title);
        }
    }

    #[test]
    fn settings_come_from_both_places_once() {
        let both = job("L=36 --train steps=7 --ptf patch=2x2").unwrap();
        assert_eq!((both.problem.lattice.sites(), both.steps), (36, 7));
        let doubled = job("L=36 --train L=36").map(|_| ()).unwrap_err();
        assert!(doubled.to_string().contains("twice"));
    }

    #[test]
    fn places() {
        let place = |line: &str| match job(line).unwrap().place {
            Place::At(path) => format!("at {}", path.display()),
            Place::Under(path) => format!("under {}", path.display()),
            Place::Nowhere => "nowhere".into(),
        };
        assert_eq!(place(""), "under out");
        assert_eq!(place("dir=a/b sub_directory=2x2"), "under a/b/2x2");
        assert_eq!(place("sub_directory=/2x2"), "under out/2x2");
        assert_eq!(place("sub_directory=2x2 --out x"), "at x");
        assert_eq!(place("dir=<NONE>"), "nowhere");
        let message = |line: &str| job(line).map(|_| ()).unwrap_err().to_string();
        assert!(message("dir=a --out b").contains("keep one"));
        assert!(message("sub_directory=../a").contains("plain name"));
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("L=16"), "L=16");
        assert_eq!(quoted("dir=my runs"), "'dir=my runs'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
