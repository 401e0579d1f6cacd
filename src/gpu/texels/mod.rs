//! Storage buffers that kernels also read as textures, on adapters that compute on the CPU.
//!
//! Mesa's software driver loads a vec4 from a storage buffer lane by lane; a texel fetch of the same 16 bytes costs two
//! thirds to a ninth of that, depending on the processor. On such an adapter every buffer is a Vulkan allocation of its own
//! that linear images can alias. Their layout is defined by the Vulkan specification (`vkGetImageSubresourceLayout` and the
//! chapter on memory aliasing), so nothing is copied and a texture always shows what the buffer holds. Texel i of a view is
//! at (i mod [`WIDTH`], i / [`WIDTH`]).
//!
//! The buffer is bound next to its texture, so that wgpu orders accesses and keeps the memory alive.

#[cfg_attr(not(target_os = "linux"), path = "absent.rs")]
mod vulkan;

pub(super) use vulkan::{Aliased, create_buffer, supported};

use super::Storage;

/// Texels in a row of a texture.
pub(super) const WIDTH: u32 = 4096;

/// The format of a texel that holds a vec4 of elements.
pub(super) fn format(storage: Storage) -> wgpu::TextureFormat {
    match storage {
        Storage::Word => wgpu::TextureFormat::Rgba32Float,
        Storage::Half => wgpu::TextureFormat::Rgba16Float,
    }
}
