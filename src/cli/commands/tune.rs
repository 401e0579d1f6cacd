//! `ketformer tune`: measures which kernel variants are fastest on this adapter and stores them for later runs.

use ketformer::Result;
use ketformer::bench::{self, TuneConfig, Verdict};
use ketformer::gpu::{Gpu, GpuOptions, Tuning};

use crate::cli::arguments::TuneArguments;
use crate::cli::{Outcome, output};

/// Measures variants and writes the adapter's tuning file.
///
/// # Errors
/// `ErrorKind::Settings` for an invalid time limit, `ErrorKind::File` for a tuning file that cannot be written,
/// `ErrorKind::Adapter` or `ErrorKind::Device` if the GPU cannot be used.
pub fn run(arguments: &TuneArguments) -> Result<Outcome> {
    let mut config = TuneConfig::new(arguments.quick);
    config.seconds = arguments.seconds.unwrap_or(config.seconds);
    config.check()?;
    let options = GpuOptions { adapter: arguments.adapter.clone(), ignore_tuning: true, ..GpuOptions::default() };
    let gpu = Gpu::with_options(&options)?;
    let path = Tuning::path(gpu.info())?;
    let report = bench::tune(&gpu, &config, &mut |title| {
        if !arguments.quiet {
            output::progress(&format!("tune {title}"));
        }
    })?;
    let header = ["kernel", "shapes", "default", "best", "gain", "variants that gave the same bits, in ms"];
    output::line(output::table(std::iter::once(header.map(String::from)).chain(report.verdicts.iter().map(row))));
    if report.unfinished {
        output::line("time was up: the remaining classes keep their defaults; increase --seconds");
    }
    let tuning = report.tuning();
    tuning.save(&path, gpu.info())?;
    let (preferred, all) = (tuning.iter().count(), report.verdicts.len());
    output::line(format!("{preferred} of {all} differ from the rules; saved in {}", path.display()));
    let has_failed = report.verdicts.iter().any(|verdict| verdict.failed);
    Ok(if has_failed { Outcome::Found } else { Outcome::Done })
}

fn row(verdict: &Verdict) -> [String; 6] {
    let times = verdict.times.iter().map(|(variant, ms)| format!("{variant} {ms:.3}"));
    let all: Vec<String> = times.chain(verdict.remark.clone()).collect();
    let gain = if verdict.failed { "-".into() } else { format!("{:.2}", verdict.gain) };
    [verdict.kernel.into(), verdict.class.clone(), verdict.default.into(), verdict.best.into(), gain, all.join(", ")]
}
