//! The file of a [`Tuning`].
//!
//! `ketformer tune` writes one JSON file per adapter into the user's cache folder, with the driver and the version of
//! the crate. A file of another driver or version is ignored with a warning.

use std::fs;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use super::Tuning;
use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};

/// Environment variable that overrides the folder of the file, by default the user's cache folder.
const FOLDER: &str = "KETFORMER_CACHE";

/// The file: the adapter that it belongs to, and the preferred variants.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TuningFile {
    version: String,
    adapter: String,
    driver: String,
    preferred: Tuning,
}

impl TuningFile {
    /// The file that this version of the crate writes and accepts for an adapter.
    fn of(info: &wgpu::AdapterInfo, preferred: Tuning) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            adapter: info.name.clone(),
            driver: format!("{:?} {} {}", info.backend, info.driver, info.driver_info).trim().into(),
            preferred,
        }
    }
}

impl Tuning {
    /// Path of the file for an adapter ([`crate::gpu::Gpu::info`]), in the folder given by the environment variable `KETFORMER_CACHE`,
    /// otherwise in the user's cache folder. The file may not exist.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if the user has no cache folder.
    pub fn path(info: &wgpu::AdapterInfo) -> Result<PathBuf> {
        let folder = match std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => {
                let strategy = etcetera::choose_base_strategy().map_err(|e| {
                    let message = format!("tuning: this user has no cache folder; set {FOLDER} to a folder");
                    Error::new(ErrorKind::File, message).caused_by(e)
                })?;
                strategy.cache_dir().join("ketformer")
            }
        };
        Ok(folder.join(Self::file_name(info)))
    }

    /// File name for an adapter. The version of the driver is stored inside the file.
    pub fn file_name(info: &wgpu::AdapterInfo) -> String {
        let words = format!("{:?} {} {}", info.backend, info.name, info.driver).to_lowercase();
        let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name: String = words.collect::<Vec<_>>().join("-").chars().take(100).collect();
        format!("tuning-{name}.json")
    }

    /// Reads a file. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::File`] with the path if the file cannot be read, is incomplete, or belongs to another adapter,
    /// driver or version.
    pub fn load(path: &Path, info: &wgpu::AdapterInfo) -> Result<Option<Self>> {
        let error = |what: String| {
            let remedy = "`ketformer tune` rewrites it";
            Error::new(ErrorKind::File, format!("tuning: {} {what}; {remedy}", path.display()))
        };
        let text = match fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error("cannot be read and is ignored".into()).caused_by(e)),
            Ok(text) => text,
        };
        let found: TuningFile = serde_json::from_str(&text)
            .map_err(|e| error("is no whole tuning file and is ignored".into()).caused_by(e))?;
        let own = TuningFile::of(info, Self::default());
        let pairs = [
            ("version", &found.version, &own.version),
            ("adapter", &found.adapter, &own.adapter),
            ("driver", &found.driver, &own.driver),
        ];
        match pairs.into_iter().find(|(_, found, own)| found != own) {
            Some((what, found, own)) => Err(error(format!("is for {what} `{found}`, not `{own}`, and is ignored"))),
            None => Ok(Some(found.preferred)),
        }
    }

    /// Writes the file atomically, and creates its parent folders.
    ///
    /// # Errors
    /// [`ErrorKind::File`]; [`ErrorKind::NotFinite`] if a gain cannot be written as JSON.
    pub fn save(&self, path: &Path, info: &wgpu::AdapterInfo) -> Result<()> {
        let remedy = format!("set {FOLDER} to another folder");
        let error = |e| {
            let message = format!("tuning: cannot write {}; {remedy}", path.display());
            Error::new(ErrorKind::File, message).caused_by(e)
        };
        let text = serde_json::to_string_pretty(&TuningFile::of(info, self.clone())).map_err(|e| {
            Error::new(ErrorKind::NotFinite, "tuning: a gain cannot be written as JSON; report this").caused_by(e)
        })?;
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(error)?;
        atomic_write::write(path, (text + "\n").as_bytes(), ["tuning", &remedy])
    }
}
