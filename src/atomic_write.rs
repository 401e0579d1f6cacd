//! Atomic file writes: a file is written completely or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Writes `bytes` to a temporary file in the same folder, then renames it. An error message names `owner`, the
/// component that writes, and `remedy`, an alternative to freeing disk space.
///
/// # Errors
/// [`ErrorKind::File`]. The temporary file is removed in that case.
pub(crate) fn write(path: &Path, bytes: &[u8], [owner, remedy]: [&str; 2]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let written = || {
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        sync_folder(path)
    };
    written().map_err(|cause| {
        fs::remove_file(&part).ok();
        let text = format!("{owner}: cannot write {}; free space on the disk or {remedy}", path.display());
        Error::new(ErrorKind::File, text).caused_by(cause)
    })
}

/// Syncs the folder of a file, which makes a rename durable on platforms that can sync folders.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: [&str; 2] = ["test", "choose another folder"];

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write(&path, b"one", WHO).unwrap();
        write(&path, b"two", WHO).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // A folder has this name: the temporary file can be written but not renamed.
        let path = folder.path().join("a.json");
        fs::create_dir(&path).unwrap();
        assert_eq!(write(&path, b"one", WHO).unwrap_err().kind(), ErrorKind::File);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("no/such/a.json"), b"one", WHO).is_err());
    }
}
