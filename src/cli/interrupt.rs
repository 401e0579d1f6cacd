//! Signal handling: the first Ctrl-C or SIGTERM requests a stop, the second exits. SIGUSR1 and SIGUSR2, by which batch
//! systems such as Slurm announce the end of a job, request a stop too, and do not count as the first. Exceeding a limit
//! on file sizes becomes a write error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use ketformer::{Error, ErrorKind, Result};

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// Whether a batch system announced the end of the job.
static ANNOUNCED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Installs the handlers. After the first Ctrl-C, SIGTERM or SIGHUP [`requested`] returns true; the next one exits at
/// once. After SIGUSR1 or SIGUSR2, [`requested`] returns true as well.
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
    heed_batch_systems().and_then(|()| outlive_limits()).map_err(|cause| failed(cause.into()))
}

#[cfg(unix)]
fn heed_batch_systems() -> std::io::Result<()> {
    use signal_hook::consts::{SIGUSR1, SIGUSR2};
    [SIGUSR1, SIGUSR2]
        .into_iter()
        .try_for_each(|signal| signal_hook::flag::register(signal, ANNOUNCED.clone()).map(|_| ()))
}

#[cfg(not(unix))]
fn heed_batch_systems() -> std::io::Result<()> {
    Ok(())
}

/// Handles SIGXFSZ, which the system sends if a write exceeds the limit on file sizes. Unhandled it ends the program;
/// handled, the write fails.
#[cfg(unix)]
fn outlive_limits() -> std::io::Result<()> {
    let noticed = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, noticed).map(|_| ())
}

#[cfg(not(unix))]
fn outlive_limits() -> std::io::Result<()> {
    Ok(())
}

/// Whether a signal requested a stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst) || ANNOUNCED.load(Ordering::SeqCst)
}
