//! Ketformer's kernels compared with burn's on the same adapter: checked first, then timed alternately.

mod burn;
mod check;
mod clock;
mod engine;
mod ours;
mod race;
mod report;
mod session;
mod sizes;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ketformer::arena::{AttentionProblem, Environment, Mask, Pass, Suite};
use ketformer::bench::{self, BenchConfig, BenchShape, Subject};
use ketformer::gpu::{Gpu, GpuOptions};

use clock::Rounds;
use engine::Result;
use race::{Engines, Settings};
use report::{Provenance, Report};
use work::{Layer, Product, Work};

/// Ketformer's kernels compared with burn's, on the same adapter in the same process.
///
/// Both engines compute every benchmark from the same random inputs. The outputs are compared with each other in full,
/// and with 64-bit sums on a subset. Only then both are timed alternately with the host clock, waiting for each run, each
/// in the fastest of several variants, after a warm-up. Then ten runs with the same inputs show whether the results have
/// the same bits.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples: cargo run --release -- --suite short
          cargo run --release -- attention --shape 64x8x64x16 --runs 50 --json peers.json"
)]
struct Arguments {
    /// What to compare; default: attention with --suite, otherwise both
    #[arg(value_enum)]
    subjects: Vec<Subjects>,
    /// Shapes of attention: short, standard, long or decode; may be repeated; default: short
    #[arg(long = "suite", value_name = "NAME")]
    suites: Vec<Suite>,
    /// Other shapes, for one subject: BxHxSxD, BxH/HKxS:SKxD or ROWSxINNERxCOLUMNS; may be repeated
    #[arg(long = "shape", value_name = "SIZES", conflicts_with = "suites")]
    shapes: Vec<String>,
    /// Mask of attention at other shapes: causal or full
    #[arg(long, value_name = "NAME", default_value = "causal", requires = "shapes")]
    mask: Mask,
    /// Pass of attention: forward or forward-backward; default: both, one query forward only
    #[arg(long, value_name = "NAME")]
    pass: Option<Pass>,
    /// Timed runs of each engine in each benchmark
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Seconds of timed runs after which a benchmark ends, if there were five
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Runs of each variant before the timed ones, after compilation and tuning; fewer if they take more than 2 s
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    warmup: u16,
    /// Calls per run; default: as many as take 50 ms
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    calls: Option<u16>,
    /// Runs with the same inputs whose bits are compared
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..))]
    repeats: u16,
    /// Adapter, by its index or a part of its name as `ketformer devices` prints them
    #[arg(long, value_name = "ADAPTER")]
    adapter: Option<String>,
    /// Seed of the inputs
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Also write all variants as JSON, for `ketformer bench report`
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run one benchmark of these in this process, and write its result to the standard output
    #[arg(long, hide = true)]
    only: Option<usize>,
}

/// Subject of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subjects {
    /// Attention forward, and with gradients
    Attention,
    /// Products of a linear layer
    Matmul,
}

/// Requested benchmarks.
fn lines(arguments: &Arguments) -> Result<Vec<Work>> {
    let mut subjects = arguments.subjects.clone();
    if subjects.is_empty() {
        subjects = if arguments.suites.is_empty() && arguments.pass.is_none() {
            vec![Subjects::Attention, Subjects::Matmul]
        } else {
            vec![Subjects::Attention]
        };
    }
    if subjects.len() > 1 && !arguments.shapes.is_empty() {
        return Err("--shape could belong to several subjects; give one, such as attention".into());
    }
    if subjects == [Subjects::Matmul] && (!arguments.suites.is_empty() || arguments.pass.is_some()) {
        return Err("--suite and --pass are of attention; leave out matmul".into());
    }
    let mut lines = Vec::new();
    for subject in subjects {
        match subject {
            Subjects::Attention => lines.extend(attention(arguments)?),
            Subjects::Matmul => lines.extend(products(arguments)?),
        }
    }
    if lines.is_empty() {
        return Err("one query has no backward pass; leave out --pass".into());
    }
    Ok(lines)
}

fn attention(arguments: &Arguments) -> Result<Vec<Work>> {
    let suites = if arguments.suites.is_empty() { &[Suite::Short][..] } else { &arguments.suites };
    let mut problems: Vec<AttentionProblem> = Vec::new();
    if arguments.shapes.is_empty() {
        problems.extend(suites.iter().flat_map(|suite| suite.problems()));
    }
    for text in &arguments.shapes {
        let problem = AttentionProblem { mask: arguments.mask, ..AttentionProblem::parse(text)? };
        problems.push(problem);
        if problem.queries > 1 {
            problems.push(AttentionProblem { pass: Pass::ForwardBackward, ..problem });
        }
    }
    let is_asked = |problem: &AttentionProblem| arguments.pass.is_none_or(|asked| problem.pass == asked);
    Ok(problems.into_iter().filter(is_asked).map(Work::Attention).collect())
}

