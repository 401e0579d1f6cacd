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
mod remedies;
mod run_settings;
mod settings;
mod shell;
mod shell_words;
mod subject;
mod suggestion;
mod training;
mod usage;
mod weights;

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

/// Parses the command line and runs its command. Exit codes: 0 done, 1 failed, found failures or could not write all of
/// the output, 2 usage error, 130 interrupted.
pub fn run(typed: impl Iterator<Item = OsString>) -> ExitCode {
    driver_noise::hush();
    driver_noise::hush_lost_devices();
    let typed = reference_line::with_subcommand(typed.collect());
    let arguments = match Arguments::try_parse_from(&typed) {
        Ok(arguments) => arguments,
        Err(error) => return usage::explain(&error, &typed),
    };
    let result = commands::run(arguments.command);
    if let Err(error) = &result {
        output::error(error);
    }
    let is_complete = output::is_complete();
    ExitCode::from(match result {
        Ok(Outcome::Done) => u8::from(!is_complete),
        Ok(Outcome::Found) => 1,
        Ok(Outcome::Interrupted) => 130,
        Err(error) if error.kind() == ErrorKind::Settings => 2,
        Err(_) => 1,
    })
}
