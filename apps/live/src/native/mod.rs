//! The app outside browsers: a window, or frames without one.

mod arguments;
mod drive;
mod headless;
mod png_file;
mod record;
mod window;

use std::process::ExitCode;

use arguments::{Action, Arguments};

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("ketformer-live: {message}");
            return ExitCode::from(2);
        }
    };
    let outcome = match &arguments.action {
        Action::Window => window::run(&arguments),
        Action::Help => {
            print!("{}", arguments::HELP);
            Ok(())
        }
        Action::Record(path) => record::animation(path, &arguments),
        Action::Screenshot(path) => record::screenshot(path, &arguments),
        Action::Energies => record::energies(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ketformer-live: {error}");
            ExitCode::FAILURE
        }
    }
}
