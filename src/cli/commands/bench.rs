//! `ketformer bench`: speed of the kernels on this adapter, compared with the limits of the adapter.

mod attention;
mod report;
mod supervised;
mod worker;

use std::fs;
use std::path::Path;
use std::time::Duration;

use ketformer::arena::Candidate;
use ketformer::bench::{self, BenchConfig, BenchReport, CompilerStatistics, Subject};
use ketformer::gpu::Gpu;
use ketformer::run::save_text;
use ketformer::{Error, ErrorKind, Result};

use self::report::REPORT;
use self::supervised::Supervised;
use crate::cli::arguments::BenchArguments;
use crate::cli::groups::train;
use crate::cli::{Outcome, device, gpu_figures, interrupt, output, suggestion};

/// Prints a table of measurements and writes the requested files.
///
/// # Errors
/// `ErrorKind::Settings` for unknown subjects and invalid shapes, `ErrorKind::Memory` for shapes beyond the adapter,
/// `ErrorKind::File` for files that cannot be read or written, `ErrorKind::Adapter` or `ErrorKind::Device` if the GPU
/// cannot be used.
pub fn run(arguments: &BenchArguments) -> Result<Outcome> {
    if arguments.worker {
        return worker::run(&arguments.adapter);
    }
    if arguments.subjects.first().is_some_and(|word| word == MODEL) {
        return predict(arguments);
    }
    if arguments.subjects.first().is_some_and(|word| word == REPORT) {
        return report::run(arguments);
    }
    for (flags, owner) in [(&["--gpu", "--statistics"][..], MODEL), (&["--out"], REPORT)] {
        if let Some(flag) = arguments.given().into_iter().find(|flag| flags.contains(flag)) {
            let message = format!("bench: {flag} belongs to `bench {owner}`; give that word first or leave {flag} out");
            return Err(Error::new(ErrorKind::Settings, message));
        }
    }
    let config = config(arguments)?;
    // Files are checked before the measurements, which take time.
    let old = arguments.compare.as_deref().map(read).transpose()?;
    let outputs = [&arguments.csv, &arguments.json, &arguments.plot, &arguments.roofline];
    outputs.into_iter().flatten().try_for_each(|path| check_folder(path))?;
    let gpu = device::open(&arguments.adapter)?;
    let report = measure(&gpu, &config, arguments)?;
    output::line(report.table());
    if let Some(old) = old {
        output::line(format!("\n{}", report.compare_table(&old)));
    }
    if let Some(path) = &arguments.csv {
        save_text(path, &report.csv())?;
    }
    if let Some(path) = &arguments.json {
        save_text(path, &report.json()?)?;
    }
    if let Some(path) = &arguments.plot {
        let adapter = report.rows.first().map_or("", |row| &row.environment.adapter);
        save_text(path, &bench::plot(&report.curves, &format!("Cost of a sample against sites, on {adapter}"))?)?;
    }
    if let Some(path) = &arguments.roofline {
        save_text(path, &bench::roofline(&report.rows, gpu.name())?)?;
    }
    Ok(if report.has_errors() { Outcome::Found } else { Outcome::Done })
}

/// Default time in seconds after which a run of a kernel of a file is stopped.
const TIMEOUT: f64 = 60.0;

/// Measures everything: kernels of files in processes of their own, the rest in this one.
fn measure(gpu: &Gpu, config: &BenchConfig, arguments: &BenchArguments) -> Result<BenchReport> {
    let mut progress = |title: &str| {
        if !arguments.quiet {
            output::progress(&format!("bench {title}"));
        }
    };
    let is_foreign = |candidate: &Candidate| matches!(candidate, Candidate::Foreign(_));
    if !config.candidates.iter().any(is_foreign) {
        return bench::run(gpu, config, &mut progress);
    }
    if let Some(variant) = &config.variant {
        let message =
            format!("bench attention: --variant {variant} is for kernels of this program; leave --kernel out");
        return Err(Error::new(ErrorKind::Settings, message));
    }
    let seconds = arguments.timeout.unwrap_or(TIMEOUT);
    let timeout = Duration::try_from_secs_f64(seconds).ok().filter(|timeout| !timeout.is_zero()).ok_or_else(|| {
        Error::new(ErrorKind::Settings, format!("bench: a run needs time, --timeout is {seconds} s; give more than 0"))
    })?;
    interrupt::watch()?;
    let others: Vec<Subject> =
        config.subjects.iter().copied().filter(|subject| *subject != Subject::Attention).collect();
    let mut report = match others.is_empty() {
        true => bench::measure_limits(gpu, config, &mut progress)?,
        false => {
            let mut config = config.clone();
            config.subjects = others;
            bench::run(gpu, &config, &mut progress)?
        }
    };
    let (adapter, quiet) = (&arguments.adapter, arguments.quiet);
    let supervised = Supervised { gpu, adapter, config, limits: &report.limits, timeout, quiet };
    let rows = supervised.rows()?;
    report.rows.extend(rows);
    bench::confirm_limits(gpu, config, &mut report)?;
    Ok(report)
}

