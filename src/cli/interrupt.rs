//! Ctrl-C and SIGTERM: the first asks to stop, the second stops.

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
    ctrlc::set_handler(handler).map_err(|cause| {
        Error::new(ErrorKind::Device, "interrupt: cannot watch for Ctrl-C; try again").caused_by(cause)
    })
}

/// Whether the user asked to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
