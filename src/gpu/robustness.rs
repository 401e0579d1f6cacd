//! Vulkan devices without bounds checks of buffer accesses by the driver.
//!
//! wgpu opens every Vulkan device with `robustBufferAccess`, so that shaders whose checks were omitted still stay within
//! the bound ranges. Some drivers implement it by instructions: Mesa's compiler for NVIDIA turns a load of a vec4 into
//! four checked loads, which makes the kernels of this crate 1.5 to 3.2 times as long. AMD's hardware checks for free.
//!
//! The kernels index within the element counts that plans check against the bound ranges, for which
//! [`super::GpuOptions::unchecked_buffers`] relies on them.

use crate::error::{Error, ErrorKind, Result};

/// Opens `adapter` as wgpu does, but without `robustBufferAccess` and `robustBufferAccess2`.
///
/// # Errors
/// [`ErrorKind::Adapter`] if the adapter is not one of Vulkan on Linux; [`ErrorKind::Device`] if it cannot be opened.
#[cfg(target_os = "linux")]
pub(super) fn open_unchecked(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
) -> Result<(wgpu::Device, wgpu::Queue)> {
    use ash::vk;

    let failed = |e: &dyn std::fmt::Display| {
        let message =
            format!("{} could not be opened without bounds checks ({e}); leave them on", adapter.get_info().name);
        Error::new(ErrorKind::Device, message)
    };
    // SAFETY: the device is created from this adapter with the queue, extensions and features that wgpu-hal requires,
    // except for the two that only add bounds checks, and wgpu-hal takes ownership of it. All pointers in the chain of
    // features are those of `features`, which lives until the device is created.
    unsafe {
        let Some(hal) = adapter.as_hal::<wgpu::hal::api::Vulkan>() else { return Err(not_vulkan(adapter)) };
        let extensions = hal.required_device_extensions(descriptor.required_features);
        let mut features = hal.physical_device_features(&extensions, descriptor.required_features);
        let names: Vec<_> = extensions.iter().map(|name| name.as_ptr()).collect();
        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let create = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
        let create = features.add_to_device_create(create);
        let core = vk::PhysicalDeviceFeatures { robust_buffer_access: vk::FALSE, ..*create.p_enabled_features };
        let create = create.enabled_features(&core);
        let mut next = create.p_next.cast_mut().cast::<vk::BaseOutStructure<'_>>();
        while let Some(structure) = next.as_mut() {
            if structure.s_type == vk::StructureType::PHYSICAL_DEVICE_ROBUSTNESS_2_FEATURES_EXT {
                (*next.cast::<vk::PhysicalDeviceRobustness2FeaturesEXT<'_>>()).robust_buffer_access2 = vk::FALSE;
            }
            next = structure.p_next;
        }
        let instance = hal.shared_instance().raw_instance();
        let raw = instance.create_device(hal.raw_physical_device(), &create, None).map_err(|e| failed(&e))?;
        let (limits, hints) = (&descriptor.required_limits, &descriptor.memory_hints);
        let open = hal
            .device_from_raw(raw, None, &extensions, descriptor.required_features, limits, hints, 0, 0)
            .map_err(|e| failed(&e))?;
        drop(hal);
        adapter.create_device_from_hal(open, descriptor).map_err(|e| failed(&e))
    }
}

/// As on Linux.
#[cfg(not(target_os = "linux"))]
pub(super) fn open_unchecked(
    adapter: &wgpu::Adapter,
    _: &wgpu::DeviceDescriptor<'_>,
) -> Result<(wgpu::Device, wgpu::Queue)> {
    Err(not_vulkan(adapter))
}

fn not_vulkan(adapter: &wgpu::Adapter) -> Error {
    let info = adapter.get_info();
    let message = format!(
        "GpuOptions::unchecked_buffers is for Vulkan on Linux, {} is an adapter of {:?}; leave it out",
        info.name, info.backend
    );
    Error::new(ErrorKind::Adapter, message)
}
