//! Vulkan buffers in dedicated memory, and linear images that alias it.

use std::collections::HashMap;
use std::sync::Mutex;

use ash::vk;
use wgpu::hal;

use super::WIDTH;
use crate::error::{Error, ErrorKind, Result};

/// Rows of texels allocated after a buffer for the overhang of its images: one for their height, a partial one for
/// their offset, and the driver's padding. They are never accessed.
const PADDED_ROWS: u64 = 6;
/// Bytes per texel of the widest format.
const TEXEL_BYTES: u64 = 16;

/// The memory of a buffer, for images that alias it. Valid until the buffer is dropped.
#[derive(Debug)]
pub(crate) struct Aliased {
    memory: vk::DeviceMemory,
    bytes: u64,
    buffer_bytes: u64,
    /// Images by offset and format; `None` if the driver's layout differs from that of the buffer.
    views: Mutex<HashMap<(u64, wgpu::TextureFormat), Option<wgpu::TextureView>>>,
}

/// Whether the device is a Vulkan device, whose memory can be shared with images.
pub(crate) fn supported(device: &wgpu::Device) -> bool {
    // SAFETY: the handle is only inspected.
    unsafe { device.as_hal::<hal::api::Vulkan>() }.is_some()
}

fn refused(label: Option<&str>, bytes: u64, error: vk::Result) -> Error {
    let label = label.unwrap_or_default();
    let message = format!(
        "buffer `{label}` of {bytes} bytes: the driver could not allocate it; use a smaller memory budget or fewer samples"
    );
    Error::new(ErrorKind::Memory, message).caused_by(error)
}

/// Creates a zeroed buffer in dedicated memory. Returns `None` if the driver has no memory that the host can zero.
///
/// # Errors
/// [`ErrorKind::Memory`] if the driver cannot create or allocate the buffer.
pub(crate) fn create_buffer(
    device: &wgpu::Device,
    descriptor: &wgpu::BufferDescriptor<'_>,
) -> Result<Option<(wgpu::Buffer, Aliased)>> {
    // SAFETY: `hal_device` is used while `device` is alive, and only to create objects.
    let Some(hal_device) = (unsafe { device.as_hal::<hal::api::Vulkan>() }) else { return Ok(None) };
    let raw = hal_device.raw_device();
    let refused = |error| refused(descriptor.label, descriptor.size, error);
    let usage =
        vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::TRANSFER_SRC | vk::BufferUsageFlags::TRANSFER_DST;
    // SAFETY: the create info is valid. The handle is passed to wgpu below or destroyed here.
    let buffer =
        unsafe { raw.create_buffer(&vk::BufferCreateInfo::default().size(descriptor.size).usage(usage), None) }
            .map_err(refused)?;
    // SAFETY: the buffer was created by this device.
    let needed = unsafe { raw.get_buffer_memory_requirements(buffer) };
    let bytes = needed.size + PADDED_ROWS * u64::from(WIDTH) * TEXEL_BYTES;
    let properties = {
        let instance = hal_device.shared_instance().raw_instance();
        // SAFETY: both handles belong to the device.
        unsafe { instance.get_physical_device_memory_properties(hal_device.raw_physical_device()) }
    };
    let visible = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
    let kind =
        properties.memory_types_as_slice().iter().enumerate().position(|(index, kind)| {
            needed.memory_type_bits & (1 << index) != 0 && kind.property_flags.contains(visible)
        });
    let made = kind.map(|kind| {
        let allocation = vk::MemoryAllocateInfo::default().allocation_size(bytes).memory_type_index(kind as u32);
        // SAFETY: the memory is at least as large as the buffer needs, is mapped while nothing else uses it, and is
        // written within its size.
        unsafe {
            let memory = raw.allocate_memory(&allocation, None)?;
            let zeroed = raw.bind_buffer_memory(buffer, memory, 0).and_then(|()| {
                let start = raw.map_memory(memory, 0, vk::WHOLE_SIZE, vk::MemoryMapFlags::empty())?;
                start.cast::<u8>().write_bytes(0, needed.size as usize);
                raw.unmap_memory(memory);
                Ok(memory)
            });
            zeroed.inspect_err(|_| raw.free_memory(memory, None))
        }
    });
    let memory = match made {
        Some(Ok(memory)) => memory,
        failed => {
            // SAFETY: the buffer has not been shared yet.
            unsafe { raw.destroy_buffer(buffer, None) };
            return failed.map(|made| made.map_err(refused)).transpose().map(|_| None);
        }
    };
    // SAFETY: the buffer is bound to the memory, zeroed, matches the descriptor, and is owned by wgpu from this point
    // on.
    let buffer = unsafe {
        let owned = hal::vulkan::Buffer::from_raw_managed(buffer, memory, 0, needed.size);
        drop(hal_device);
        device.create_buffer_from_hal::<hal::api::Vulkan>(owned, descriptor)
    };
    let aliased = Aliased { memory, bytes, buffer_bytes: descriptor.size, views: Mutex::default() };
    Ok(Some((buffer, aliased)))
}

