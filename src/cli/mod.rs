//! Command-line interface: parses arguments into settings, runs commands and prints results. No other module prints.

mod arguments;
mod bench;
mod chains;
mod device;
mod devices;
mod doctor;
mod driver_noise;
mod eval;
mod exact;
mod exact_answer;
mod groups;
mod help;
mod interrupt;
mod kernels;
mod memory_size;
mod number;
mod observables;
mod output;
mod progress;
mod projected;
mod range;
mod reference_line;
mod report;
mod sample;
mod settings;
mod subject;
mod suggestion;
mod sweep;
mod train;
mod tune;
mod typed;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use ketformer::{ErrorKind, Result};

use arguments::{Arguments, Command};

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
    match command(arguments.command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) => {
            output::error(&error);
            ExitCode::from(if error.kind() == ErrorKind::Settings { 2 } else { 1 })
        }
    }
}

fn command(command: Command) -> Result<Outcome> {
    match command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Sample(arguments) => sample::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Exact(arguments) => exact::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Devices => devices::run(),
        Command::Kernels { name } => kernels::run(name.as_deref()),
        Command::Doctor { adapter } => doctor::run(&adapter),
        Command::Help { subject } => help::run(subject.as_deref()),
    }
}
