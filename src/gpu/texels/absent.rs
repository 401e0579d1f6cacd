//! Stub for platforms without aliased buffers.

use crate::error::Result;

/// Uninhabited: buffers are never aliased on these platforms.
#[derive(Debug)]
pub(crate) enum Aliased {}

impl Aliased {
    pub(crate) fn view(&self, _: &wgpu::Device, _: u64, _: wgpu::TextureFormat) -> Option<wgpu::TextureView> {
        match *self {}
    }
}

pub(crate) fn supported(_: &wgpu::Device) -> bool {
    false
}

pub(crate) fn create_buffer(
    _: &wgpu::Device,
    _: &wgpu::BufferDescriptor<'_>,
) -> Result<Option<(wgpu::Buffer, Aliased)>> {
    Ok(None)
}
