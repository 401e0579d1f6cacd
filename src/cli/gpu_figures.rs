//! GPUs by their names on the command line.

use ketformer::gpu::GpuFigures;
use ketformer::{Error, ErrorKind, Result};

use super::suggestion;

/// Names of all GPUs with figures.
pub fn names() -> String {
    GpuFigures::ALL.iter().map(|figures| figures.key).collect::<Vec<_>>().join(", ")
}

/// Figures of the GPU called `key`, for `command`.
///
/// # Errors
/// `ErrorKind::Settings` with the closest name, if there is no such GPU.
pub fn find(command: &str, key: &str) -> Result<&'static GpuFigures> {
    GpuFigures::find(key).ok_or_else(|| {
        let near = suggestion::closest(key, GpuFigures::ALL.iter().map(|figures| figures.key));
        let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
        let message = format!("{command}: no figures of a GPU `{key}`; {near}there are {}", names());
        Error::new(ErrorKind::Settings, message)
    })
}
