//! Memory on the device, and ranges of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Pod;

use super::Gpu;
use super::device::STAGING_BYTES;
use super::texels::{self, Aliased};
use crate::error::{Error, ErrorKind, Result};

/// Byte alignment of every range that a kernel binds (WebGPU's default limit), 64 elements of four bytes.
const ALIGNMENT: u64 = 256;

/// What a buffer of numbers is used for.
const STORAGE_USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// How wide the elements of a buffer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// Four bytes: f32, u32 or i32.
    #[default]
    Word,
    /// Two bytes: f16. Kernels widen it when they load it; all their arithmetic is f32.
    Half,
}

impl Storage {
    /// Bytes of an element.
    pub fn bytes(self) -> u64 {
        u64::from(self.bits()) / 8
    }

    /// Bits of an element: what the constants of kernels that read or write either storage are set to.
    pub fn bits(self) -> u32 {
        match self {
            Self::Word => 32,
            Self::Half => 16,
        }
    }
}

/// A storage or uniform buffer. It counts towards [`Gpu::allocated`] while it lives.
#[derive(Debug)]
pub struct Buffer {
    view: View,
    counters: Vec<Arc<AtomicU64>>,
}

/// A labelled range of a buffer, the thing kernels bind. Cheap to clone; holds the buffer alive.
///
/// A caller's own `wgpu::Buffer` becomes one with `View::from(&buffer)`; it needs the usage `STORAGE`, or `UNIFORM`
/// where a kernel binds it as `var<uniform>`.
#[derive(Debug, Clone)]
pub struct View {
    buffer: wgpu::Buffer,
    label: Arc<str>,
    offset: u64,
    bytes: u64,
    storage: Storage,
    aliased: Option<Arc<Aliased>>,
}

impl Gpu {
    /// A buffer of `elements` four-byte elements, zero at first.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] when the adapter's limit on a buffer or on a binding is smaller, or its memory is full.
    pub fn buffer(&self, label: &str, elements: u64) -> Result<Buffer> {
        self.buffer_of_usage(label, elements, STORAGE_USAGE)
    }

    /// A buffer that the host maps to write words for the device into it, and that is mapped at first.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn buffer_to_device(&self, label: &str, elements: u64) -> Result<Buffer> {
        self.buffer_made(label, elements, wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC, true)
    }

    /// A buffer that the host maps to read what the device copied into it.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn buffer_to_host(&self, label: &str, elements: u64) -> Result<Buffer> {
        self.buffer_made(label, elements, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST, false)
    }

    /// A buffer of `elements` elements of `storage`, zero at first.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] for [`Storage::Half`] where the adapter has no f16; as [`Gpu::buffer`].
    pub fn buffer_of(&self, label: &str, elements: u64, storage: Storage) -> Result<Buffer> {
        if storage == Storage::Half && !self.features().contains(wgpu::Features::SHADER_F16) {
            let message = format!(
                "buffer `{label}` is of f16, which {} does not have in shaders; give precision=single, or another adapter \
                 with --adapter (`ketformer devices` lists f16)",
                self.info().name
            );
            return Err(Error::new(ErrorKind::Adapter, message));
        }
        let words = elements.saturating_mul(storage.bytes()).div_ceil(4);
        let mut buffer = self.buffer(label, words)?;
        buffer.view.storage = storage;
        Ok(buffer)
    }

    pub(super) fn buffer_of_usage(&self, label: &str, elements: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        self.buffer_made(label, elements, usage, false)
    }

    fn buffer_made(
        &self,
        label: &str,
        elements: u64,
        usage: wgpu::BufferUsages,
        mapped_at_creation: bool,
    ) -> Result<Buffer> {
        let bytes = elements.max(1).checked_mul(4).map(|b| b.next_multiple_of(16)).unwrap_or(u64::MAX);
        let limits = self.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if bytes > limit {
            let message = format!(
                "buffer `{label}` needs {bytes} bytes, this adapter binds at most {limit}; use a smaller --memory, fewer \
                 samples or a smaller model"
            );
            return Err(Error::new(ErrorKind::Memory, message));
        }
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation };
        let aliased = match usage == STORAGE_USAGE && self.aliases_buffers() {
            true => texels::create_buffer(self.device(), &descriptor)?,
            false => None,
        };
        let mut counters = vec![self.allocation_counter().clone()];
        let (buffer, aliased) = match aliased {
            Some((buffer, aliased)) => {
                counters.push(self.aliased_counter().clone());
                (buffer, Some(Arc::new(aliased)))
            }
            None => {
                let what = format!("buffer `{label}` of {bytes} bytes");
                (self.guarded(&what, || self.device().create_buffer(&descriptor))?, None)
            }
        };
        counters.iter().for_each(|counter| {
            counter.fetch_add(bytes, Ordering::Relaxed);
        });
        let view = View { buffer, label: label.into(), offset: 0, bytes, storage: Storage::Word, aliased };
        Ok(Buffer { view, counters })
    }

    /// A buffer that holds `values`.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn upload<T: Pod>(&self, label: &str, values: &[T]) -> Result<Buffer> {
        self.uploaded(label, values, STORAGE_USAGE)
    }

    /// A uniform buffer that holds `values`, for bindings of `var<uniform>`.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn upload_uniform<T: Pod>(&self, label: &str, values: &[T]) -> Result<Buffer> {
        self.uploaded(label, values, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST)
    }

    fn uploaded<T: Pod>(&self, label: &str, values: &[T], usage: wgpu::BufferUsages) -> Result<Buffer> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let buffer = self.buffer_of_usage(label, (bytes.len() as u64).div_ceil(4), usage)?;
        self.write(&buffer.buffer, 0, bytes)?;
        Ok(buffer)
    }
}

