//! Pictures and animations of a run, and its energies, without a window.

use std::path::Path;

use super::arguments::Arguments;
use super::headless::Headless;

/// Pixels per point of pictures.
const SCALE: f32 = 1.0;

/// Prints the command of the same run, and step and energy of the first steps with all digits.
///
/// # Errors
/// A message if there is no adapter or training fails.
pub fn energies(arguments: &Arguments) -> Result<(), String> {
    let mut headless = Headless::new([320, 240], SCALE, arguments.settings.clone())?;
    let mut lines = Vec::new();
    headless.app.limit_steps(arguments.steps);
    headless.app.log_reports();
    train(&mut headless)?;
    lines.push(format!("# {}", headless.app.train_command()));
    for report in headless.app.logged() {
        lines.push(format!("{},{}", report.step, report.energy));
    }
    println!("{}", lines.join("\n"));
    Ok(())
}

/// Trains up to the limit of steps, after two frames that are painted.
fn train(headless: &mut Headless) -> Result<(), String> {
    headless.app.set_budget(200.0);
    headless.frame(0.0, Vec::new());
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
    let mut headless = Headless::new(arguments.size, SCALE, arguments.settings.clone())?;
    headless.app.select(Some(arguments.site));
    if arguments.is_gpt {
        headless.app.show_gpt();
    }
    headless.app.limit_steps(arguments.steps);
    train(&mut headless)?;
    // Twice, because sizes of a frame depend on those of the previous one.
    headless.frame(1.0, Vec::new());
    headless.frame(1.1, Vec::new());
    write(path, headless.pixels_size(), &[headless.pixels()], 1.0)
}

/// Frames per second of an animation.
const RATE: f64 = 10.0;

/// Writes an animation of a run, in which the couplings change once.
///
/// # Errors
/// As [`screenshot`].
pub fn animation(path: &Path, arguments: &Arguments) -> Result<(), String> {
    let mut headless = Headless::new(arguments.size, SCALE, arguments.settings.clone())?;
    headless.app.select(Some(arguments.site));
    headless.app.set_budget(60.0);
    let frames = (arguments.seconds * RATE) as usize;
    let mut pictures = Vec::new();
    for frame in 0..frames {
        let time = frame as f64 / RATE;
        headless.app.limit_steps((arguments.steps as f64 * (frame + 1) as f64 / frames as f64) as u64);
        if frame == 0 {
            headless.frame(0.0, Vec::new());
        }
        while !headless.app.is_at_limit() {
            headless.work();
            check(&headless)?;
        }
        headless.frame(time, Vec::new());
        pictures.push(headless.pixels());
    }
    write(path, headless.pixels_size(), &pictures, RATE)
}

/// Writes pictures as PNG, or as APNG if there are several.
fn write(path: &Path, [width, height]: [u32; 2], pictures: &[Vec<u8>], rate: f64) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{} could not be written: {error}", path.display());
    let file = std::fs::File::create(path).map_err(|error| failed(&error))?;
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    if pictures.len() > 1 {
        encoder.set_animated(pictures.len() as u32, 0).map_err(|error| failed(&error))?;
        encoder.set_frame_delay(1, rate as u16).map_err(|error| failed(&error))?;
    }
    let mut writer = encoder.write_header().map_err(|error| failed(&error))?;
    for picture in pictures {
        let rgb: Vec<u8> = picture.chunks(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        writer.write_image_data(&rgb).map_err(|error| failed(&error))?;
    }
    writer.finish().map_err(|error| failed(&error))
}
