//! `ketformer tune`: measures which kernel variants are fastest on this adapter and stores them for later runs.

use std::path::Path;

use ketformer::Result;
use ketformer::bench::{self, TuneConfig};
use ketformer::gpu::{Gpu, GpuOptions, Tuning};

use crate::cli::arguments::TuneArguments;
use crate::cli::{Outcome, output};

/// Measures variants and writes the adapter's tuning file, or prints or deletes the existing file.
///
/// # Errors
/// `ErrorKind::Settings` for an invalid time limit, `ErrorKind::File` for a tuning file that cannot be read, written or
/// deleted, `ErrorKind::Adapter` or `ErrorKind::Device` if the GPU cannot be used.
pub fn run(arguments: &TuneArguments) -> Result<Outcome> {
    let defaults = TuneConfig::new(arguments.quick);
    let config = TuneConfig { seconds: arguments.seconds.unwrap_or(defaults.seconds), ..defaults };
    config.check()?;
    let options = GpuOptions { adapter: arguments.adapter.clone(), ignore_tuning: true, ..GpuOptions::default() };
    let gpu = Gpu::with_options(&options)?;
    let path = Tuning::path(&gpu)?;
    if arguments.show {
        return show(&gpu, &path);
    }
    if arguments.forget {
        let said = if Tuning::forget(&path)? { "deleted" } else { "there is no" };
        output::line(format!("{said} {}", path.display()));
        return Ok(Outcome::Done);
    }
    let report = bench::tune(&gpu, &config, &mut |title| {
        if !arguments.quiet {
            output::progress(&format!("tune {title}"));
        }
    })?;
    output::line(report.table());
    let tuning = report.tuning();
    tuning.save(&path, &gpu)?;
    let preferred = tuning.iter().count();
    output::line(format!(
        "{preferred} of {} differ from the rules; saved in {}",
        report.verdicts.len(),
        path.display()
    ));
    Ok(if report.has_errors() { Outcome::Found } else { Outcome::Done })
}

fn show(gpu: &Gpu, path: &Path) -> Result<Outcome> {
    let Some(tuning) = Tuning::load(path, gpu)? else {
        output::line(format!("there is no {}; `ketformer tune` measures and writes it", path.display()));
        return Ok(Outcome::Done);
    };
    let header = ["kernel", "shapes", "default", "best", "gain"].map(String::from);
    let rows = tuning.iter().map(|(kernel, class, preferred)| {
        let gain = format!("{:.2}", preferred.gain);
        [kernel.into(), class.into(), preferred.instead_of.clone(), preferred.variant.clone(), gain]
    });
    output::line(output::table(std::iter::once(header).chain(rows)));
    output::line(format!("{} differ from the rules; {}", tuning.iter().count(), path.display()));
    Ok(Outcome::Done)
}
