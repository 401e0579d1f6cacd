//! Signals: the first Ctrl-C or SIGTERM asks to stop, the second stops; a file that may not grow is an error of writing.

use std::sync::atomic::{AtomicBool, Ordering};

use ketformer::{Error, ErrorKind, Result};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C, SIGTERM or SIGHUP is noticed by [`asked`], and the next ends the program at once.
///
/// # Errors
/// `ErrorKind::Device` if the system does not let a handler be set.
pub fn watch() -> Result<()> {
    let handler = || {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Device, "interrupt: cannot watch for Ctrl-C; try again").caused_by(cause)
    };
    ctrlc::set_handler(handler).map_err(|cause| failed(cause.into()))?;
    outlive_limits().map_err(|cause| failed(cause.into()))
}

/// Beyond a limit of file sizes the system sends a signal that ends the program, unless it is handled: then writing fails.
#[cfg(unix)]
fn outlive_limits() -> std::io::Result<()> {
    let noticed = std::sync::Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, noticed).map(|_| ())
}

#[cfg(not(unix))]
fn outlive_limits() -> std::io::Result<()> {
    Ok(())
}

/// Whether the user asked to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