impl Aliased {
    /// Texture of the buffer from byte `offset` to its end; `None` if no image has that layout.
    pub(crate) fn view(
        &self,
        device: &wgpu::Device,
        offset: u64,
        format: wgpu::TextureFormat,
    ) -> Option<wgpu::TextureView> {
        let mut views = self.views.lock().ok()?;
        views.entry((offset, format)).or_insert_with(|| self.image(device, offset, format)).clone()
    }

    fn image(&self, device: &wgpu::Device, offset: u64, format: wgpu::TextureFormat) -> Option<wgpu::TextureView> {
        let each = u64::from(format.block_copy_size(None)?);
        let texels = (self.buffer_bytes - offset).div_ceil(each);
        // Mesa 22.3 compiles another variant of a kernel if a side of an image is a power of two, so no height is one.
        let height = (texels.div_ceil(u64::from(WIDTH)) as u32).max(3);
        let (width, height) = (WIDTH, height + u32::from(height.is_power_of_two()));
        if width.max(height) > device.limits().max_texture_dimension_2d {
            return None;
        }
        let vulkan_format = match format {
            wgpu::TextureFormat::Rgba32Float => vk::Format::R32G32B32A32_SFLOAT,
            wgpu::TextureFormat::Rgba16Float => vk::Format::R16G16B16A16_SFLOAT,
            _ => return None,
        };
        // SAFETY: as above.
        let hal_device = unsafe { device.as_hal::<hal::api::Vulkan>() }?;
        let raw = hal_device.raw_device();
        let info = vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            .format(vulkan_format)
            .extent(vk::Extent3D { width, height, depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(vk::ImageTiling::LINEAR)
            .usage(vk::ImageUsageFlags::SAMPLED)
            .initial_layout(vk::ImageLayout::PREINITIALIZED);
        // SAFETY: the image lies within the memory, whose layout was queried. It is destroyed here or passed to wgpu,
        // which destroys it without freeing the memory.
        unsafe {
            let image = raw.create_image(&info, None).ok()?;
            let color = vk::ImageSubresource { aspect_mask: vk::ImageAspectFlags::COLOR, mip_level: 0, array_layer: 0 };
            let layout = raw.get_image_subresource_layout(image, color);
            let needed = raw.get_image_memory_requirements(image);
            let same = layout.offset == 0
                && layout.row_pitch == u64::from(WIDTH) * each
                && offset.is_multiple_of(needed.alignment)
                && offset + needed.size <= self.bytes;
            if !same || raw.bind_image_memory(image, self.memory, offset).is_err() {
                raw.destroy_image(image, None);
                return None;
            }
            let descriptor = wgpu::TextureDescriptor {
                label: None,
                size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: wgpu::TextureUsages::TEXTURE_BINDING,
                view_formats: &[],
            };
            let of_hal = hal::TextureDescriptor {
                label: None,
                size: descriptor.size,
                mip_level_count: descriptor.mip_level_count,
                sample_count: descriptor.sample_count,
                dimension: descriptor.dimension,
                format,
                usage: wgpu::TextureUses::RESOURCE,
                memory_flags: hal::MemoryFlags::empty(),
                view_formats: Vec::new(),
            };
            let texture = hal_device.texture_from_raw(image, &of_hal, None, hal::vulkan::TextureMemory::External);
            drop(hal_device);
            let resource = wgpu::TextureUses::RESOURCE;
            let texture = device.create_texture_from_hal::<hal::api::Vulkan>(texture, &descriptor, resource);
            Some(texture.create_view(&wgpu::TextureViewDescriptor::default()))
        }
    }
}
