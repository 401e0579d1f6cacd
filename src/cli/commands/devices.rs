//! `ketformer devices`: list of the adapters with their limits and features.

use ketformer::Result;
use ketformer::gpu;

use crate::cli::output::number;
use crate::cli::{Outcome, output};

/// Lists the adapters, their limits and the features that kernels use.
///
/// # Errors
/// `ErrorKind::Adapter` if there is none.
pub fn run() -> Result<Outcome> {
    let adapters = gpu::adapters();
    if adapters.is_empty() {
        return Err(gpu::no_adapter());
    }
    for gpu::AdapterSummary { index, info, limits, features } in adapters {
        output::line(format!("{index}  {}", info.name));
        let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
        output::line(format!("   {:?}, {:?}, driver {}", info.device_type, info.backend, driver.trim()));
        output::line(format!(
            "   buffer {}, binding {}, workgroup memory {}, invocations {}, storage buffers {}, subgroups {}..{}",
            number::bytes(limits.max_buffer_size),
            number::bytes(limits.max_storage_buffer_binding_size),
            number::bytes(limits.max_compute_workgroup_storage_size.into()),
            limits.max_compute_invocations_per_workgroup,
            limits.max_storage_buffers_per_shader_stage,
            info.subgroup_min_size,
            info.subgroup_max_size,
        ));
        let wanted = [
            ("subgroups", wgpu::Features::SUBGROUP),
            ("f16", wgpu::Features::SHADER_F16),
            ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
            ("pipeline cache", wgpu::Features::PIPELINE_CACHE),
        ];
        let has: Vec<&str> =
            wanted.iter().filter(|(_, feature)| features.contains(*feature)).map(|(name, _)| *name).collect();
        output::line(format!("   features: {}", if has.is_empty() { "none".into() } else { has.join(", ") }));
    }
    Ok(Outcome::Done)
}
