//! `ketformer sweep`: scan of one coupling. Each point starts from the weights of the previous one.

use std::fs;
use std::path::Path;

use clap::Parser;
use ketformer::gpu::Gpu;
use ketformer::physics::Order;
use ketformer::run::{MODEL_FILE, PhaseDiagram, PhasePoint, RunFolder, SETTINGS_FILE, save_text};
use ketformer::vmc::{SampleConfig, State};
use ketformer::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use super::train::{Trained, WaveFunctionTraining};
use crate::cli::arguments::{Arguments, Command, SweepArguments, TrainArguments};
use crate::cli::groups::{Problem, hamiltonian, train as train_group, wave_function};
use crate::cli::output::number::{Measurement, energy_line, exact_line};
use crate::cli::output::{chains, concentration};
use crate::cli::settings::range::Range;
use crate::cli::shell::quoted_path;
use crate::cli::training::{Job, TrainingRun, resume};
use crate::cli::{Outcome, device, interrupt, output, run_settings, weights};

/// Steps of the first point in units of those of the others. It has no previous point to start from.
const FIRST_STEPS: u64 = 4;
/// File with the command line of the sweep.
const SWEEP_FILE: &str = "sweep.json";
/// Table of the points.
const TABLE_FILE: &str = "sweep.csv";
/// Plot of the points.
const PICTURE_FILE: &str = "sweep.svg";

/// Trains and evaluates every point. Writes the table and the plot after each.
///
/// # Errors
/// Errors of settings, adapter, memory, files and weights.
pub fn run(arguments: &SweepArguments) -> Result<Outcome> {
    match &arguments.train.resume {
        Some(folder) => {
            let again = read(folder, arguments)?;
            sweep(&again, folder)
        }
        None => {
            // The settings of all points are checked before any file is created.
            let Scan { points, .. } = Scan::new(arguments)?;
            points.iter().try_for_each(|point| WaveFunctionTraining::job(&point.arguments).map(|_| ()))?;
            let folder = match &arguments.train.out {
                Some(out) => RunFolder::at(out)?,
                None => RunFolder::numbered(Path::new("out"))?,
            };
            let path = folder.path().to_path_buf();
            write(&path, arguments)?;
            let mut folder = folder;
            folder.keep();
            drop(folder);
            sweep(arguments, &path)
        }
    }
}

/// Points of a scan.
struct Scan {
    coupling: String,
    points: Vec<ScanPoint>,
}

/// Point of a scan: value of the coupling and arguments of the training run.
struct ScanPoint {
    value: f64,
    arguments: TrainArguments,
}

impl Scan {
    /// Expands the one setting of the Hamiltonian that is a range into its values.
    fn new(SweepArguments { train: arguments, first_steps, .. }: &SweepArguments) -> Result<Self> {
        let hamiltonian = &arguments.groups.hamiltonian;
        let words = hamiltonian.given().iter().flat_map(|(_, words)| words);
        let ranges: Vec<(&String, &str, Range)> = words
            .filter_map(|word| {
                let (name, text) = word.split_once('=')?;
                Range::parse(text).map(|range| range.map(|range| (word, name, range))).transpose()
            })
            .collect::<Result<_>>()?;
        let [(word, name, range)] = &ranges[..] else {
            let message = format!(
                "sweep: {} couplings are ranges, expected exactly one; give it as --rydberg delta=0:3:0.25",
                ranges.len()
            );
            return Err(Error::new(ErrorKind::Settings, message));
        };
        let point = |value: f64| {
            let mut arguments = arguments.clone();
            arguments.groups.hamiltonian = hamiltonian.with_word(word, &format!("{name}={value}"));
            ScanPoint { value, arguments }
        };
        let mut points: Vec<ScanPoint> = range.values().map(point).collect();
        let steps = train_group::GROUP.parse(&arguments.words())?.count("steps");
        let first = points.remove(0);
        let arguments = first.arguments.with_steps(first_steps.unwrap_or(FIRST_STEPS * steps));
        points.insert(0, ScanPoint { arguments, ..first });
        Ok(Self { coupling: name.to_string(), points })
    }
}

