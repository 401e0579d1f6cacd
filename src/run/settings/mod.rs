//! `settings.json`: resolved settings of a run and the command that reproduces it.

mod check;
mod ending;

pub use ending::{Ending, RunEnd, RunState, WeightsOrigin};

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};

use super::WRITER;

/// Record of a run, written before its first step and again at each checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// Command that reproduces the run.
    pub command: String,
    /// Version of this crate.
    pub version: String,
    /// Date and time of the beginning in UTC (RFC 3339); `None` in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// Wall time of training in seconds, including checkpoints and earlier parts of a resumed run; `None` in files of
    /// earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_seconds: Option<f64>,
    /// Adapter on which the run began.
    pub adapter: AdapterRecord,
    /// Seed, drawn or given.
    pub seed: u64,
    /// Number of trained parameters of the model.
    pub parameters: usize,
    /// Size of the GPU buffers in bytes.
    pub gpu_bytes: u64,
    /// Resumptions with other settings or on another adapter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumptions: Vec<Resumption>,
    /// Losses of the device from which the run recovered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_losses: Vec<DeviceLoss>,
    /// End of the run; `None` while it is in progress, if the program was killed, and in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<RunEnd>,
    /// Group `train`, with every value used; empty for a run of a GPT, whose group is `gpt`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub train: Map<String, Value>,
    /// Groups of the wave function and the Hamiltonian, such as `ptf` and `rydberg`, or of a GPT, each a sibling of
    /// `train` in the file.
    #[serde(flatten)]
    pub groups: BTreeMap<String, Map<String, Value>>,
}

/// Resumption of a run with other settings or on another adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resumption {
    /// Last step before the resumption.
    pub step: u64,
    /// Adapter after it.
    pub adapter: AdapterRecord,
    /// Changed settings, as KEY=VALUE.
    pub changes: Vec<String>,
}

/// Loss of the device from which a run recovered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceLoss {
    /// Last reported step before the loss.
    pub step: u64,
    /// Step of the checkpoint from which the run resumed.
    pub resumed_from: u64,
}

/// Adapter of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterRecord {
    /// Its name.
    pub name: String,
    /// `Vulkan`, `Metal` or `Dx12`.
    pub backend: String,
    /// `DiscreteGpu`, `IntegratedGpu`, `Cpu`, …
    pub kind: String,
    /// Name of the driver.
    pub driver: String,
    /// Version of the driver.
    pub driver_info: String,
}

impl From<&wgpu::AdapterInfo> for AdapterRecord {
    fn from(info: &wgpu::AdapterInfo) -> Self {
        Self {
            name: info.name.clone(),
            backend: format!("{:?}", info.backend),
            kind: format!("{:?}", info.device_type),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
        }
    }
}

impl AdapterRecord {
    /// Name and driver in one line.
    pub fn described(&self) -> String {
        format!("{} ({} {})", self.name, self.driver, self.driver_info)
    }
}

impl RunSettings {
    /// Adapter of the last resumption, or of the beginning if there is none.
    pub fn last_adapter(&self) -> &AdapterRecord {
        self.resumptions.last().map_or(&self.adapter, |resumption| &resumption.adapter)
    }

    /// Name of the group of a run of a wave function, which is a field.
    pub const TRAIN: &str = "train";
    /// Name of the group of a run of a GPT.
    pub const GPT: &str = "gpt";

    /// Whether the run is one of a GPT.
    pub fn is_gpt(&self) -> bool {
        self.groups.contains_key(Self::GPT)
    }

    /// Settings of the group called `name`.
    pub fn group(&self, name: &str) -> Option<&Map<String, Value>> {
        if name == Self::TRAIN { Some(&self.train) } else { self.groups.get(name) }
    }

    /// Returns the settings after a resumption, with those of the group called `name` replaced.
    pub fn resumed(mut self, resumption: Resumption, name: &str, settings: Map<String, Value>) -> Self {
        self.resumptions.push(resumption);
        match name {
            Self::TRAIN => self.train = settings,
            _ => _ = self.groups.insert(name.into(), settings),
        }
        self
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).map_err(|cause| {
            Error::new(ErrorKind::File, "settings.json: cannot be encoded; report this").caused_by(cause)
        })?;
        text.push('\n');
        atomic_write::write(path, text.as_bytes(), WRITER)
    }

    /// Reads the file and checks all of it: version, fields, their types, and that there are no others. What the groups
    /// contain is not checked.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be read, is not such a file, or is from a newer version.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|cause| {
            let text = format!("settings.json: cannot read {shown}; give the folder of a run, such as out/1");
            Error::new(ErrorKind::File, text).caused_by(cause)
        })?;
        check::parsed(&text).map_err(|fault| Error::new(ErrorKind::File, fault.message(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> RunSettings {
        let text = |text: &str| text.to_string();
        let group = |key: &str, value: Value| Map::from_iter([(text(key), value)]);
        RunSettings {
            command: text("ketformer train L=16"),
            version: text("0.1.0"),
            started: Some(text("2026-12-01T08:32:54Z")),
            wall_seconds: Some(223.418),
            adapter: AdapterRecord {
                name: text("llvmpipe"),
                backend: text("Vulkan"),
                kind: text("Cpu"),
                driver: text("llvmpipe"),
                driver_info: text("Mesa"),
            },
            seed: u64::MAX,
            parameters: 276_752,
            gpu_bytes: 1 << 30,
            resumptions: Vec::new(),
            device_losses: Vec::new(),
            ended: None,
            train: group("lr", 5e-4.into()),
            groups: BTreeMap::from([
                (text("ptf"), group("patch", "2x2".into())),
                (text("rydberg"), group("V", 0.1.into())),
            ]),
        }
    }

    #[test]
    fn settings_read_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        let settings = settings();
        settings.save(&path).unwrap();
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert!(file["ptf"]["patch"] == "2x2" && file["rydberg"]["V"] == 0.1 && file["train"]["lr"] == 5e-4, "{file}");
        assert!(file["started"] == "2026-12-01T08:32:54Z" && file["wall_seconds"] == 223.418, "{file}");
        assert_eq!(RunSettings::load(&path).unwrap(), settings);
    }

    #[test]
    fn files_without_date_and_wall_time_are_read_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        let mut file = serde_json::to_value(settings()).unwrap();
        for key in ["started", "wall_seconds"] {
            file.as_object_mut().unwrap().remove(key).unwrap();
        }
        fs::write(&path, file.to_string()).unwrap();
        let old = RunSettings::load(&path).unwrap();
        assert_eq!(old, RunSettings { started: None, wall_seconds: None, ..settings() });
        old.save(&path).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(&path).unwrap()).unwrap(), file);
    }

    #[test]
    fn foreign_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        assert!(RunSettings::load(&path).unwrap_err().to_string().contains("out/1"));
        for text in ["", "{", "{\"train\": {\"L\": 16}}", "[]"] {
            fs::write(&path, text).unwrap();
            assert!(RunSettings::load(&path).unwrap_err().to_string().contains("weights"), "{text}");
        }
    }
}
