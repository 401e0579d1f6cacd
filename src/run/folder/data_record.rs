//! `data.json`: file of the data with which a run began, so that a run that resumes notices another one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};
use crate::run::WRITER;

/// File of the data of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecord {
    /// Absolute path when the run began.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32 of the contents.
    pub crc32: u32,
}

impl DataRecord {
    /// Record of the file at `path` with these contents.
    pub fn of(path: &Path, contents: &[u8]) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Self { path, bytes: contents.len() as u64, crc32: crc32fast::hash(contents) }
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|cause| {
            Error::new(ErrorKind::File, "data.json: cannot be encoded; report this").caused_by(cause)
        })?;
        atomic_write::write(path, (text + "\n").as_bytes(), WRITER)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be read or is not such a file.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        let fault = |what: &str| Error::new(ErrorKind::File, format!("data.json: {shown} {what}; restore it"));
        let text = std::fs::read_to_string(path).map_err(|cause| fault("cannot be read").caused_by(cause))?;
        serde_json::from_str(&text).map_err(|cause| fault("is damaged").caused_by(cause))
    }

    /// Checks that `now` has the same contents.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it has others.
    pub fn check(&self, now: &Self) -> Result<()> {
        if (now.bytes, now.crc32) == (self.bytes, self.crc32) {
            return Ok(());
        }
        let text = format!(
            "data: {} is not the file that the run began with: it has {} bytes with CRC-32 {:08x}, expected {} bytes with \
             {:08x}; restore it, or begin a new run",
            now.path.display(),
            now.bytes,
            now.crc32,
            self.bytes,
            self.crc32
        );
        Err(Error::new(ErrorKind::File, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_contents_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.json");
        let record = DataRecord::of(Path::new("input.txt"), b"123456789");
        assert_eq!((record.bytes, record.crc32), (9, 0xcbf4_3926));
        assert!(record.path.is_absolute());
        record.save(&path).unwrap();
        assert_eq!(DataRecord::load(&path).unwrap(), record);
        record.check(&DataRecord::of(Path::new("moved.txt"), b"123456789")).unwrap();
        let refused = record.check(&DataRecord::of(Path::new("input.txt"), b"123456780")).unwrap_err().to_string();
        assert!(refused.contains("input.txt is not the file") && refused.contains("cbf43926"), "{refused}");
        std::fs::write(&path, "{").unwrap();
        assert!(DataRecord::load(&path).unwrap_err().to_string().contains("is damaged"));
    }
}
