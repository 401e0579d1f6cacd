//! The sources of all kernels follow the WGSL specification, not only what naga accepts, and what naga writes is accepted
//! by the compilers and validators that receive it. Needs no adapter.

mod operators;
mod programs;

use ketformer::Result;
use ketformer::gpu::{Kernel, Shader};

/// Shaders of a kernel with one constant varied at a time, with a name for each.
fn shaders(kernel: &Kernel, shader: impl Fn(&[(&str, u32)]) -> Result<Shader>) -> Vec<(String, Shader)> {
    let constants = kernel.spec_constants().unwrap();
    let varied = constants.iter().flat_map(|c| c.grid.iter().map(|value| vec![(c.name.as_str(), *value)]));
    let named = |spec: Vec<(&str, u32)>| {
        let suffix: String = spec.iter().map(|(name, value)| format!(".{name}.{value}")).collect();
        (format!("{}{suffix}", kernel.name), shader(&spec).unwrap())
    };
    varied.chain([Vec::new()]).map(named).collect()
}
