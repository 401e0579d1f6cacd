//! Checkpoints in a run folder: `checkpoint-STEP.safetensors`, written atomically, verified when read. The
//! [`KEPT_CHECKPOINTS`] newest are kept.
//!
//! A file contains `weights.NAME`, the state of the optimizer (`adam.first.NAME`, …), `chains` if there are Markov
//! chains, and as metadata the step and a CRC-32 of all of it. Equal checkpoints are equal files.
//!
//! The file is written under a temporary name, synced and renamed. The CRC-32 includes names, types, shapes and values.
//! Rows of `metrics.csv` are on disk before the checkpoint that they belong to, and later rows are dropped when a run
//! resumes. The first checkpoint, of step 0, is written before `settings.json`, so that every folder with settings can
//! resume. A locked file allows one program at a time in a folder.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Tensor, Weights};
use crate::run::WRITER;
use crate::vmc::Checkpoint;

/// Number of checkpoints that a run folder keeps.
pub const KEPT_CHECKPOINTS: usize = 2;

const BEGIN: &str = "checkpoint-";
const END: &str = ".safetensors";
const FORMAT: &str = "ketformer checkpoint 1";
const WEIGHTS: &str = "weights.";
const CHAINS: &str = "chains";

/// Newest intact checkpoint of a run folder.
#[derive(Debug)]
#[non_exhaustive]
pub struct Newest {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Errors of the damaged checkpoints that are newer.
    pub damaged: Vec<Error>,
}

/// Writes a checkpoint into `folder` and then removes all but the [`KEPT_CHECKPOINTS`] newest.
///
/// # Errors
/// [`ErrorKind::File`] if it cannot be written; the existing checkpoints are kept in that case.
pub fn save_checkpoint(folder: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let path = folder.join(checkpoint_name(checkpoint.step));
    atomic_write::write(&path, &bytes(checkpoint)?, WRITER)?;
    for (_, old) in checkpoints(folder)?.into_iter().skip(KEPT_CHECKPOINTS) {
        // A file that cannot be removed does no harm.
        fs::remove_file(old).ok();
    }
    Ok(())
}

/// Reads the newest intact checkpoint of `folder`; returns `None` if there is no checkpoint.
///
/// # Errors
/// [`ErrorKind::File`] if all checkpoints are damaged, or the folder cannot be read.
pub fn newest_checkpoint(folder: &Path) -> Result<Option<Newest>> {
    let mut damaged = Vec::new();
    let mut paths = checkpoints(folder)?;
    while !paths.is_empty() {
        let (_, path) = paths.remove(0);
        match load(&path) {
            Ok(checkpoint) => return Ok(Some(Newest { checkpoint, damaged })),
            Err(error) if path.exists() => damaged.push(error),
            // A run in progress has removed it, and written newer ones before.
            Err(_) => {
                damaged.clear();
                paths = checkpoints(folder)?;
            }
        }
    }
    match damaged.len() {
        0 => Ok(None),
        _ => {
            let found: Vec<String> = damaged.iter().map(Error::to_string).collect();
            let text = format!(
                "no checkpoint in {} is whole: {}; begin a new run, perhaps with the weights of another one",
                folder.display(),
                found.join(", ")
            );
            Err(Error::new(ErrorKind::File, text))
        }
    }
}

/// Removes all checkpoints of a folder.
pub(super) fn remove_checkpoints(folder: &Path) {
    for (_, path) in checkpoints(folder).unwrap_or_default() {
        fs::remove_file(path).ok();
    }
}

/// Name of the checkpoint of a step.
pub(super) fn checkpoint_name(step: u64) -> String {
    format!("{BEGIN}{step:09}{END}")
}

/// Step of the checkpoint with this file name; `None` if it is not one.
pub(super) fn checkpoint_step(name: &str) -> Option<u64> {
    name.strip_prefix(BEGIN)?.strip_suffix(END)?.parse().ok()
}

/// Steps and paths of the checkpoints of a folder, newest first.
fn checkpoints(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = fs::read_dir(folder).map_err(|cause| {
        let text = format!("run folder: cannot read {}; give the folder of a run, such as out/1", folder.display());
        Error::new(ErrorKind::File, text).caused_by(cause)
    })?;
    let own = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        Some((checkpoint_step(path.file_name()?.to_str()?)?, path))
    };
    let mut found: Vec<(u64, PathBuf)> = entries.filter_map(own).collect();
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Tensor as stored in the file: type, shape, bytes.
type Stored<'a> = (Dtype, Vec<usize>, Cow<'a, [u8]>);

fn bytes(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let mut stored: BTreeMap<String, Stored<'_>> = BTreeMap::new();
    let weights = checkpoint.weights.tensors.iter().map(|(name, tensor)| (format!("{WEIGHTS}{name}"), tensor));
    let optimizer = checkpoint.optimizer.tensors.iter().map(|(name, tensor)| (name.clone(), tensor));
    for (name, tensor) in weights.chain(optimizer) {
        let values = bytemuck::cast_slice(&tensor.values);
        stored.insert(name, (Dtype::F32, tensor.shape.clone(), values.into()));
    }
    if !checkpoint.chains.is_empty() {
        let words = bytemuck::cast_slice(&checkpoint.chains);
        stored.insert(CHAINS.into(), (Dtype::U32, vec![checkpoint.chains.len()], words.into()));
    }
    // A single entry: the order of several is random, and equal checkpoints must be equal files.
    let step = checkpoint.step;
    let metadata = HashMap::from([(FORMAT.to_string(), format!("step {step} crc32 {}", checksum(step, &stored)))]);
    let failed = |cause: safetensors::SafeTensorError| {
        Error::new(ErrorKind::File, "a checkpoint cannot be encoded; report this").caused_by(cause)
    };
    let mut views = Vec::new();
    for (name, (kind, shape, bytes)) in &stored {
        views.push((name, TensorView::new(*kind, shape.clone(), bytes).map_err(failed)?));
    }
    safetensors::serialize(views, Some(metadata)).map_err(failed)
}

