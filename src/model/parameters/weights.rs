//! Named tensors in memory and as safetensors files under PyTorch's state_dict names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::foreign;
use super::layout::Layout;
#[cfg(not(target_arch = "wasm32"))]
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

/// Weights of a file, with what was left out of it.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct LoadedWeights {
    /// The weights, without [`LoadedWeights::prefix`].
    pub weights: Weights,
    /// Name and type of each tensor of integers or truth values, which no model has, such as counters of batches.
    pub left_out: Vec<(String, String)>,
    /// Prefix of wrappers of PyTorch that was removed from most names, such as `module.`; empty if there was none.
    pub prefix: String,
}

/// Prefixes that wrappers of PyTorch add to the names of a state_dict: `DataParallel`, `torch.compile`, and modules of
/// training frameworks.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];

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

/// Whether a type is of integers or truth values.
fn is_discrete(dtype: Dtype) -> bool {
    use Dtype::{BOOL, I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(dtype, BOOL | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
}

/// Longest prefix of [`WRAPPERS`] that more than half of the names have.
fn wrapper(names: &[String]) -> String {
    let mut prefix = String::new();
    let is_common = |prefix: &str| 2 * names.iter().filter(|name| name.starts_with(prefix)).count() > names.len();
    while let Some(next) = WRAPPERS.iter().map(|wrapper| format!("{prefix}{wrapper}")).find(|next| is_common(next)) {
        prefix = next;
    }
    prefix
}

impl LoadedWeights {
    /// Reads a safetensors file of F32, F64, F16 or BF16 tensors. Tensors of integers and truth values are left out.
    /// Prefixes of wrappers of PyTorch (`module.`, `_orig_mod.`, `model.`) are removed if most names have them.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if it cannot be read, [`ErrorKind::Weights`] if it is not a safetensors file, is truncated,
    /// holds other types, or two of its names differ only in the prefix.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| {
            let message = format!("weights {} cannot be read; give the path of a .safetensors file", path.display());
            Error::new(ErrorKind::File, message).caused_by(e)
        })?;
        Self::from_bytes(path, &bytes)
    }

    /// Reads `bytes`, the contents of a file as of `LoadedWeights::load`. Errors name the file by `name`.
    ///
    /// # Errors
    /// As `LoadedWeights::load`.
    pub fn from_bytes(name: impl AsRef<Path>, bytes: &[u8]) -> Result<Self> {
        let path = name.as_ref();
        let shown = path.display();
        let error = |message: String| Error::new(ErrorKind::Weights, message);
        if let Some(format) = foreign::described(path, bytes) {
            return Err(error(format!("weights {shown} must be a safetensors file, and it is {format}")));
        }
        let foreign =
            |e| error(format!("{shown} is not a complete safetensors file; save the weights again")).caused_by(e);
        let file = SafeTensors::deserialize(bytes).map_err(foreign)?;
        let prefix = wrapper(&file.names().into_iter().map(String::from).collect::<Vec<_>>());
        let mut loaded = Self { prefix, ..Self::default() };
        for (name, view) in file.tensors() {
            let name = name.strip_prefix(&loaded.prefix).map_or(name.clone(), String::from);
            if ALIASES.iter().any(|alias| name.starts_with(alias)) {
                continue;
            }
            if is_discrete(view.dtype()) {
                loaded.left_out.push((name, format!("{:?}", view.dtype())));
                continue;
            }
            let values = values_of(&view)
                .ok_or_else(|| error(format!("{shown}: tensor `{name}` is {:?}; convert it to F32", view.dtype())))?;
            let tensor = Tensor { shape: view.shape().to_vec(), values };
            if loaded.weights.tensors.insert(name.clone(), tensor).is_some() {
                let prefix = &loaded.prefix;
                return Err(error(format!("{shown} holds both `{name}` and `{prefix}{name}`; keep one of them")));
            }
        }
        Ok(loaded)
    }

    /// The weights, for a model with this layout.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if the model needs a tensor that was left out.
    pub fn for_layout(self, layout: &Layout) -> Result<Weights> {
        match self.left_out.iter().find(|(name, _)| layout.slot(name).is_ok()) {
            Some((name, dtype)) => {
                let message = format!("tensor `{name}` is {dtype}, the model needs floats; convert it to F32");
                Err(Error::new(ErrorKind::Weights, message))
            }
            None => Ok(self.weights),
        }
    }
}

