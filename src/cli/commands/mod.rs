//! Commands of the program, one file or folder each.

mod bench;
mod devices;
mod doctor;
mod eval;
mod exact;
pub mod gpt;
mod help;
mod kernels;
mod report;
mod sample;
mod sweep;
pub mod train;
mod tune;

use ketformer::Result;

use super::Outcome;
use super::arguments::Command;
use super::arguments::gpt::GptCommand;

/// Runs a command.
///
/// # Errors
/// Errors of the command.
pub fn run(command: Command) -> Result<Outcome> {
    match command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Gpt { command: GptCommand::Train(arguments) } => gpt::train(&arguments),
        Command::Gpt { command: GptCommand::Sample(arguments) } => gpt::sample(&arguments),
        Command::Gpt { command: GptCommand::Eval(arguments) } => gpt::eval(&arguments),
        Command::Gpt { command: GptCommand::Tune(arguments) } => gpt::tune(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Sample(arguments) => sample::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Exact(arguments) => exact::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Devices => devices::run(),
        Command::Kernels { name, constants } => kernels::run(name.as_deref(), &constants),
        Command::Doctor { kernels, adapter, quick, gpu } => doctor::run(&kernels, &adapter, quick, gpu.as_deref()),
        Command::Help { subject } => help::run(subject.as_deref()),
    }
}