/// CRC-32 of the step and of the names, types, shapes and bytes of all tensors.
fn checksum(step: u64, stored: &BTreeMap<String, Stored<'_>>) -> String {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&step.to_le_bytes());
    for (name, (kind, shape, bytes)) in stored {
        hasher.update(format!("{name} {kind:?} {shape:?}\n").as_bytes());
        hasher.update(bytes);
    }
    format!("{:08x}", hasher.finalize())
}

fn load(path: &Path) -> Result<Checkpoint> {
    let damaged = |what: &str| Error::new(ErrorKind::File, format!("{} {what}", path.display()));
    let bytes = fs::read(path).map_err(|cause| damaged("cannot be read").caused_by(cause))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|cause| damaged("is damaged").caused_by(cause))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|cause| damaged("is damaged").caused_by(cause))?;
    let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(FORMAT));
    let metadata = metadata.ok_or_else(|| damaged("is not a checkpoint of this version"))?;
    let (step, crc32) = metadata
        .strip_prefix("step ")
        .and_then(|text| text.split_once(" crc32 "))
        .and_then(|(step, crc32)| Some((step.parse().ok()?, crc32)))
        .ok_or_else(|| damaged("is damaged"))?;
    let stored = file.tensors().into_iter().map(|(name, view)| {
        let stored = (view.dtype(), view.shape().to_vec(), Cow::from(view.data()));
        (name, stored)
    });
    let stored: BTreeMap<String, Stored<'_>> = stored.collect();
    if crc32 != checksum(step, &stored) {
        return Err(damaged("is damaged: its checksum does not match"));
    }
    let mut checkpoint = Checkpoint { step, ..Checkpoint::default() };
    for (name, (kind, shape, bytes)) in stored {
        match (name.strip_prefix(WEIGHTS), kind) {
            (None, Dtype::U32) if name == CHAINS => checkpoint.chains = bytemuck::pod_collect_to_vec(&bytes),
            (own, Dtype::F32) => {
                let tensor = Tensor { shape, values: bytemuck::pod_collect_to_vec(&bytes) };
                let Checkpoint { weights, optimizer, .. } = &mut checkpoint;
                let (Weights { tensors }, name) =
                    own.map_or((optimizer, name.clone()), |own| (weights, own.to_string()));
                tensors.insert(name, tensor);
            }
            _ => return Err(damaged("contains a tensor that is unknown to this version")),
        }
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(step: u64) -> Checkpoint {
        let weights = |names: &[&str]| {
            let tensor = |i: usize| Tensor { shape: vec![2, i + 1], values: vec![0.5 - step as f32; 2 * (i + 1)] };
            Weights { tensors: names.iter().enumerate().map(|(i, name)| (name.to_string(), tensor(i))).collect() }
        };
        Checkpoint {
            step,
            weights: weights(&["lin.bias", "weights.of"]),
            optimizer: weights(&["adam.first.lin.bias", "adam.state"]),
            chains: vec![7, u32::MAX, 0],
        }
    }

    #[test]
    fn the_two_newest_are_kept_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert!(newest_checkpoint(folder.path()).unwrap().is_none());
        for step in [5, 10, 1_000_000_000_000] {
            save_checkpoint(folder.path(), &checkpoint(step)).unwrap();
            let newest = newest_checkpoint(folder.path()).unwrap().unwrap();
            assert!(newest.checkpoint == checkpoint(step) && newest.damaged.is_empty(), "{newest:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT_CHECKPOINTS);
        let without = Checkpoint { chains: Vec::new(), optimizer: Weights::default(), ..checkpoint(0) };
        let other = tempfile::tempdir().unwrap();
        save_checkpoint(other.path(), &without).unwrap();
        assert_eq!(newest_checkpoint(other.path()).unwrap().unwrap().checkpoint, without);
    }

    /// A change of any byte and any truncation is detected.
    #[test]
    fn damage_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        [5, 10].into_iter().for_each(|step| save_checkpoint(folder.path(), &checkpoint(step)).unwrap());
        let paths: Vec<PathBuf> = checkpoints(folder.path()).unwrap().into_iter().map(|(_, path)| path).collect();
        let whole = fs::read(&paths[0]).unwrap();
        let flipped = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            bytes
        });
        let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
        for bytes in flipped.chain(cut) {
            fs::write(&paths[0], &bytes).unwrap();
            let newest = newest_checkpoint(folder.path()).unwrap().unwrap();
            // A changed byte in white space or in the order of the header does not change what is read.
            let same = newest.checkpoint == checkpoint(10) && newest.damaged.is_empty();
            assert!(same || newest.checkpoint == checkpoint(5), "{newest:?}");
            assert!(same || newest.damaged[0].to_string().contains("checkpoint-000000010"), "{newest:?}");
        }
        fs::write(&paths[1], b"").unwrap();
        let error = newest_checkpoint(folder.path()).unwrap_err().to_string();
        assert!(error.contains("begin a new run") && error.contains("checkpoint-000000005"), "{error}");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_others() {
        let folder = tempfile::tempdir().unwrap();
        save_checkpoint(folder.path(), &checkpoint(5)).unwrap();
        // A folder has the name of the file.
        fs::create_dir(folder.path().join("checkpoint-000000010.safetensors")).unwrap();
        assert_eq!(save_checkpoint(folder.path(), &checkpoint(10)).unwrap_err().kind(), ErrorKind::File);
        assert_eq!(newest_checkpoint(folder.path()).unwrap().unwrap().checkpoint, checkpoint(5));
    }
}
