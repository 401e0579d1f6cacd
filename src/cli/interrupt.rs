//! Signal handling: the first Ctrl-C or SIGTERM requests a stop, the second exits. Exceeding a limit on file sizes
//! becomes a write error.

use std::sync::atomic::{AtomicBool, Ordering};

use ketformer::{Error, ErrorKind, Result};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Installs the handlers. After the first Ctrl-C, SIGTERM or SIGHUP [`requested`] returns true; the next one exits at
/// once.
///
/// # Errors
/// `ErrorKind::Device` if a handler cannot be installed.
pub fn watch() -> Result<()> {
    let handler = || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    let failed = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Device, "interrupt: cannot watch for Ctrl-C; try again").caused_by(cause)
    };
    ctrlc::set_handler(handler).map_err(|cause| failed(cause.into()))?;
    outlive_limits().map_err(|cause| failed(cause.into()))
}

/// Handles SIGXFSZ, which the system sends if a write exceeds the limit on file sizes. Unhandled it ends the program;
/// handled, the write fails.
#[cfg(unix)]
fn outlive_limits() -> std::io::Result<()> {
    let noticed = std::sync::Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, noticed).map(|_| ())
}

#[cfg(not(unix))]
fn outlive_limits() -> std::io::Result<()> {
    Ok(())
}

/// Whether the user requested a stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
