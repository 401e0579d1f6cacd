//! NumPy arrays, `.npy`.

use std::path::Path;

use npyz::{AutoSerialize, Serialize, WriterBuilder};

use crate::atomic_write;
use crate::error::{Error, ErrorKind, Result};

const WRITER: [&str; 2] = ["npy", "choose another folder"];

/// Writes 64-bit floats in row-major order.
///
/// # Errors
/// [`ErrorKind::File`] if the file cannot be written.
pub fn save_array(path: &Path, shape: &[usize], values: &[f64]) -> Result<()> {
    save(path, shape, values)
}

/// Writes rows of bytes.
///
/// # Errors
/// [`ErrorKind::File`] if the file cannot be written.
pub fn save_bytes(path: &Path, shape: [usize; 2], values: &[u8]) -> Result<()> {
    save(path, &shape, values)
}

fn save<T: Serialize + AutoSerialize + Copy>(path: &Path, shape: &[usize], values: &[T]) -> Result<()> {
    let shape: Vec<u64> = shape.iter().map(|extent| *extent as u64).collect();
    let formed = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
        writer.extend(values.iter().copied())?;
        writer.finish()?;
        Ok(bytes)
    };
    let bytes = formed().map_err(|cause| {
        let text = format!("npy: {} cannot be encoded from {} values; report this", path.display(), values.len());
        Error::new(ErrorKind::File, text).caused_by(cause)
    })?;
    atomic_write::write(path, &bytes, WRITER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        save_array(&path, &[2, 3], &[1.0, -2.0, f64::MIN_POSITIVE, 4.0, f64::INFINITY, 6.5]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!((file.shape(), file.dtype().descr()), (&[2, 3][..], "'<f8'".to_string()));
        assert_eq!(file.into_vec::<f64>().unwrap(), [1.0, -2.0, f64::MIN_POSITIVE, 4.0, f64::INFINITY, 6.5]);
        save_bytes(&path, [3, 2], &[0, 1, 1, 0, 1, 1]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!((file.shape(), file.dtype().descr(), file.order()), (&[3, 2][..], "'|u1'".into(), npyz::Order::C));
        assert!(bytes.ends_with(&[0, 1, 1, 0, 1, 1]));
    }
}
