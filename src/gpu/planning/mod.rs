//! Devices that record and count without computing: plans for GPUs that need not exist, and dry runs.

mod dry_run;
mod figures;
mod launches;

use std::sync::Arc;

pub(crate) use dry_run::Allocations;
pub(super) use dry_run::Ledger;
pub use figures::GpuFigures;
pub use launches::PlannedLaunch;

use super::Gpu;
use super::device::{Facts, Modes};
use crate::error::{Error, ErrorKind, Result};

impl Gpu {
    /// Device handle for a GPU that need not exist: kernels are selected as on that GPU, and plans are recorded and
    /// checked. Buffers have no memory, and a replay does nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if wgpu's backend without hardware cannot be opened.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn planning(figures: &GpuFigures) -> Result<Self> {
        let limits = wgpu::Limits {
            max_buffer_size: 4 << 30,
            max_storage_buffer_binding_size: (4 << 30) - 4,
            max_storage_buffers_per_shader_stage: 16,
            max_compute_workgroup_storage_size: 32 << 10,
            max_compute_invocations_per_workgroup: 1024,
            max_compute_workgroup_size_x: 1024,
            ..wgpu::Limits::default()
        };
        let features = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16;
        Self::planning_as(Facts { info: figures.info(), limits, features })
    }

    /// Handle of this device that selects kernels as on another GPU, and reads no textures. For running what that GPU
    /// would run on a software driver, which supports kernels without subgroups and with clusters of lanes, but not those
    /// for the GPU's own subgroups.
    pub fn selecting_as(&self, figures: &GpuFigures) -> Self {
        let facts = Facts { info: figures.info(), ..(*self.facts).clone() };
        Self { facts: Arc::new(facts), ..self.with_texels(false) }
    }

    /// Planning handle for the adapter of this device; see [`Gpu::planning`].
    ///
    /// # Errors
    /// As [`Gpu::planning`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn planning_twin(&self) -> Result<Self> {
        let (info, limits, features) = (self.info().clone(), self.limits().clone(), self.features());
        let gpu = Self::planning_as(Facts { info, limits, features })?;
        Ok(Self { preference: self.preference.clone(), ..gpu })
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn planning_as(facts: Facts) -> Result<Self> {
        let backend = wgpu::BackendOptions { noop: wgpu::NoopBackendOptions::enabled(), ..Default::default() };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::NOOP,
            backend_options: backend,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let error = |e: String| Error::new(ErrorKind::Device, format!("no device to plan on: {e}"));
        let adapter =
            pollster::block_on(instance.request_adapter(&Default::default())).map_err(|e| error(e.to_string()))?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("ketformer.planning"),
            required_features: adapter.features() & (wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| error(e.to_string()))?;
        let gpu = Self::wrap(device, queue, facts, Modes::default());
        Ok(Self { ledger: Some(Arc::new(Ledger::of_a_plan())), ..gpu })
    }

    /// Calls `allocate` with a device that counts buffers instead of creating them, and returns the count. Limits on
    /// the size of a buffer are not errors on this device; see [`Allocations::excess`].
    ///
    /// # Errors
    /// Any error of `allocate`; as [`Gpu::buffer`] for the placeholder.
    pub(crate) fn dry_run<T>(&self, allocate: impl FnOnce(&Self) -> Result<T>) -> Result<Allocations> {
        let placeholder = self.buffer("ketformer.dry_run", 4)?;
        let ledger = Arc::new(Ledger::new(placeholder.wgpu().clone()));
        allocate(&Self { ledger: Some(ledger.clone()), ..self.clone() })?;
        Ok(ledger.allocations())
    }
}
