//! What was measured to be faster on an adapter than the rules' own choices, and the file that keeps it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use super::Gpu;
use crate::error::{Error, ErrorKind, Result};
use crate::whole_file;

/// Names the folder of the file instead of the user's cache folder.
const FOLDER: &str = "KETFORMER_CACHE";

/// A form of a kernel that was faster than the one that its rule takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preferred {
    /// Name of the form to take.
    pub form: String,
    /// The form that the rule took when it was measured.
    pub instead_of: String,
    /// Its time over that of `form`.
    pub gain: f64,
}

/// Which forms of kernels were faster than the rules' own choices, by kernel and class of shapes. Forms that may be
/// preferred give the same bits, so that a tuning changes times and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning(BTreeMap<String, BTreeMap<String, Preferred>>);

/// The file: whose it is, and what was found.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TuningFile {
    version: String,
    adapter: String,
    driver: String,
    preferred: Tuning,
}

impl TuningFile {
    /// The file that the adapter of `gpu` and this version of the crate write and accept.
    fn of(gpu: &Gpu, preferred: Tuning) -> Self {
        let info = gpu.info();
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            adapter: info.name.clone(),
            driver: format!("{:?} {} {}", info.backend, info.driver, info.driver_info).trim().into(),
            preferred,
        }
    }
}

impl Tuning {
    /// Prefers a form of `kernel` for the shapes of `class`.
    pub fn set(&mut self, kernel: &str, class: &str, preferred: Preferred) {
        self.0.entry(kernel.into()).or_default().insert(class.into(), preferred);
    }

    /// The form that is preferred, if one is.
    pub fn get(&self, kernel: &str, class: &str) -> Option<&Preferred> {
        self.0.get(kernel)?.get(class)
    }

    /// All that is preferred: kernel, class, form.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Preferred)> {
        self.0.iter().flat_map(|(kernel, classes)| {
            classes.iter().map(move |(class, preferred)| (kernel.as_str(), class.as_str(), preferred))
        })
    }

    /// Whether the rules decide everything.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The file of the adapter of `gpu`, in the folder that the environment variable `KETFORMER_CACHE` names, else in the
    /// user's cache folder. It need not exist.
    ///
    /// # Errors
    /// [`ErrorKind::File`] where the user has no such folder.
    pub fn path(gpu: &Gpu) -> Result<PathBuf> {
        let folder = match std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => {
                let strategy = etcetera::choose_base_strategy().map_err(|e| {
                    let message = format!("tuning: this user has no cache folder; name a folder by {FOLDER}");
                    Error::new(ErrorKind::File, message).caused_by(e)
                })?;
                strategy.cache_dir().join("ketformer")
            }
        };
        Ok(folder.join(Self::file_name(gpu)))
    }

    /// The name of the file of the adapter of `gpu`; the version of its driver is inside.
    pub fn file_name(gpu: &Gpu) -> String {
        let info = gpu.info();
        let words = format!("{:?} {} {}", info.backend, info.name, info.driver).to_lowercase();
        let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name: String = words.collect::<Vec<_>>().join("-").chars().take(100).collect();
        format!("tuning-{name}.json")
    }

    /// Reads a file; nothing where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::File`], naming the file, where it cannot be read, is not whole, or belongs to another adapter, driver
    /// or version.
    pub fn load(path: &Path, gpu: &Gpu) -> Result<Option<Self>> {
        let error = |what: String| {
            let remedy = "`ketformer tune` writes it anew, `ketformer tune --forget` deletes it";
            Error::new(ErrorKind::File, format!("tuning: {} {what}; {remedy}", path.display()))
        };
        let text = match fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error("cannot be read and is ignored".into()).caused_by(e)),
            Ok(text) => text,
        };
        let found: TuningFile = serde_json::from_str(&text)
            .map_err(|e| error("is no whole tuning file and is ignored".into()).caused_by(e))?;
        let own = TuningFile::of(gpu, Self::default());
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

    /// Writes the file, whole or not at all, and the folders above it.
    ///
    /// # Errors
    /// [`ErrorKind::File`].
    pub fn save(&self, path: &Path, gpu: &Gpu) -> Result<()> {
        let remedy = format!("name another folder by {FOLDER}");
        let error = |e| {
            let message = format!("tuning: cannot write {}; {remedy}", path.display());
            Error::new(ErrorKind::File, message).caused_by(e)
        };
        let text = serde_json::to_string_pretty(&TuningFile::of(gpu, self.clone())).map_err(|e| {
            Error::new(ErrorKind::NotFinite, "tuning: a gain has no JSON form; report this").caused_by(e)
        })?;
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(error)?;
        whole_file::write(path, (text + "\n").as_bytes(), ["tuning", &remedy])
    }

    /// Deletes a file; says whether there was one.
    ///
    /// # Errors
    /// [`ErrorKind::File`] where it is there and stays.
    pub fn forget(path: &Path) -> Result<bool> {
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => {
                let message = format!("tuning: cannot delete {}; delete it by hand", path.display());
                Err(Error::new(ErrorKind::File, message).caused_by(e))
            }
        }
    }
}
