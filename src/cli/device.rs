//! The GPU of a command, opened as its arguments say.

use ketformer::Result;
use ketformer::gpu::{Gpu, Tuning};
use ketformer::kernels::choice::tuning_doubt;

use super::arguments::AdapterArguments;
use super::output;

/// Opens the adapter; warns of a tuning file that is of no use, or of what in it is not.
///
/// # Errors
/// As [`Gpu::with_options`].
pub fn open(arguments: &AdapterArguments) -> Result<Gpu> {
    let gpu = Gpu::with_options(&arguments.gpu_options())?;
    if let Some(warning) = gpu.tuning_warning() {
        output::warning(warning);
    } else if let (Some(doubt), Ok(path)) = (tuning_doubt(&gpu, gpu.tuning()), Tuning::path(&gpu)) {
        let remedy = "`ketformer tune` writes it anew, `ketformer tune --forget` deletes it";
        output::warning(&format!("tuning: {} {doubt}, which is ignored; {remedy}", path.display()));
    }
    Ok(gpu)
}
