//! Command-line interface: parses arguments into settings, runs commands and prints results. No other module prints.

mod arguments;
mod commands;
mod device;
mod driver_noise;
mod gpu_figures;
mod groups;
mod interrupt;
mod output;
mod reference_line;
mod settings;
mod subject;
mod suggestion;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use ketformer::ErrorKind;

use arguments::Arguments;

/// Outcome of a command that returned no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The command completed.
    Done,
    /// The command completed and printed failures that it found.
    Found,
    /// The user interrupted the command. Completed steps are saved in the run folder, if there is one.
    Interrupted,
}

/// Parses the command line and runs its command. Exit codes: 0 done, 1 failed or found failures, 2 usage error, 130
/// interrupted.
pub fn run(typed: impl Iterator<Item = OsString>) -> ExitCode {
    driver_noise::hush();
    let arguments = match Arguments::try_parse_from(reference_line::with_subcommand(typed.collect())) {
        Ok(arguments) => arguments,
        Err(error) => return usage::explain(&error),
    };
    match commands::run(arguments.command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) => {
            output::error(&error);
            ExitCode::from(if error.kind() == ErrorKind::Settings { 2 } else { 1 })
        }
    }
}