/// Runs all points that are not in the table yet.
fn sweep(arguments: &SweepArguments, folder: &Path) -> Result<Outcome> {
    let Scan { coupling, points } = Scan::new(arguments)?;
    interrupt::watch()?;
    let _lock = RunFolder::existing(folder)?;
    let table = folder.join(TABLE_FILE);
    let mut gpu = device::open(&arguments.train.gpu.adapter)?;
    let first = WaveFunctionTraining::job(&points[0].arguments)?;
    let sites = first.training.problem.lattice.sites();
    let (order, notes) = of_hamiltonians(&points)?;
    if !arguments.train.gpu.quiet {
        notes.iter().for_each(|note| output::note(note));
    }
    let done = PhaseDiagram::load_points(&table)?;
    let mut diagram = PhaseDiagram { coupling: coupling.clone(), sites, order, points: done };
    let mut shortfall = None;
    for (number, point) in points.iter().enumerate() {
        if diagram.points.iter().any(|done| done.coupling == point.value) {
            continue;
        }
        let place = folder.join(format!("point-{number:03}"));
        let before = number.checked_sub(1).map(|before| folder.join(format!("point-{before:03}")));
        if !arguments.train.gpu.quiet {
            output::note(&format!("{coupling}={}, point {} of {}", point.value, number + 1, points.len()));
        }
        let Some(trained) = trained(&gpu, point, &place, before.as_deref(), &mut shortfall)? else {
            let shown = quoted_path(folder);
            output::warning(&format!(
                "interrupted at {coupling}={}: `ketformer sweep --resume {shown}` resumes from there",
                point.value
            ));
            return Ok(Outcome::Interrupted);
        };
        // Another device if the first one was lost.
        gpu = trained.gpu.clone();
        let found = evaluated(&gpu, arguments, &trained, point.value)?;
        show(&coupling, &found, sites, order);
        diagram.points.push(found);
        diagram.save(&table)?;
        diagram.draw(&folder.join(PICTURE_FILE), &title(&trained.job, &coupling))?;
    }
    if !arguments.train.gpu.quiet {
        output::note(&format!("{} and {PICTURE_FILE} next to it contain all points", table.display()));
    }
    Ok(Outcome::Done)
}

