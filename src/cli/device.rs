//! Opening of the GPU that a command's arguments select.

use ketformer::Result;
use ketformer::gpu::{Gpu, Tuning};
use ketformer::kernels::tuning_doubt;

use crate::cli::arguments::AdapterArguments;
use crate::cli::output;

/// Opens the adapter. Warns if its tuning file, or an entry of the file, cannot be used.
///
/// # Errors
/// Errors of [`Gpu::with_options`].
pub fn open(arguments: &AdapterArguments) -> Result<Gpu> {
    let gpu = Gpu::with_options(&arguments.gpu_options())?;
    if let Some(warning) = gpu.tuning_warning() {
        output::warning(warning);
    } else if let (Some(doubt), Ok(path)) = (tuning_doubt(&gpu, gpu.tuning()), Tuning::path(gpu.info())) {
        let remedy = "`ketformer tune` rewrites it";
        output::warning(&format!("tuning: {} {doubt}, which is ignored; {remedy}", path.display()));
    }
    Ok(gpu)
}
