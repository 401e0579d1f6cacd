//! Named tensors in memory and as safetensors files under PyTorch's state_dict names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};

/// A tensor of 32-bit floats, row-major.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// Elements.
    pub values: Vec<f32>,
}

/// Weights of a model, by state_dict name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// Prefixes under which the public PyTorch code saves parts of `lin` a second time. They share storage and are skipped
/// on loading.
const ALIASES: [&str; 2] = ["lin0.", "lin1."];

fn values_of(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Some(bytemuck::pod_collect_to_vec(bytes)),
        Dtype::F64 => Some(bytemuck::pod_collect_to_vec::<u8, f64>(bytes).iter().map(|v| *v as f32).collect()),
        Dtype::F16 => Some(
            bytemuck::pod_collect_to_vec::<u8, u16>(bytes).iter().map(|v| half::f16::from_bits(*v).to_f32()).collect(),
        ),
        Dtype::BF16 => Some(
            bytemuck::pod_collect_to_vec::<u8, u16>(bytes).iter().map(|v| half::bf16::from_bits(*v).to_f32()).collect(),
        ),
        _ => None,
    }
}

impl Weights {
    /// Reads a safetensors file of F32, F64, F16 or BF16 tensors.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be read, [`ErrorKind::Weights`] if it is not a safetensors file, is truncated
    /// or holds other types.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|e| {
            let message = format!("weights {shown} cannot be read; give the path of a .safetensors file");
            Error::new(ErrorKind::File, message).caused_by(e)
        })?;
        let foreign = |e| {
            let message = format!("{shown} is not a complete safetensors file; save the weights again");
            Error::new(ErrorKind::Weights, message).caused_by(e)
        };
        let file = SafeTensors::deserialize(&bytes).map_err(foreign)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            if ALIASES.iter().any(|alias| name.starts_with(alias)) {
                continue;
            }
            let values = values_of(&view).ok_or_else(|| {
                let message = format!("{shown}: tensor `{name}` is {:?}; convert it to F32", view.dtype());
                Error::new(ErrorKind::Weights, message)
            })?;
            tensors.insert(name, Tensor { shape: view.shape().to_vec(), values });
        }
        Ok(Self { tensors })
    }

    /// Writes a safetensors file: to a temporary file next to `path`, which is then renamed to `path`. `path` is never
    /// partially written.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
            let message = format!("weights {} cannot be written; check the folder and the free space", path.display());
            Error::new(ErrorKind::File, message).caused_by(e)
        };
        let mut views = Vec::new();
        for (name, tensor) in &self.tensors {
            let bytes = bytemuck::cast_slice(&tensor.values);
            views.push((name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(|e| failed(e.into()))?));
        }
        let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| failed(e.into()))?;
        atomic_write::write(path, &bytes, ["weights", "choose another folder"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensor = Tensor { shape: vec![2, 3], values: vec![1.0, -2.5, 3.0, 1e-30, 5.0, f32::MAX] };
        let weights = Weights { tensors: BTreeMap::from([("lin.0.weight".to_string(), tensor)]) };
        weights.save(&path).unwrap();
        assert_eq!(Weights::load(&path).unwrap(), weights);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
    }

    #[test]
    fn a_truncated_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.safetensors");
        let tensor = Tensor { shape: vec![64], values: vec![1.0; 64] };
        Weights { tensors: BTreeMap::from([("a".to_string(), tensor)]) }.save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for keep in [0, 7, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..keep]).unwrap();
            let error = Weights::load(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Weights);
            assert!(error.to_string().contains("cut.safetensors"), "{error}");
        }
    }
}