impl Buffer {
    /// All of it.
    pub fn view(&self) -> View {
        self.view.clone()
    }
}

impl std::ops::Deref for Buffer {
    type Target = View;
    fn deref(&self) -> &View {
        &self.view
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.counters.iter().for_each(|counter| {
            counter.fetch_sub(self.view.bytes, Ordering::Relaxed);
        });
    }
}

impl From<&Buffer> for View {
    fn from(buffer: &Buffer) -> Self {
        buffer.view()
    }
}

impl From<&wgpu::Buffer> for View {
    fn from(buffer: &wgpu::Buffer) -> Self {
        let (buffer, bytes) = (buffer.clone(), buffer.size());
        Self { buffer, label: "caller's buffer".into(), offset: 0, bytes, storage: Storage::Word, aliased: None }
    }
}

impl View {
    /// The range of `elements` elements that begins `first` elements in.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when it reaches past the end, or does not begin at a multiple of 256 bytes: 64 elements, or 128
    /// of f16.
    pub fn range(&self, label: &str, first: u64, elements: u64) -> Result<View> {
        let each = self.storage.bytes();
        let (offset, bytes) = (self.offset + each * first, each * elements);
        if each * first + bytes > self.bytes || !offset.is_multiple_of(ALIGNMENT) {
            let message = format!(
                "`{label}`: elements {first}..{} of `{}`, which holds {}; a range must lie inside and begin at a multiple of {}",
                first + elements,
                self.label,
                self.bytes / each,
                ALIGNMENT / each
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        Ok(View { label: label.into(), offset, bytes, ..self.clone() })
    }

    /// The same bytes as elements of `storage`; two elements of f16 are one word, the first in its lower half.
    pub fn stored_as(self, storage: Storage) -> View {
        View { storage, ..self }
    }

    /// How wide its elements are.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// The wgpu buffer behind it.
    pub fn wgpu(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// What error messages and profilers call it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// First byte within the wgpu buffer.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A texture of vec4s that shows it, where its buffer has one.
    pub(super) fn texels(&self, gpu: &Gpu) -> Option<wgpu::TextureView> {
        self.aliased.as_ref()?.view(gpu.device(), self.offset, texels::format(self.storage))
    }

    /// The same range shortened to `bytes`, rounded up to whole vec4s.
    pub(super) fn cut(mut self, bytes: u64) -> View {
        self.bytes = self.bytes.min(bytes.max(4).next_multiple_of(16));
        self
    }

    /// Whether the two share at least one byte.
    pub fn overlaps(&self, other: &View) -> bool {
        self.buffer == other.buffer
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }

    /// Writes `values` at its beginning, before anything submitted later.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when they are more than it holds.
    pub fn write<T: Pod>(&self, gpu: &Gpu, values: &[T]) -> Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        if bytes.len() as u64 > self.bytes {
            let message = format!("`{}` holds {} bytes, {} were to be written", self.label, self.bytes, bytes.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        gpu.write(&self.buffer, self.offset, bytes)
    }

    /// Waits for the GPU and returns the first `count` elements. For results and tests; a step never calls it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when it holds fewer, [`ErrorKind::Device`] when the device was lost.
    pub fn read<T: Pod>(&self, gpu: &Gpu, count: usize) -> Result<Vec<T>> {
        let bytes = (count * size_of::<T>()) as u64;
        if bytes > self.bytes {
            let message = format!("`{}` holds {} bytes, {bytes} were to be read", self.label, self.bytes);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let staging = gpu.buffer_to_host("ketformer.readback", bytes.min(STAGING_BYTES).div_ceil(4))?;
        let mut values = vec![T::zeroed(); count];
        let words: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        for (piece, words) in words.chunks_mut(STAGING_BYTES as usize).enumerate() {
            self.read_piece(gpu, &staging, piece as u64 * STAGING_BYTES, words)?;
        }
        Ok(values)
    }

    /// Reads what begins `first` bytes in, by way of `staging`.
    fn read_piece(&self, gpu: &Gpu, staging: &View, first: u64, words: &mut [u8]) -> Result<()> {
        let bytes = (words.len() as u64).next_multiple_of(4);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.buffer, self.offset + first, &staging.buffer, 0, bytes);
        gpu.queue().submit([encoder.finish()]);
        staging.buffer.map_async(wgpu::MapMode::Read, .., |_| {});
        gpu.wait(None)?;
        let unmapped =
            |e| Error::new(ErrorKind::Device, format!("`{}` could not be read back", self.label)).caused_by(e);
        let mapped = staging.buffer.get_mapped_range(..words.len() as u64).map_err(unmapped)?;
        words.copy_from_slice(&mapped);
        drop(mapped);
        staging.buffer.unmap();
        Ok(())
    }
}
