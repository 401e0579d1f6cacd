//! Storage buffers that kernels also read as textures, on adapters that compute on the CPU.
//!
//! Mesa's software driver loads a vec4 from a storage buffer lane by lane. A texel fetch of the same 16 bytes costs
//! between two thirds and a ninth of that, depending on the processor. On such an adapter every buffer is a separate
//! Vulkan allocation that linear images can alias. Their layout is defined by the Vulkan specification
//! (`vkGetImageSubresourceLayout` and the chapter on memory aliasing), so nothing is copied and a texture always has
//! the contents of its buffer. Texel i of a view is at (i mod [`WIDTH`], i / [`WIDTH`]).
//!
//! The buffer is bound in addition to its texture, so that wgpu orders accesses and keeps the memory alive.
//!
//! An aliased buffer counts once toward a memory budget. The WGSL source is the same for both ways to read
//! (`super::rewrite`), and so are the arithmetic, its order and the bits of the results, which tests compare. GPUs and
//! devices of the caller read storage buffers.

#[cfg_attr(not(target_os = "linux"), path = "absent.rs")]
mod vulkan;

pub(super) use vulkan::{Aliased, create_buffer, supported};

use super::dtype::DType;

/// Texels per row of a texture.
pub(super) const WIDTH: u32 = 4096;

/// Texture format of a vec4 of elements.
pub(super) fn format(storage: DType) -> wgpu::TextureFormat {
    match storage {
        DType::F32 => wgpu::TextureFormat::Rgba32Float,
        DType::F16 => wgpu::TextureFormat::Rgba16Float,
    }
}
