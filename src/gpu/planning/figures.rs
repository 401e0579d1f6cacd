//! Figures of GPUs: compute units, arithmetic, memory bandwidth, subgroups. Kernel selection depends on the number of
//! compute units, and predictions depend on all of them.
//!
//! WebGPU reports neither the number of compute units nor peak rates, so they come from the vendors' data sheets, for a
//! few GPUs of each vendor. [`Gpu::planning`] is a device handle for one of them without the hardware.

use crate::gpu::Gpu;

/// Figures of one GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct GpuFigures {
    /// Short name on the command line.
    pub key: &'static str,
    /// Marketing name, part of the name that the driver reports.
    pub name: &'static str,
    /// Identifier of the vendor by PCI.
    pub vendor: u32,
    /// Discrete or integrated.
    pub device_type: wgpu::DeviceType,
    /// wgpu's backend for it.
    pub backend: wgpu::Backend,
    /// Minimum and maximum number of lanes of a subgroup, as wgpu reports them for this backend.
    pub subgroup_lanes: [u32; 2],
    /// Compute units (AMD), streaming multiprocessors (NVIDIA), Xe cores or dual subslices (Intel), cores (Apple).
    pub compute_units: u32,
    /// 32-bit multiply-adds per compute unit and clock.
    pub lanes: u32,
    /// Boost clock in GHz.
    pub clock_ghz: f64,
    /// Memory bandwidth in GB/s.
    pub memory_gbs: f64,
}

const AMD: u32 = 0x1002;
const APPLE: u32 = 0x106b;
const INTEL: u32 = 0x8086;
const NVIDIA: u32 = 0x10de;
const DISCRETE: wgpu::DeviceType = wgpu::DeviceType::DiscreteGpu;
const INTEGRATED: wgpu::DeviceType = wgpu::DeviceType::IntegratedGpu;

impl GpuFigures {
    /// All GPUs with figures.
    pub const ALL: &[Self] = &[
        Self {
            key: "rx6800",
            name: "Radeon RX 6800",
            vendor: AMD,
            device_type: DISCRETE,
            backend: wgpu::Backend::Vulkan,
            subgroup_lanes: [32, 64],
            compute_units: 60,
            lanes: 64,
            clock_ghz: 2.105,
            memory_gbs: 512.0,
        },
        Self {
            key: "rx7900xtx",
            name: "Radeon RX 7900 XTX",
            vendor: AMD,
            device_type: DISCRETE,
            backend: wgpu::Backend::Vulkan,
            subgroup_lanes: [32, 64],
            compute_units: 96,
            lanes: 128,
            clock_ghz: 2.5,
            memory_gbs: 960.0,
        },
        Self {
            key: "vega64",
            name: "Radeon RX Vega 64",
            vendor: AMD,
            device_type: DISCRETE,
            backend: wgpu::Backend::Vulkan,
            subgroup_lanes: [64, 64],
            compute_units: 64,
            lanes: 64,
            clock_ghz: 1.546,
            memory_gbs: 484.0,
        },
        Self {
            key: "m2",
            name: "Apple M2",
            vendor: APPLE,
            device_type: INTEGRATED,
            backend: wgpu::Backend::Metal,
            subgroup_lanes: [4, 64],
            compute_units: 10,
            lanes: 128,
            clock_ghz: 1.398,
            memory_gbs: 100.0,
        },
        Self {
            key: "iris-xe",
            name: "Iris(R) Xe",
            vendor: INTEL,
            device_type: INTEGRATED,
            backend: wgpu::Backend::Vulkan,
            subgroup_lanes: [8, 32],
            compute_units: 6,
            lanes: 128,
            clock_ghz: 1.3,
            memory_gbs: 68.0,
        },
        Self {
            key: "arc-a770",
            name: "Arc(TM) A770",
            vendor: INTEL,
            device_type: DISCRETE,
            backend: wgpu::Backend::Vulkan,
            subgroup_lanes: [8, 32],
            compute_units: 32,
            lanes: 128,
            clock_ghz: 2.1,
            memory_gbs: 560.0,
        },
        Self {
            key: "rtx3080",
            name: "GeForce RTX 3080",
            vendor: NVIDIA,
            device_type: DISCRETE,
            backend: wgpu::Backend::Vulkan,
            subgroup_lanes: [32, 32],
            compute_units: 68,
            lanes: 128,
            clock_ghz: 1.71,
            memory_gbs: 760.0,
        },
        Self {
            key: "h200",
            name: "NVIDIA H200",
            vendor: NVIDIA,
            device_type: DISCRETE,
            backend: wgpu::Backend::Vulkan,
            subgroup_lanes: [32, 32],
            compute_units: 132,
            lanes: 128,
            clock_ghz: 1.98,
            memory_gbs: 4800.0,
        },
    ];

    /// Returns the GPU called `key`.
    pub fn find(key: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|figures| figures.key == key)
    }

    /// The adapter as wgpu would report it.
    pub(super) fn info(&self) -> wgpu::AdapterInfo {
        wgpu::AdapterInfo {
            name: self.name.into(),
            vendor: self.vendor,
            subgroup_min_size: self.subgroup_lanes[0],
            subgroup_max_size: self.subgroup_lanes[1],
            ..wgpu::AdapterInfo::new(self.device_type, self.backend)
        }
    }

    /// Peak arithmetic in GFLOP/s; a multiply-add counts as two.
    pub fn peak_gflops(&self) -> f64 {
        2.0 * f64::from(self.compute_units) * f64::from(self.lanes) * self.clock_ghz
    }
}

/// Estimate of the number of compute units of a GPU without figures.
fn estimated_units(device_type: wgpu::DeviceType) -> u32 {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => 64,
        wgpu::DeviceType::Cpu => 1,
        _ => 16,
    }
}

impl Gpu {
    /// Figures of this adapter, if its name is that of a listed GPU.
    pub fn figures(&self) -> Option<&'static GpuFigures> {
        GpuFigures::ALL.iter().find(|figures| self.info().name.contains(figures.name))
    }

    /// Number of compute units, which WebGPU does not report: from [`Gpu::figures`], otherwise an estimate by the type
    /// of the adapter.
    pub fn compute_units(&self) -> u32 {
        self.figures().map_or_else(|| estimated_units(self.info().device_type), |figures| figures.compute_units)
    }

    /// Whether registers for a tile of 8 × 8 sums and its operands leave room for several subgroups on a processor. They
    /// do on GPUs of AMD and NVIDIA with 256 registers per invocation, but not on AMD's with subgroups of 64 only (GCN),
    /// which hold half as many.
    pub(crate) fn has_many_registers(&self) -> bool {
        [AMD, NVIDIA].contains(&self.info().vendor) && self.info().subgroup_min_size <= 32
    }

    /// Whether a load from an address that all invocations share needs instructions that move the address to a register
    /// of its own, as on GPUs of Intel.
    pub(crate) fn has_costly_uniform_loads(&self) -> bool {
        self.info().vendor == INTEL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_those_of_the_data_sheets() {
        // Single precision in TFLOP/s: three of AMD, Apple, two of Intel, two of NVIDIA.
        let sheets = [16.17, 61.4, 12.66, 3.6, 2.0, 17.2, 29.77, 67.0];
        for (figures, tflops) in GpuFigures::ALL.iter().zip(sheets) {
            let ratio = figures.peak_gflops() / 1e3 / tflops;
            assert!((0.98..1.02).contains(&ratio), "{}: {ratio}", figures.key);
            assert_eq!(GpuFigures::find(figures.key), Some(figures));
        }
        assert_eq!(GpuFigures::ALL.len(), sheets.len());
    }
}
