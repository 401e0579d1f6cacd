//! Newest weights of a run folder: those of the weights file or of a checkpoint.
//!
//! A run writes a checkpoint, then its weights in a separate file. A program that is killed in between leaves a weights
//! file that is older than the checkpoint. The weights file only is newer than every intact checkpoint if the checkpoint
//! that belongs to it is damaged or was deleted.

use std::path::Path;

use super::MODEL_FILE;
use super::checkpoints::newest_checkpoint;
use crate::error::{Error, Result};
use crate::model::Weights;

/// Newest intact weights of a run folder.
#[derive(Debug)]
pub struct NewestWeights {
    /// The weights.
    pub weights: Weights,
    /// Step after which they were saved; `None` if only the weights file is intact, which does not contain it.
    pub step: Option<u64>,
    /// Files that were not used because they are damaged or older, one line each.
    pub warnings: Vec<String>,
}

/// Reads the newest intact weights of `folder`.
///
/// # Errors
/// [`crate::ErrorKind::File`] or [`crate::ErrorKind::Weights`] if neither the weights file nor a checkpoint is intact.
pub fn newest_weights(folder: &Path) -> Result<NewestWeights> {
    newest_weights_by(folder, |path| Weights::load(path))
}

/// Reads the newest intact weights of `folder`, the weights file with `load`.
///
/// # Errors
/// As [`newest_weights`] and `load`.
pub fn newest_weights_by(folder: &Path, load: impl FnOnce(&Path) -> Result<Weights>) -> Result<NewestWeights> {
    let path = folder.join(MODEL_FILE);
    let file = load(&path);
    let used = |step: u64| format!("the weights of the checkpoint of step {step} are used");
    match (newest_checkpoint(folder), file) {
        (Ok(None), file) => Ok(NewestWeights { weights: file?, step: None, warnings: Vec::new() }),
        (Err(error), Err(_)) => Err(error),
        (Err(error), Ok(weights)) => {
            let warnings = vec![format!("{}; the weights of {MODEL_FILE} are used", first_part(&error))];
            Ok(NewestWeights { weights, step: None, warnings })
        }
        (Ok(Some(newest)), file) => {
            let step = newest.checkpoint.step;
            // The weights file can belong to a damaged checkpoint, which was newer.
            let is_newer =
                |weights: &Weights| !newest.damaged.is_empty() && !same_bits(weights, &newest.checkpoint.weights);
            let use_file = file.as_ref().is_ok_and(is_newer);
            let instead = if use_file { format!("the weights of {MODEL_FILE} are used") } else { used(step) };
            let mut warnings: Vec<String> = newest.damaged.iter().map(|error| format!("{error}; {instead}")).collect();
            match file {
                Ok(weights) if use_file => return Ok(NewestWeights { weights, step: None, warnings }),
                Ok(weights) if same_bits(&weights, &newest.checkpoint.weights) => {}
                Ok(_) if step > 0 => {
                    warnings.push(format!("{} is older than the newest checkpoint; {}", path.display(), used(step)));
                }
                Ok(_) => warnings.push(format!("{} is not of this run; {}", path.display(), used(step))),
                Err(error) if path.exists() => warnings.push(format!("{}; {}", first_part(&error), used(step))),
                Err(_) => {}
            }
            Ok(NewestWeights { weights: newest.checkpoint.weights, step: Some(step), warnings })
        }
    }
}

/// Whether all tensors have the same names, shapes and bits.
fn same_bits(a: &Weights, b: &Weights) -> bool {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    a.tensors.keys().eq(b.tensors.keys())
        && a.tensors
            .values()
            .zip(b.tensors.values())
            .all(|(a, b)| a.shape == b.shape && bits(&a.values) == bits(&b.values))
}

/// The message without its remedy.
fn first_part(error: &Error) -> String {
    error.to_string().split(';').next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::model::Tensor;
    use crate::run::save_checkpoint;
    use crate::vmc::Checkpoint;

    fn checkpoint(step: u64) -> Checkpoint {
        let tensor = Tensor { shape: vec![2], values: vec![step as f32, 1.0] };
        let weights = Weights { tensors: BTreeMap::from([("lin.bias".to_string(), tensor)]) };
        Checkpoint { step, weights, ..Checkpoint::default() }
    }

    #[test]
    fn the_newest_intact_state_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (path, model) = (folder.path(), folder.path().join(MODEL_FILE));
        let of_step = |step: u64| checkpoint(step).weights;
        let found = || newest_weights(path).map(|newest| (newest.weights, newest.step, newest.warnings.len()));
        assert!(found().unwrap_err().to_string().contains(MODEL_FILE));
        of_step(5).save(&model).unwrap();
        assert_eq!(found().unwrap(), (of_step(5), None, 0));
        save_checkpoint(path, &checkpoint(5)).unwrap();
        assert_eq!(found().unwrap(), (of_step(5), Some(5), 0));
        // Killed before the weights file was written.
        save_checkpoint(path, &checkpoint(10)).unwrap();
        assert_eq!(found().unwrap(), (of_step(10), Some(10), 1));
        fs::write(&model, "damaged").unwrap();
        assert_eq!(found().unwrap(), (of_step(10), Some(10), 1));
        fs::remove_file(&model).unwrap();
        assert_eq!(found().unwrap(), (of_step(10), Some(10), 0));
        // The checkpoint is damaged, and the weights file is intact or older.
        fs::write(path.join("checkpoint-000000010.safetensors"), "damaged").unwrap();
        assert_eq!(found().unwrap(), (of_step(5), Some(5), 1));
        of_step(10).save(&model).unwrap();
        assert_eq!(found().unwrap(), (of_step(10), None, 1));
        of_step(5).save(&model).unwrap();
        assert_eq!(found().unwrap(), (of_step(5), Some(5), 1));
        fs::write(path.join("checkpoint-000000005.safetensors"), "damaged").unwrap();
        assert_eq!(found().unwrap(), (of_step(5), None, 1));
    }
}
