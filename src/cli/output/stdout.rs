//! Checked writes to stdout.
//!
//! A closed pipe, as in `ketformer kernels | head`, ends the output without an error. Any other failure, such as a full
//! disk behind `> file`, is printed once on stderr, and the program then ends with exit code 1. After a failure nothing
//! more is written, so that an incomplete output has no gaps.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use super::error;

/// State of stdout: one of the constants below.
static STATE: AtomicU8 = AtomicU8::new(OPEN);

const OPEN: u8 = 0;
/// The reader has closed the pipe.
const CLOSED: u8 = 1;
const FAILED: u8 = 2;

/// Prints a line of the result.
pub fn line(text: impl Display) {
    if is_read() {
        record(writeln!(io::stdout(), "{text}"));
    }
}

/// Prints a piece of a line of the result at once.
pub fn piece(text: impl Display) {
    if is_read() {
        record(write!(io::stdout(), "{text}").and_then(|()| io::stdout().flush()));
    }
}

/// Whether stdout receives what is printed.
pub fn is_read() -> bool {
    STATE.load(Ordering::Relaxed) == OPEN
}

/// Writes what is still in the buffer. Returns whether stdout received all lines, or a reader did not want them.
pub fn is_complete() -> bool {
    if is_read() {
        record(io::stdout().flush());
    }
    STATE.load(Ordering::Relaxed) != FAILED
}

fn record(written: io::Result<()>) {
    match written {
        Ok(()) => {}
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => STATE.store(CLOSED, Ordering::Relaxed),
        Err(cause) => {
            STATE.store(FAILED, Ordering::Relaxed);
            error(&format!("stdout: cannot write the output; free space or send it to another file ({cause})"));
        }
    }
}
