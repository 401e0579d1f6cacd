//! The command line: what is typed becomes settings, and what comes out is printed. Nothing outside this room prints.

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
mod range;
mod reference_line;
mod report;
mod sample;
mod settings;
mod subject;
mod suggestion;
mod sweep;
mod symmetrised;
mod train;
mod tune;
mod typed;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use ketformer::{ErrorKind, Result};

use arguments::{Arguments, Command};

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was done.
    Done,
    /// It was done and found something wrong, which it printed.
    Found,
    /// The user stopped it; what there was is saved.
    Interrupted,
}

/// Runs the command line. Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.
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
