//! Platforms without aliased buffers.

use crate::error::Result;

/// Never made here.
#[derive(Debug)]
pub(in crate::gpu) enum Aliased {}

impl Aliased {
    pub fn view(&self, _: &wgpu::Device, _: u64, _: wgpu::TextureFormat) -> Option<wgpu::TextureView> {
        match *self {}
    }
}

pub(in crate::gpu) fn supported(_: &wgpu::Device) -> bool {
    false
}

pub(in crate::gpu) fn create_buffer(
    _: &wgpu::Device,
    _: &wgpu::BufferDescriptor<'_>,
) -> Result<Option<(wgpu::Buffer, Aliased)>> {
    Ok(None)
}