impl Weights {
    /// Reads the weights of a safetensors file. [`LoadedWeights::load`] also returns what is left out of them.
    ///
    /// # Errors
    /// As [`LoadedWeights::load`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(LoadedWeights::load(path)?.weights)
    }

    /// Reads the contents of a safetensors file, such as a download. Errors name the file by `name`.
    /// [`LoadedWeights::from_bytes`] also returns what is left out.
    ///
    /// # Errors
    /// As [`LoadedWeights::from_bytes`].
    pub fn from_bytes(name: impl AsRef<Path>, bytes: &[u8]) -> Result<Self> {
        Ok(LoadedWeights::from_bytes(name, bytes)?.weights)
    }

    /// Returns the contents of a safetensors file.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if a shape is not that of its values.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let failed = |e| {
            let message = "weights cannot be stored as safetensors; give each tensor the shape of its values";
            Error::new(ErrorKind::Weights, message).caused_by(e)
        };
        let mut views = Vec::new();
        for (name, tensor) in &self.tensors {
            let bytes = bytemuck::cast_slice(&tensor.values);
            views.push((name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(failed)?));
        }
        let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        safetensors::serialize(views, Some(metadata)).map_err(failed)
    }

    /// Writes a safetensors file: to a temporary file next to `path`, which is then renamed to `path`. `path` is never
    /// partially written.
    ///
    /// # Errors
    /// [`ErrorKind::File`] if the file cannot be written; as [`Weights::to_bytes`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        atomic_write::write(path.as_ref(), &self.to_bytes()?, ["weights", "choose another folder"])
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Initial, ParameterSpec};
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
    fn bytes_are_those_of_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tensor = Tensor { shape: vec![2], values: vec![1.5, -2.0] };
        let weights = Weights { tensors: BTreeMap::from([("a".to_string(), tensor.clone())]) };
        weights.save(file.path()).unwrap();
        let bytes = weights.to_bytes().unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), bytes);
        assert_eq!(Weights::from_bytes("download", &bytes).unwrap(), weights);
        let error = Weights::from_bytes("download", &bytes[..20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights);
        assert!(error.to_string().starts_with("download is not a complete safetensors file"), "{error}");
        let tensor = Tensor { shape: vec![3], ..tensor };
        let error = Weights { tensors: BTreeMap::from([("a".to_string(), tensor)]) }.to_bytes().unwrap_err();
        assert!(error.to_string().contains("give each tensor the shape of its values"), "{error}");
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

    /// File with these tensors of one element.
    fn file(tensors: &[(&str, Dtype)]) -> tempfile::NamedTempFile {
        let bytes = [0u8; 8];
        let view = |dtype: Dtype| TensorView::new(dtype, vec![1], &bytes[..dtype.bitsize() / 8]).unwrap();
        let views = tensors.iter().map(|(name, dtype)| (*name, view(*dtype)));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), safetensors::serialize(views, None).unwrap()).unwrap();
        file
    }

    #[test]
    fn prefixes_of_wrappers_are_removed() {
        let names = |prefix: &str, more: &[(&str, Dtype)]| {
            let own = ["a.weight", "a.bias", "b.weight"].map(|name| (format!("{prefix}{name}"), Dtype::F32));
            let own = own.iter().map(|(name, dtype)| (name.as_str(), *dtype));
            let loaded = LoadedWeights::load(file(&own.chain(more.iter().copied()).collect::<Vec<_>>()).path());
            loaded.map(|loaded| (loaded.prefix, loaded.weights.tensors.into_keys().collect::<Vec<_>>().join(" ")))
        };
        for prefix in
            ["", "module.", "_orig_mod.", "model.", "module._orig_mod.", "model.module.model.", "_orig_mod.module."]
        {
            assert_eq!(names(prefix, &[]).unwrap(), (prefix.into(), "a.bias a.weight b.weight".into()));
        }
        // Not all names.
        assert_eq!(names("module.", &[("c", Dtype::F32)]).unwrap().1, "a.bias a.weight b.weight c");
        assert_eq!(names("", &[("module.c", Dtype::F32)]).unwrap().1, "a.bias a.weight b.weight module.c");
        let twice = names("module.", &[("a.bias", Dtype::F32)]).unwrap_err().to_string();
        assert!(twice.contains("both `a.bias` and `module.a.bias`"), "{twice}");
        // Parts that the public code saves a second time.
        assert_eq!(names("module.", &[("module.lin0.weight", Dtype::F32)]).unwrap().1, "a.bias a.weight b.weight");
    }

    #[test]
    fn integers_are_left_out_unless_a_model_needs_them() {
        let file = file(&[("a", Dtype::F32), ("n", Dtype::I64), ("ids", Dtype::I32), ("mask", Dtype::BOOL)]);
        let loaded = LoadedWeights::load(file.path()).unwrap();
        assert_eq!(loaded.weights.tensors.keys().collect::<Vec<_>>(), ["a"]);
        let mut left_out: Vec<String> = loaded.left_out.iter().map(|(name, dtype)| format!("{name} {dtype}")).collect();
        left_out.sort();
        assert_eq!(left_out, ["ids I32", "mask BOOL", "n I64"]);
        let layout = |name: &str| {
            let initial = Initial::Constant(0.0);
            Layout::new(vec![ParameterSpec { name: name.into(), shape: vec![1], initial }])
        };
        assert!(loaded.clone().for_layout(&layout("a")).is_ok());
        let error = loaded.for_layout(&layout("n")).unwrap_err().to_string();
        assert!(error.contains("`n` is I64"), "{error}");
    }

    #[test]
    fn other_formats_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\x80\x02}q\x00.").unwrap();
        let error = Weights::load(file.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights);
        assert!(error.to_string().contains("it is a pickle of PyTorch or Python; convert it"), "{error}");
    }
}
