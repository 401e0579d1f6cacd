//! The device of the window: what the kernels can use, if the adapter has it.

use std::sync::Arc;

use egui_wgpu::{WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew};
use ketformer::gpu::Gpu;
use ketformer::wgpu;

/// Settings of egui's renderer.
pub fn configuration() -> WgpuConfiguration {
    let setup = WgpuSetupCreateNew {
        device_descriptor: Arc::new(|adapter| {
            let (required_features, required_limits) = Gpu::required(adapter);
            wgpu::DeviceDescriptor {
                label: Some("ketformer live"),
                required_features,
                required_limits,
                ..Default::default()
            }
        }),
        ..WgpuSetupCreateNew::without_display_handle()
    };
    WgpuConfiguration { wgpu_setup: WgpuSetup::CreateNew(setup), ..WgpuConfiguration::default() }
}