/// Word for predictions in place of a subject.
const MODEL: &str = "model";

/// Rows of the printed table of a prediction.
const ROWS: usize = 25;

/// Prints the predicted time of a step on a GPU that need not exist.
fn predict(arguments: &BenchArguments) -> Result<Outcome> {
    let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
    let figures = match &arguments.gpu {
        Some(key) => gpu_figures::find("bench model", key)?,
        None => {
            let gpu = device::open(&arguments.adapter)?;
            gpu.figures().ok_or_else(|| {
                let (name, names) = (&gpu.info().name, gpu_figures::names());
                let message =
                    format!("bench model: no figures of {name}; give another GPU as --gpu NAME, one of {names}");
                Error::new(ErrorKind::Settings, message)
            })?
        }
    };
    let subject = match &arguments.subjects[1..] {
        [] => Subject::Step,
        [word] => subject(word, arguments.quiet)?,
        [_, word, ..] => return error(format!("bench model: predicts one step at a time; leave `{word}` out")),
    };
    let shape = match &arguments.shape[..] {
        [] => subject.shapes().remove(0),
        [word] => word.parse()?,
        [_, word, ..] => return error(format!("bench model: predicts one shape at a time; leave {word} out")),
    };
    let own = ["--shape", "--gpu", "--statistics", "--json"];
    if let Some(flag) = arguments.given().into_iter().find(|flag| !own.contains(flag)) {
        return error(format!("bench model: measures nothing, so {flag} has no meaning; leave it out"));
    }
    if let Some(path) = &arguments.json {
        check_folder(path)?;
    }
    let statistics = match &arguments.statistics {
        Some(path) => CompilerStatistics::parse(&path.display().to_string(), &read_text(path, "a JSON file")?)?,
        None => Vec::new(),
    };
    let prediction = bench::predict(figures, subject, &shape, &statistics)?;
    output::line(prediction.table(ROWS));
    if let Some(path) = &arguments.json {
        save_text(path, &prediction.json()?)?;
    }
    Ok(Outcome::Done)
}

fn config(arguments: &BenchArguments) -> Result<BenchConfig> {
    let mut config = BenchConfig::default();
    let subjects = arguments.subjects.iter().map(|word| subject(word, arguments.quiet)).collect::<Result<Vec<_>>>()?;
    if !subjects.is_empty() {
        config.subjects = subjects;
    }
    attention::configure(&mut config, arguments)?;
    if config.problems.is_empty() {
        config.shapes = arguments.shape.iter().map(|word| word.parse()).collect::<Result<_>>()?;
    }
    config.least_ms = arguments.min_time.unwrap_or(config.least_ms);
    config.runs = arguments.runs.unwrap_or(config.runs);
    config.warmup = arguments.warmup.unwrap_or(config.warmup);
    config.variant.clone_from(&arguments.variant);
    config.seed = arguments.seed.unwrap_or_else(train::draw_seed);
    config.check()?;
    if arguments.plot.is_some() && !config.subjects.contains(&Subject::Scaling) {
        let message = "bench: --plot draws what `bench scaling` measures; give that subject or leave --plot out";
        return Err(Error::new(ErrorKind::Settings, message));
    }
    Ok(config)
}

/// Former names of subjects, which are still accepted.
const FORMER: [(&str, Subject); 2] = [("head", Subject::Categorical), ("moves", Subject::Connected)];

fn subject(word: &str, quiet: bool) -> Result<Subject> {
    if let Some((former, subject)) = FORMER.iter().find(|(former, _)| *former == word) {
        if !quiet {
            output::note(&format!("{former} is now {subject}"));
        }
        return Ok(*subject);
    }
    word.parse().map_err(|error| match suggestion::closest(word, Subject::ALL.into_iter().map(Subject::name)) {
        Some(near) => {
            Error::new(ErrorKind::Settings, format!("bench: there is no `{word}` to measure; did you mean {near}?"))
        }
        None => error,
    })
}

fn read(path: &Path) -> Result<BenchReport> {
    BenchReport::parse(&path.display().to_string(), &read_text(path, "a file that `ketformer bench --json` wrote")?)
}

fn read_text(path: &Path, expected: &str) -> Result<String> {
    fs::read_to_string(path).map_err(|e| {
        let message = format!("bench: cannot read {}; give {expected}", path.display());
        Error::new(ErrorKind::File, message).caused_by(e)
    })
}

/// Checks that a file can be created at `path`, as far as possible without creating it.
fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() && !path.is_dir() {
        return Ok(());
    }
    let message = format!("bench: {} cannot be written; give a file name in a folder that exists", path.display());
    Err(Error::new(ErrorKind::File, message))
}