/// The order parameter of the Hamiltonians of all points, `None` if they differ, and all notes on them.
fn of_hamiltonians(points: &[ScanPoint]) -> Result<(Option<Order>, Vec<String>)> {
    let (mut orders, mut notes) = (Vec::new(), Vec::new());
    for point in points {
        let Problem { hamiltonian, hamiltonian_settings, lattice, .. } =
            WaveFunctionTraining::job(&point.arguments)?.training.problem;
        orders.push(hamiltonian.order());
        for note in hamiltonian::notes(&hamiltonian_settings, &lattice) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    let first = orders.first().copied().filter(|first| orders.iter().all(|order| order == first));
    Ok((first, notes))
}

/// Trains a point from the weights of the previous one, or resumes it. Returns `None` if the user interrupted it. A
/// warning about what the wave function cannot represent replaces that of earlier points in `shortfall`, and is printed
/// if it is a new one.
fn trained(
    gpu: &Gpu,
    point: &ScanPoint,
    place: &Path,
    before: Option<&Path>,
    shortfall: &mut Option<String>,
) -> Result<Option<Trained>> {
    let mut run = if place.join(SETTINGS_FILE).is_file() {
        let folder = RunFolder::existing(place)?;
        let settings = run_settings::load(place)?;
        TrainingRun::resume(
            WaveFunctionTraining::job(&point.arguments)?,
            gpu,
            folder,
            settings,
            &resume::checkpoint(place)?,
        )?
    } else {
        let mut arguments = point.arguments.clone();
        arguments.out = Some(place.to_path_buf());
        let source = before.map(Path::to_path_buf).or(arguments.weights);
        // The command names the file.
        arguments.weights = before.map(|before| before.join(MODEL_FILE)).or_else(|| source.clone());
        let job = WaveFunctionTraining::job(&arguments)?;
        let load = |path| weights::load(path, &job.training.problem, arguments.gpu.quiet);
        let weights = source.as_deref().map(load).transpose()?;
        // Also if the program was killed before the settings were written.
        let folder = job.location.reserve()?;
        let mut run = TrainingRun::new(job, gpu, weights.as_ref())?;
        run.begin(gpu, folder)?;
        run
    };
    let found = run.shortfall();
    if let Some(text) = found.as_ref().filter(|_| found != *shortfall) {
        output::warning(text);
    }
    *shortfall = found;
    run.train()?;
    run.finished()
}

fn evaluated(gpu: &Gpu, arguments: &SweepArguments, trained: &Trained, coupling: f64) -> Result<PhasePoint> {
    let Trained { job: Job { training: WaveFunctionTraining { problem, exact, .. }, .. }, weights, .. } = trained;
    let Problem { lattice, hamiltonian, model, .. } = problem;
    let state = State::new(gpu, lattice, model.as_ref(), weights).with_memory(arguments.train.gpu.memory);
    let config = SampleConfig { samples: arguments.samples as usize, ..SampleConfig::default() };
    let estimate = state.expect(hamiltonian.as_ref(), config)?;
    if let Some(report) = &estimate.chains {
        chains::warn(report);
    }
    let point = PhasePoint::new(coupling, lattice, &estimate, *exact);
    concentration::warn(&estimate.concentration, point.energy.into(), problem);
    Ok(point)
}

fn show(coupling: &str, point: &PhasePoint, sites: usize, order: Option<Order>) {
    let energy = Measurement::from(point.energy);
    let exact = match point.exact.is_finite() {
        true => format!("  {}", exact_line(point.exact, energy)),
        false => String::new(),
    };
    let shown = |order: Order| {
        let [size, _] = point.order_parameter(order);
        format!("  {} |m| {}", order.name(), Measurement::from(size))
    };
    let orders: String =
        Order::ALL.into_iter().filter(|one| order.is_none_or(|order| order == *one)).map(shown).collect();
    let energy = energy_line(energy, sites, point.variance);
    output::line(format!("{coupling} {}  {energy}{exact}{orders}", point.coupling));
}

/// Title of the plot: lattice, couplings except the scanned one, and wave function.
fn title(job: &Job<WaveFunctionTraining>, coupling: &str) -> String {
    let all = hamiltonian::title(&job.training.problem.hamiltonian_settings, &job.training.problem.lattice);
    let fixed: Vec<&str> = all.split(' ').filter(|word| !word.starts_with(&format!("{coupling}="))).collect();
    format!("{}, {}", fixed.join(" "), wave_function::title(&job.training.problem.model_settings))
}

/// Writes the command line of the sweep into its folder.
fn write(folder: &Path, arguments: &SweepArguments) -> Result<()> {
    let TrainArguments { groups, weights, .. } = &arguments.train;
    let mut words = vec!["ketformer".to_string(), "sweep".into(), "--samples".into(), arguments.samples.to_string()];
    words.extend(arguments.first_steps.iter().flat_map(|steps| ["--first-steps".to_string(), steps.to_string()]));
    words.extend(arguments.train.words());
    for (group, own) in groups.model.given().iter().chain(groups.hamiltonian.given()) {
        words.push(format!("--{}", group.name));
        words.extend(own.iter().cloned());
    }
    if let Some(weights) = weights {
        words.extend(["--weights".to_string(), weights.display().to_string()]);
    }
    words.extend(arguments.train.output.tensorboard.then(|| "--tensorboard".to_string()));
    let text = serde_json::to_string_pretty(&json!({ "command": words })).unwrap_or_default() + "\n";
    save_text(&folder.join(SWEEP_FILE), &text)
}

/// Reads the command line of the sweep in `folder`. Adapter, memory limit and quiet flag are those of `now`.
fn read(folder: &Path, now: &SweepArguments) -> Result<SweepArguments> {
    let fault = |text: String| Error::new(ErrorKind::Settings, format!("sweep: {text}"));
    let groups = &now.train.groups;
    if !now.train.words().is_empty() || groups.model.is_given() || groups.hamiltonian.is_given() {
        return Err(fault("the folder already defines the scan; give --resume alone, or begin a new sweep".into()));
    }
    let path = folder.join(SWEEP_FILE);
    let foreign = || fault(format!("{} is not of a sweep; give the folder of one", path.display()));
    let text = fs::read_to_string(&path).map_err(|cause| foreign().caused_by(cause))?;
    let all: Map<String, Value> = serde_json::from_str(&text).map_err(|cause| foreign().caused_by(cause))?;
    let words = all.get("command").and_then(Value::as_array).ok_or_else(foreign)?;
    let words: Vec<&str> = words.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(foreign)?;
    let parsed = Arguments::try_parse_from(words);
    match parsed.map(|arguments| arguments.command) {
        Ok(Command::Sweep(mut again)) => {
            again.train.gpu = now.train.gpu.clone();
            again.train.output.tensorboard |= now.train.output.tensorboard;
            Ok(again)
        }
        _ => Err(foreign()),
    }
}
