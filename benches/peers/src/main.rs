//! Ketformer's kernels compared with burn's on the same adapter: checked first, then timed alternately.

mod burn;
mod check;
mod clock;
mod engine;
mod ours;
mod report;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ketformer::bench::{BenchShape, Provenance, Subject};
use ketformer::gpu::{Gpu, GpuOptions};

use burn::BurnForm;
use engine::{Form, Result};
use ours::Ours;
use report::{Report, Row, Side, Tried};
use work::Work;

/// Ketformer's kernels compared with burn's, on the same adapter in the same process.
///
/// Both engines compute every benchmark from the same random inputs. The outputs are compared with each other in full,
/// and with 64-bit sums on a subset. Only then both are timed alternately with the host clock, waiting for each run.
/// burn runs with its defaults (fusion, autotuning), after a warm-up, in the fastest of several variants of each
/// benchmark.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples: cargo run --release
          cargo run --release -- attention --shape 64x8x64x16 --runs 50 --json peers.json"
)]
struct Arguments {
    /// What to compare: attention, matmul; default: both
    #[arg(value_parser = parse_subject)]
    subjects: Vec<Subject>,
    /// Sizes instead of the default ones, for one subject: BxHxTxD or ROWSxINNERxCOLUMNS; may be repeated
    #[arg(long = "shape", value_name = "SIZES")]
    shapes: Vec<BenchShape>,
    /// Timed runs of each engine in each benchmark
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Runs of each variant before the timed ones, after compilation and tuning
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    warmup: u16,
    /// Calls per run; default: as many as take 20 ms
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    calls: Option<u16>,
    /// Adapter, by its index or a part of its name as `ketformer devices` prints them
    #[arg(long, value_name = "ADAPTER")]
    adapter: Option<String>,
    /// Seed of the inputs
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Also write all results, including each run, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn parse_subject(text: &str) -> std::result::Result<Subject, String> {
    match text.parse() {
        Ok(subject @ (Subject::Attention | Subject::Matmul)) => Ok(subject),
        _ => Err("give attention or matmul".into()),
    }
}

/// Requested benchmarks.
fn lines(arguments: &Arguments) -> Result<Vec<Work>> {
    let mut subjects = arguments.subjects.clone();
    if subjects.is_empty() {
        subjects = vec![Subject::Attention, Subject::Matmul];
    }
    if subjects.len() > 1 && !arguments.shapes.is_empty() {
        return Err("--shape could belong to several subjects; give one, such as attention".into());
    }
    let mut lines = Vec::new();
    for subject in subjects {
        let shapes = if arguments.shapes.is_empty() { subject.shapes() } else { arguments.shapes.clone() };
        for shape in &shapes {
            subject.check(shape)?;
            lines.extend(Work::of(subject, shape)?);
        }
    }
    Ok(lines)
}

/// Warmed-up variant of burn, with its time, its error and its difference from ketformer.
struct Candidate {
    form: BurnForm,
    ms: f64,
    error: f64,
    difference: f64,
}

impl Candidate {
    /// Error message if it is not accurate enough.
    fn fault(&self) -> Option<String> {
        let Self { error, difference, .. } = self;
        (error.max(*difference) > check::TOLERANCE).then(|| {
            format!(
                "error {error:.1e} from the reference, {difference:.1e} from ours; tolerance {:.0e}",
                check::TOLERANCE
            )
        })
    }
}

/// Warms up a variant of burn and compares its outputs. burn panics if a kernel does not compile.
fn tried(mut form: BurnForm, warmup: usize, ours: &[Vec<f32>], expected: &[check::Expected]) -> Result<Candidate> {
    let measured = catch_unwind(AssertUnwindSafe(|| -> Result<(f64, Vec<Vec<f32>>)> {
        let ms = clock::warm(&mut form, warmup)?;
        Ok((ms, form.read()?))
    }));
    let (ms, made) = measured.map_err(|_| "it panicked, see above")??;
    let (error, difference) = (check::error_of(&made, expected), check::difference(ours, &made));
    Ok(Candidate { form, ms, error, difference })
}

/// Results of one engine in a row.
fn side(form: &dyn Form, runs_ms: Vec<f64>, flops: f64, max_error: f64) -> Side {
    let median_ms = clock::median(&runs_ms);
    let (spread, gflops) = (clock::spread(&runs_ms), flops / median_ms / 1e6);
    Side { form: form.name(), median_ms, spread, gflops, max_error, runs_ms }
}

/// Measures a row; fails if an engine is wrong.
fn measure(row: &mut Row, work: &Work, gpu: &Gpu, device: &burn_wgpu::WgpuDevice, arguments: &Arguments) -> Result<()> {
    let warmup = usize::from(arguments.warmup);
    let inputs = work.inputs(arguments.seed);
    let expected = check::expected(work, &inputs);

    let mut ours = Ours::new(gpu, work, &inputs)?;
    let our_ms = clock::warm(&mut ours, warmup)?;
    let made = ours.read()?;
    let our_error = check::error_of(&made, &expected);
    if our_error > check::TOLERANCE {
        return Err(format!("ours is wrong: error {our_error:.1e} from the reference").into());
    }

    let mut best: Option<Candidate> = None;
    for form in burn::forms(device, work, &inputs) {
        let name = form.name();
        match tried(form, warmup, &made, &expected) {
            Ok(candidate) => {
                let fault = candidate.fault();
                let is_right = fault.is_none();
                row.tried.push(Tried { form: name, ms: Some(candidate.ms), error: fault });
                if is_right && best.as_ref().is_none_or(|best| candidate.ms < best.ms) {
                    best = Some(candidate);
                }
            }
            Err(error) => row.tried.push(Tried { form: name, ms: None, error: Some(error.to_string()) }),
        }
    }
    let Some(mut best) = best else {
        let said: Vec<String> = row.tried.iter().filter_map(|tried| tried.error.clone()).collect();
        return Err(format!("burn has no correct variant: {}", said.join("; ")).into());
    };

    row.difference = Some(best.difference);
    row.calls = arguments.calls.map_or_else(|| clock::calls(our_ms.min(best.ms)), usize::from);
    let pairs = clock::pairs(&mut ours, &mut best.form, row.calls, usize::from(arguments.runs))?;
    let ratios: Vec<f64> = pairs.ours.iter().zip(&pairs.theirs).map(|(ours, theirs)| theirs / ours).collect();
    row.ratio = Some(clock::median(&ratios));
    row.ratio_quartiles = Some([0.25, 0.75].map(|part| clock::quantile(&ratios, part)));
    row.ours = Some(side(&ours, pairs.ours, work.flops(), our_error));
    row.burn = Some(side(&best.form, pairs.theirs, work.flops(), best.error));
    Ok(())
}

fn run(arguments: &Arguments) -> Result<Report> {
    let lines = lines(arguments)?;
    let gpu = Gpu::with_options(&GpuOptions { adapter: arguments.adapter.clone(), ..GpuOptions::default() })?;
    let device = burn::open(&gpu)?;
    let origin = Provenance::of(&gpu);
    let version = |package: &str, newest: bool| {
        let found = report::versions(package);
        let picked = if newest { found.last() } else { found.first() };
        picked.copied().unwrap_or("?").to_string()
    };
    let mut report = Report {
        date: report::now(),
        adapter: origin.adapter,
        driver: origin.driver,
        ketformer: origin.commit,
        burn: version("burn-wgpu", true),
        burn_compiler: burn::COMPILER.into(),
        wgpu: [version("wgpu", true), version("wgpu", false)],
        runs: arguments.runs.into(),
        load: [report::load(), None],
        rows: Vec::new(),
    };
    for work in &lines {
        eprintln!("{work}");
        let mut row = Row {
            work: work.name().into(),
            shape: work.shape(),
            ours: None,
            burn: None,
            ratio: None,
            ratio_quartiles: None,
            calls: 0,
            difference: None,
            tried: Vec::new(),
            error: None,
        };
        row.error = measure(&mut row, work, &gpu, &device, arguments).err().map(|error| error.to_string());
        eprintln!("{}", row.line());
        report.rows.push(row);
    }
    report.load[1] = report::load();
    Ok(report)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let report = match run(&arguments) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", report.table());
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string());
        let written = text.and_then(|text| std::fs::write(path, text + "\n").map_err(|error| error.to_string()));
        if let Err(error) = written {
            eprintln!("error: {} cannot be written: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if report.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
