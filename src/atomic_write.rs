//! Atomic file writes: a file is written completely or not at all.
//!
//! A path that names a device, a FIFO or a standard stream, such as `/dev/stdout`, is written through and never
//! replaced. A symbolic link at the path is followed: its target is replaced, and the link stays. Temporary files have
//! random names and are always newly created, so that they neither follow links nor overwrite files. A killed program
//! leaves at most one of them, which [`remove_leftovers`] removes.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// Maximum number of symbolic links that are followed, as in Linux.
const MAX_LINKS: usize = 40;

/// First and last part of the names of temporary files.
const TEMPORARY: [&str; 2] = [".ketformer-", ".part"];

/// Writes `bytes` to a temporary file in the same folder, then renames it. An error message names `owner`, the
/// component that writes, and `remedy`, an alternative to freeing disk space.
///
/// # Errors
/// [`ErrorKind::File`]. The temporary file is removed in that case.
pub(crate) fn write(path: &Path, bytes: &[u8], [owner, remedy]: [&str; 2]) -> Result<()> {
    let written = || match fs::metadata(path) {
        Ok(found) if streams::write(&found, bytes)? => Ok(()),
        Ok(found) if is_special(&found) => OpenOptions::new().write(true).open(path)?.write_all(bytes),
        _ => replace(&target(path)?, bytes),
    };
    written().map_err(|cause| {
        let text = format!("{owner}: cannot write {}; free space on the disk or {remedy}", path.display());
        Error::new(ErrorKind::File, text).caused_by(cause)
    })
}

/// Whether `path` names something other than a file or a folder, such as a device or a FIFO, which [`write`] writes
/// through.
#[cfg(feature = "runs")]
pub(crate) fn is_written_through(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| is_special(&found) || streams::is_one(&found))
}

/// Removes temporary files that killed programs left in `folder`. No other program may write into it.
#[cfg(feature = "runs")]
pub(crate) fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_temporary) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// Whether `name` is that of a temporary file.
#[cfg(feature = "runs")]
pub(crate) fn is_temporary(name: &str) -> bool {
    let [begin, end] = TEMPORARY;
    name.starts_with(begin) && name.ends_with(end)
}

fn is_special(found: &Metadata) -> bool {
    !found.is_file() && !found.is_dir()
}

/// Path that the links at `path` lead to, whether it exists or not.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            // It is no link.
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let [begin, end] = TEMPORARY;
    // The keys of the hasher are random.
    let random = RandomState::new().build_hasher().finish();
    let part = path.with_file_name(format!("{begin}{random:016x}{end}"));
    let mut file = File::create_new(&part)?;
    let mut written = || {
        file.write_all(bytes)?;
        file.sync_all()?;
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions()).ok();
        }
        fs::rename(&part, path)?;
        sync_folder(path)
    };
    let result = written();
    if result.is_err() {
        fs::remove_file(&part).ok();
    }
    result
}

/// Syncs the folder of a file, which makes a rename durable on platforms that can sync folders.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    without_unsupported(File::open(folder).and_then(|folder| folder.sync_all()))
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Ignores the errors of folders that cannot be synced: those of file systems without this operation, such as old CIFS
/// and WSL drives, and of folders without read permission. The file itself is synced and complete. A power failure
/// right after the write can restore the previous file.
#[cfg(unix)]
fn without_unsupported(synced: io::Result<()>) -> io::Result<()> {
    let unsupported = [libc::EINVAL, libc::ENOTSUP, libc::EOPNOTSUPP, libc::ENOSYS, libc::EBADF, libc::EACCES];
    match synced {
        Err(cause) if cause.raw_os_error().is_some_and(|code| unsupported.contains(&code)) => Ok(()),
        other => other,
    }
}

/// Standard output and standard error as targets, by whichever path. Opening such a path again would write at the start
/// of a redirected file.
#[cfg(unix)]
mod streams {
    use std::fs::{File, Metadata};
    use std::io::{self, ErrorKind, Write};
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    fn is(stream: impl AsFd, found: &Metadata) -> bool {
        let stream = stream.as_fd().try_clone_to_owned().and_then(|stream| File::from(stream).metadata());
        stream.is_ok_and(|stream| (stream.dev(), stream.ino()) == (found.dev(), found.ino()))
    }

    #[cfg(feature = "runs")]
    pub(super) fn is_one(found: &Metadata) -> bool {
        is(io::stdout(), found) || is(io::stderr(), found)
    }

    /// Writes to the stream that is open on the file of `found`, if there is one. A reader that closed its pipe is not
    /// an error.
    pub(super) fn write(found: &Metadata, bytes: &[u8]) -> io::Result<bool> {
        let written = if is(io::stdout(), found) {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        } else if is(io::stderr(), found) {
            io::stderr().write_all(bytes)
        } else {
            return Ok(false);
        };
        match written {
            Err(cause) if cause.kind() != ErrorKind::BrokenPipe => Err(cause),
            _ => Ok(true),
        }
    }
}

#[cfg(not(unix))]
mod streams {
    #[cfg(feature = "runs")]
    pub(super) fn is_one(_: &std::fs::Metadata) -> bool {
        false
    }

    pub(super) fn write(_: &std::fs::Metadata, _: &[u8]) -> std::io::Result<bool> {
        Ok(false)
    }
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

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_stay() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let [file, link, second, dangling, loops] =
            ["file", "link", "second", "dangling", "loops"].map(|name| folder.path().join(name));
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(&file, "old").unwrap();
        symlink("file", &link).unwrap();
        symlink(&link, &second).unwrap();
        symlink("sub/new", &dangling).unwrap();
        symlink("loops", &loops).unwrap();
        for path in [&link, &second] {
            write(path, path.display().to_string().as_bytes(), WHO).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), path.display().to_string());
        }
        write(&dangling, b"new", WHO).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("sub/new")).unwrap(), "new");
        assert!(write(&loops, b"new", WHO).is_err());
        for path in [link, second, dangling, loops] {
            assert!(fs::symlink_metadata(&path).unwrap().is_symlink(), "{}", path.display());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6);
    }

    #[cfg(unix)]
    #[test]
    fn special_files_are_written_through() {
        use std::os::unix::fs::FileTypeExt;
        write(Path::new("/dev/null"), b"gone", WHO).unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let reader = std::thread::spawn({
            let path = path.clone();
            move || fs::read(path).unwrap()
        });
        write(&path, b"through", WHO).unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_kept() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write(&path, b"one", WHO).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write(&path, b"two", WHO).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[cfg(feature = "runs")]
    #[test]
    fn leftovers_are_removed_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".ketformer-0123456789abcdef.part", ".ketformer-notes", "mine.part"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_leftovers(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn only_folders_that_cannot_be_synced_are_ignored() {
        let result = |code| without_unsupported(Err(io::Error::from_raw_os_error(code)));
        for code in [libc::EINVAL, libc::ENOTSUP, libc::EOPNOTSUPP, libc::EBADF, libc::ENOSYS, libc::EACCES] {
            assert!(result(code).is_ok(), "{code}");
        }
        for code in [libc::EIO, libc::ENOSPC, libc::ENOENT, libc::EDQUOT] {
            assert_eq!(result(code).unwrap_err().raw_os_error(), Some(code));
        }
        assert!(without_unsupported(Ok(())).is_ok());
    }
}
