//! Text files, and what output paths may name.

use std::path::Path;

use crate::atomic_write;
use crate::error::Result;

/// Writes a text file completely or not at all. As for all files that this crate writes, a symbolic link is followed,
/// and a device, a FIFO or a standard stream is written through.
///
/// # Errors
/// [`ErrorKind::File`](crate::ErrorKind::File) if the file cannot be written.
pub fn save_text(path: &Path, text: &str) -> Result<()> {
    atomic_write::write(path, text.as_bytes(), ["output", "choose another file"])
}

/// Whether `path` names a device, a FIFO or a standard stream, which no second file can have its name next to.
pub fn is_stream(path: &Path) -> bool {
    atomic_write::is_written_through(path)
}
