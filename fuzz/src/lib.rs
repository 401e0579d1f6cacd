//! Fuzz targets for the files that ketformer reads: `cargo +nightly fuzz run weights corpus/weights`, in this folder.
//! Run folders and `tests/data` of the crate are good corpora. `tests/faults` runs a fixed set of such faults.

use std::cell::LazyCell;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| TempDir::new().expect("a temporary folder"));
}

/// Writes `bytes` into the file called `name` in a temporary folder and returns its path.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("a file that can be written");
    path
}

/// Temporary folder of this process.
pub fn folder() -> PathBuf {
    FOLDER.with(|folder| folder.path().to_path_buf())
}

/// Asserts that an error is one line with a remedy, or with the path of a file.
pub fn check_error(error: &ketformer::Error, path: &Path) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text:?}");
    assert!(text.contains(';') || text.contains(&path.display().to_string()), "{text:?}");
}
