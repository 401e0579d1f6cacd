//! Coarse estimates of a GPU's size, from which kernels choose tiles. No result depends on them.

use crate::gpu::Gpu;

/// Vendors of PCI whose GPUs hold 128 floats per invocation in registers and more: AMD and NVIDIA.
const WIDE: [u32; 2] = [0x1002, 0x10de];

/// Estimated number of compute units: independent processors that each run a few workgroups at a time.
pub(crate) fn compute_units(gpu: &Gpu) -> u32 {
    match gpu.info().device_type {
        wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => 64,
        _ => 16,
    }
}

/// Whether an invocation has registers for a tile of 8 × 8 sums and its operands.
pub(crate) fn has_many_registers(gpu: &Gpu) -> bool {
    WIDE.contains(&gpu.info().vendor)
}
