//! `ketformer bench report`: rows of several files in one page, Markdown or CSV.

use std::path::Path;

use ketformer::bench::MergedReport;
use ketformer::run::save_text;
use ketformer::{Error, ErrorKind, Result};

use super::{check_folder, read};
use crate::cli::arguments::BenchArguments;
use crate::cli::{Outcome, output};

/// Word for this command in place of a subject.
pub const REPORT: &str = "report";

/// Merges the files and writes them as the suffix of `--out` says; without it prints Markdown.
///
/// # Errors
/// `ErrorKind::Settings` without files, for flags of measurements and for an unknown suffix; `ErrorKind::File` for files
/// that cannot be read or written.
pub fn run(arguments: &BenchArguments) -> Result<Outcome> {
    let error = |message: String| Err(Error::new(ErrorKind::Settings, message));
    let files = &arguments.subjects[1..];
    if files.is_empty() {
        return error("bench report: no files; give those that `ketformer bench --json` wrote".into());
    }
    if let Some(flag) = arguments.given().into_iter().find(|flag| !["--baseline", "--out"].contains(flag)) {
        return error(format!("bench report: measures nothing, so {flag} has no meaning; leave it out"));
    }
    let baseline = match arguments.baseline.as_slice() {
        [] => None,
        [name] => Some(name.as_str()),
        [_, name, ..] => return error(format!("bench report: ratios have one baseline; leave {name} out")),
    };
    let format: fn(&MergedReport) -> Result<String> = match &arguments.out {
        None => |merged| Ok(merged.markdown()),
        Some(path) => match path.extension().and_then(|suffix| suffix.to_str()) {
            Some("html") => MergedReport::page,
            Some("md") => |merged| Ok(merged.markdown()),
            Some("csv") => |merged| Ok(merged.csv()),
            _ => {
                let path = path.display();
                return error(format!(
                    "bench report: no format for {path}; give a name that ends in .html, .md or .csv"
                ));
            }
        },
    };
    arguments.out.iter().try_for_each(|path| check_folder(path))?;
    let named = |file: &String| read(Path::new(file)).map(|report| (file.clone(), report));
    let reports = files.iter().map(named).collect::<Result<Vec<_>>>()?;
    let text = format(&MergedReport::new(reports, baseline)?)?;
    match &arguments.out {
        None => output::line(text.trim_end()),
        Some(path) => {
            save_text(path, &text)?;
            output::line(path.display());
        }
    }
    Ok(Outcome::Done)
}