fn products(arguments: &Arguments) -> Result<Vec<Work>> {
    let shapes = if arguments.shapes.is_empty() {
        Subject::Matmul.shapes()
    } else {
        arguments.shapes.iter().map(|text| text.parse()).collect::<ketformer::Result<Vec<BenchShape>>>()?
    };
    let mut works = Vec::new();
    for shape in &shapes {
        Subject::Matmul.check(shape)?;
        let layer = Layer::of(shape)?;
        let products = [Product::Output, Product::InputGradient, Product::WeightGradient];
        works.extend(products.map(|product| Work::Layer(layer, product)));
    }
    Ok(works)
}

fn open(arguments: &Arguments) -> Result<Gpu> {
    Ok(Gpu::with_options(&GpuOptions { adapter: arguments.adapter.clone(), ..GpuOptions::default() })?)
}

/// Runs benchmark `number` in this process.
fn run_one(arguments: &Arguments, number: usize) -> Result<()> {
    let lines = lines(arguments)?;
    let work = lines.get(number).ok_or_else(|| format!("there are {} benchmarks, got {number}", lines.len()))?;
    session::end_with_burn();
    let gpu = open(arguments)?;
    let burn = burn::open(&gpu)?;
    let settings = Settings {
        rounds: Rounds { runs: arguments.runs.into(), most: Duration::from_secs(arguments.seconds) },
        warmup: arguments.warmup.into(),
        calls: arguments.calls.map(usize::from),
        repeats: arguments.repeats.into(),
        seed: arguments.seed,
    };
    let environment = Environment::of(&gpu);
    let race = race::race(&Engines { gpu, burn }, work, &settings);
    eprintln!("{}", race.line());
    let (burn, repeats, seed) = (&report::versions("burn-wgpu").join(", "), settings.repeats, settings.seed);
    let provenance = Provenance { environment: &environment, burn, repeats, seed };
    println!("{}", serde_json::to_string(&race.finished(&provenance))?);
    Ok(())
}

/// Runs all benchmarks, each in a process of its own.
fn run(arguments: &Arguments) -> Result<Report> {
    let lines = lines(arguments)?;
    let gpu = open(arguments)?;
    let mut report = Report {
        environment: Environment::of(&gpu),
        limits: bench::measure_limits(&gpu, &BenchConfig::default(), &mut |_| ())?.limits,
        burn: report::versions("burn-wgpu").join(", "),
        burn_compiler: burn::COMPILER.into(),
        runs: arguments.runs.into(),
        repeats: arguments.repeats.into(),
        load: [report::load(), None],
        races: Vec::new(),
    };
    eprintln!(
        "burn compiles and tunes its kernels at every new shape, which takes minutes on software drivers; the results are \
         kept in target/environment"
    );
    for (number, work) in lines.iter().enumerate() {
        eprintln!("{work} ({} of {})", number + 1, lines.len());
        report.races.push(session::run(work, number));
        report.load[1] = report::load();
        // A long comparison that is interrupted keeps what it has measured.
        if let Some(path) = &arguments.json {
            let text = report.bench_report().json()?;
            std::fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
    }
    Ok(report)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.only {
        Some(number) => run_one(&arguments, number).map(|()| ExitCode::SUCCESS),
        None => run(&arguments).map(|report| {
            println!("{}", report.table());
            if report.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn works(arguments: &[&str]) -> std::result::Result<Vec<String>, String> {
        let arguments =
            Arguments::try_parse_from([&["peers"], arguments].concat()).map_err(|error| error.to_string())?;
        let lines = lines(&arguments).map_err(|error| error.to_string())?;
        let subject = |work: &Work| if matches!(work, Work::Attention(_)) { "attention" } else { "matmul" };
        Ok(lines.iter().map(|work| format!("{} {} {}", subject(work), work.shape(), work.pass())).collect())
    }

    #[test]
    fn suites_and_shapes_make_benchmarks() {
        let short = works(&["--suite", "short"]).unwrap();
        assert_eq!((short.len(), short[1].as_str()), (10, "attention 2048x4x16x16 forward-backward"));
        let decode = works(&["--suite", "decode"]).unwrap();
        assert_eq!((decode.len(), decode[2].as_str()), (5, "attention 1x32/8x1:16384x128 forward"));
        assert_eq!(works(&["--suite", "standard", "--suite", "long", "--pass", "forward"]).unwrap().len(), 9);
        assert_eq!(
            works(&["matmul", "--shape", "8x4x2"]).unwrap(),
            ["matmul 8x4x2 y", "matmul 8x4x2 d_x", "matmul 8x4x2 d_w-d_b"]
        );
        assert_eq!(
            works(&["attention", "--shape", "1x2x3x4", "--pass", "forward"]).unwrap(),
            ["attention 1x2x3x4 forward"]
        );
    }

    #[test]
    fn contradictions_are_refused_with_a_remedy() {
        for (arguments, expected) in [
            (&["--shape", "1x2x3x4"][..], "give one, such as attention"),
            (&["matmul", "--suite", "long"], "leave out matmul"),
            (&["--suite", "decode", "--pass", "forward-backward"], "leave out --pass"),
            (&["attention", "--shape", "1x2x3"], "4x12x1024x64"),
            (&["--suite", "short", "--shape", "1x2x3x4"], "--shape"),
            (&["--suite", "tiny"], "decode"),
        ] {
            let error = works(arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }
}
