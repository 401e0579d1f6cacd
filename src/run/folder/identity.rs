//! Identity of open files and their paths.

use std::fs::File;
use std::path::Path;

/// Whether `path` names the open `file`, and not another file or nothing. Platforms without inode numbers only check
/// that `path` exists.
#[cfg(unix)]
pub(in crate::run) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// As on Unix.
#[cfg(not(unix))]
pub(in crate::run) fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn deleted_and_replaced_files_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).unwrap();
        assert!(is_at(&file, &path));
        fs::rename(&path, folder.path().join("moved")).unwrap();
        assert!(!is_at(&file, &path));
        if cfg!(unix) {
            fs::write(&path, "another file").unwrap();
            assert!(!is_at(&file, &path));
        }
    }
}
