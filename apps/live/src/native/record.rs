//! Pictures and animations of a run, and its energies, without a window.

use std::path::Path;

use super::arguments::Arguments;
use super::headless::Headless;
use super::png_file::{write_animation, write_picture};
use crate::settings::Couplings;

/// Prints the command of the same run, and step and energy of the first steps with all digits; with `--gpt` their loss.
///
/// # Errors
/// A message if there is no adapter or training fails.
pub fn energies(arguments: &Arguments) -> Result<(), String> {
    let mut headless = begin(arguments, [320, 240], FAST)?;
    headless.app.log_values();
    train(&mut headless, arguments.steps)?;
    println!("# {}", headless.app.train_command());
    for (at, value) in headless.app.logged().iter().enumerate() {
        println!("{},{value}", at + 1);
    }
    Ok(())
}

/// Milliseconds of a frame where nobody looks at frames.
const FAST: f64 = 200.0;

/// The page that is asked for in a space of `size` points, after a frame that is painted.
fn begin(arguments: &Arguments, size: [u32; 2], budget: f64) -> Result<Headless, String> {
    let mut headless = Headless::new(size, arguments.scale, arguments.settings.clone())?;
    headless.app.select(Some(arguments.site));
    if arguments.is_gpt {
        headless.app.show_gpt();
    }
    headless.app.set_budget(budget);
    headless.app.limit_steps(0);
    headless.frame(0.0, Vec::new());
    Ok(headless)
}

/// Trains up to step `steps`.
fn train(headless: &mut Headless, steps: u64) -> Result<(), String> {
    headless.app.limit_steps(steps);
    while !headless.app.is_at_limit() {
        headless.work();
        check(headless)?;
    }
    Ok(())
}

fn check(headless: &Headless) -> Result<(), String> {
    match headless.app.error() {
        Some(message) => Err(message),
        None => Ok(()),
    }
}

/// Writes a picture after some steps.
///
/// # Errors
/// A message if there is no adapter, training fails or the file cannot be written.
pub fn screenshot(path: &Path, arguments: &Arguments) -> Result<(), String> {
    let mut headless = begin(arguments, arguments.size, FAST)?;
    train(&mut headless, arguments.steps)?;
    // Twice, because sizes of a frame depend on those of the previous one.
    headless.frame(1.0, Vec::new());
    headless.frame(1.1, Vec::new());
    write_picture(path, headless.pixels_size(), &headless.pixels())
}

/// Frames per second of an animation.
const RATE: f64 = 8.0;
/// The couplings of Rydberg atoms in the second half of it, in the checkerboard.
const LATER: Couplings = Couplings::Rydberg { delta: 2.0, radius: 1.2, omega: 1.0 };

/// Writes an animation of a run, in which the couplings of Rydberg atoms change once.
///
/// # Errors
/// As [`screenshot`].
pub fn animation(path: &Path, arguments: &Arguments) -> Result<(), String> {
    let mut headless = begin(arguments, arguments.size, 60.0)?;
    let couplings = arguments.settings.as_ref().map_or(Couplings::RYDBERG, |settings| settings.couplings);
    let is_rydberg = couplings.is_same_kind(&LATER);
    let frames = (arguments.seconds * RATE).max(1.0) as usize;
    let mut pictures = Vec::new();
    for frame in 0..frames {
        if frame == frames / 2 && is_rydberg {
            headless.app.set_couplings(LATER);
        }
        train(&mut headless, (arguments.steps as f64 * (frame + 1) as f64 / frames as f64) as u64)?;
        headless.frame(frame as f64 / RATE, Vec::new());
        pictures.push(headless.pixels());
        if frame % 10 == 9 {
            eprintln!("frame {} of {frames}", frame + 1);
        }
    }
    write_animation(path, headless.pixels_size(), &pictures, RATE as u16)
}
