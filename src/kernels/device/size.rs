//! Coarse estimates of a GPU's size, from which kernels choose tiles. No result depends on them.

use crate::gpu::Gpu;

/// PCI vendors of GPUs with 256 registers per invocation: AMD and NVIDIA.
const WIDE: [u32; 2] = [0x1002, 0x10de];

/// Estimated number of compute units: independent processors that each run a few workgroups at a time.
pub(crate) fn compute_units(gpu: &Gpu) -> u32 {
    match gpu.info().device_type {
        wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => 64,
        _ => 16,
    }
}

/// Whether registers for a tile of 8 × 8 sums and its operands leave room for several subgroups on a processor. They do
/// not on AMD's GPUs with subgroups of 64 only (GCN), which hold half as many.
pub(crate) fn has_many_registers(gpu: &Gpu) -> bool {
    WIDE.contains(&gpu.info().vendor) && gpu.info().subgroup_min_size <= 32
}
