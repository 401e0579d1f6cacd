//! Device buffers and views of their ranges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Pod;

use super::Gpu;
use super::device::STAGING_BYTES;
use super::dtype::DType;
use super::texels::{self, Aliased};
use super::waiting::callback;
use crate::error::{Error, ErrorKind, Result};

/// Byte alignment of every range that a kernel binds (WebGPU's default limit): 64 elements of four bytes.
const ALIGNMENT: u64 = 256;

/// Usages of a storage buffer.
const STORAGE_USAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// A storage or uniform buffer. It counts toward [`Gpu::allocated`] until it is dropped.
#[derive(Debug)]
pub struct Buffer {
    view: View,
    counters: Vec<Arc<AtomicU64>>,
}

/// A labeled range of a buffer, the unit that kernels bind. Cheap to clone; keeps the buffer alive.
///
/// `View::from(&buffer)` converts a caller's `wgpu::Buffer`, which needs the usage `STORAGE`, or `UNIFORM` if a kernel
/// binds it as `var<uniform>`.
#[derive(Debug, Clone)]
pub struct View {
    buffer: wgpu::Buffer,
    label: Arc<str>,
    offset: u64,
    bytes: u64,
    storage: DType,
    aliased: Option<Arc<Aliased>>,
}

impl Gpu {
    /// Creates a zeroed buffer of `elements` four-byte elements.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if it exceeds the adapter's limit on buffers or bindings, or if device memory is
    /// exhausted.
    pub fn buffer(&self, label: &str, elements: u64) -> Result<Buffer> {
        self.buffer_of_usage(label, elements, STORAGE_USAGE)
    }

    /// Creates a zeroed buffer of `elements` four-byte elements that may exceed a binding; launches bind ranges of it.
    ///
    /// # Errors
    /// [`ErrorKind::Memory`] if it exceeds the adapter's limit on buffers, or if device memory is exhausted.
    pub(crate) fn large_buffer(&self, label: &str, elements: u64) -> Result<Buffer> {
        self.buffer_made(label, elements, STORAGE_USAGE, (false, self.limits().max_buffer_size))
    }

    /// Creates a staging buffer for uploads, which is mapped at creation.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn buffer_to_device(&self, label: &str, elements: u64) -> Result<Buffer> {
        self.buffer_made(
            label,
            elements,
            wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            (true, self.binding_limit()),
        )
    }

    /// Creates a staging buffer for downloads, which the host maps for reading.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn buffer_to_host(&self, label: &str, elements: u64) -> Result<Buffer> {
        self.buffer_made(
            label,
            elements,
            wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            (false, self.binding_limit()),
        )
    }

    /// Creates a zeroed buffer of `elements` elements of type `storage`.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] for [`DType::F16`] if the adapter has no f16; as [`Gpu::buffer`].
    pub fn buffer_of(&self, label: &str, elements: u64, storage: DType) -> Result<Buffer> {
        if storage == DType::F16 {
            self.require_f16(|| format!("buffer `{label}` holds"))?;
        }
        let words = elements.saturating_mul(storage.bytes()).div_ceil(4);
        let mut buffer = self.buffer(label, words)?;
        buffer.view.storage = storage;
        Ok(buffer)
    }

    /// Creates a zeroed buffer of `elements` four-byte elements with `usages` in addition to those of other buffers,
    /// `STORAGE`, `COPY_SRC` and `COPY_DST`: such as `VERTEX`, if a renderer reads what kernels write.
    ///
    /// # Errors
    /// As [`Gpu::buffer`]; [`ErrorKind::Device`] if the device has no buffers of these usages.
    pub fn buffer_with_usages(&self, label: &str, elements: u64, usages: wgpu::BufferUsages) -> Result<Buffer> {
        self.buffer_of_usage(label, elements, STORAGE_USAGE | usages)
    }

    /// Checks that shaders can use f16; `subject` is the start of the message.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] if the device has no such feature.
    pub(super) fn require_f16(&self, subject: impl FnOnce() -> String) -> Result<()> {
        if self.features().contains(wgpu::Features::SHADER_F16) {
            return Ok(());
        }
        let message = format!(
            "{} f16, but the device of {} was opened without wgpu::Features::SHADER_F16; use single precision, or an \
             adapter with f16 (`ketformer devices` lists it)",
            subject(),
            self.info().name
        );
        Err(Error::new(ErrorKind::Adapter, message))
    }

    pub(super) fn buffer_of_usage(&self, label: &str, elements: u64, usage: wgpu::BufferUsages) -> Result<Buffer> {
        self.buffer_made(label, elements, usage, (false, self.binding_limit()))
    }

    /// Maximum size in bytes of a buffer that one binding covers.
    fn binding_limit(&self) -> u64 {
        let limits = self.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    fn buffer_made(
        &self,
        label: &str,
        elements: u64,
        usage: wgpu::BufferUsages,
        (mapped_at_creation, limit): (bool, u64),
    ) -> Result<Buffer> {
        let bytes = elements.max(1).checked_mul(4).map_or(u64::MAX, |b| b.next_multiple_of(16));
        if let Some(ledger) = &self.ledger {
            let buffer = ledger.add(label, [bytes, limit], |size| {
                self.device().create_buffer(&wgpu::BufferDescriptor {
                    label: Some(label),
                    size,
                    usage,
                    mapped_at_creation: false,
                })
            });
            let view = View { buffer, label: label.into(), offset: 0, bytes, storage: DType::F32, aliased: None };
            return Ok(Buffer { view, counters: Vec::new() });
        }
        if bytes > limit {
            let message = format!(
                "buffer `{label}` needs {bytes} bytes, this adapter has at most {limit}; use a smaller memory budget, fewer \
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
        let view = View { buffer, label: label.into(), offset: 0, bytes, storage: DType::F32, aliased };
        Ok(Buffer { view, counters })
    }

    /// Creates a buffer that contains `values`.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn upload<T: Pod>(&self, label: &str, values: &[T]) -> Result<Buffer> {
        self.uploaded(label, values, STORAGE_USAGE)
    }

    /// Creates a uniform buffer that contains `values`, for bindings of `var<uniform>`.
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
    /// View of the whole buffer.
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
        Self { buffer, label: "caller's buffer".into(), offset: 0, bytes, storage: DType::F32, aliased: None }
    }
}

impl View {
    /// Returns the range of `elements` elements that starts at element `first`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the range exceeds the view or does not start at a multiple of 256 bytes (64 elements,
    /// 128 for f16).
    pub fn range(&self, label: &str, first: u64, elements: u64) -> Result<Self> {
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
        Ok(Self { label: label.into(), offset, bytes, ..self.clone() })
    }

    /// Reinterprets the bytes as elements of type `storage`, which is [`DType::F32`] for a caller's `wgpu::Buffer`. Two f16
    /// elements share one 32-bit word, the first in its lower half.
    #[must_use]
    pub fn stored_as(self, storage: DType) -> Self {
        Self { storage, ..self }
    }

    /// Element type.
    pub fn storage(&self) -> DType {
        self.storage
    }

    /// The underlying wgpu buffer.
    pub fn wgpu(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Label in error messages and profilers.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Offset of the first byte within the wgpu buffer.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Texture view of this range, if its buffer is aliased by textures.
    pub(super) fn texels(&self, gpu: &Gpu) -> Option<wgpu::TextureView> {
        self.aliased.as_ref()?.view(gpu.device(), self.offset, texels::format(self.storage))
    }

    /// Shortens the view to `bytes`, rounded up to whole vec4s.
    pub(super) fn cut(mut self, bytes: u64) -> Self {
        self.bytes = self.bytes.min(bytes.max(4).next_multiple_of(16));
        self
    }

    /// Whether the two views share at least one byte.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.buffer == other.buffer
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }

    /// Smallest range of the buffer that contains both views; `None` if they are in different buffers.
    pub(crate) fn hull(&self, other: &Self) -> Option<Self> {
        let offset = self.offset.min(other.offset);
        let bytes = (self.offset + self.bytes).max(other.offset + other.bytes) - offset;
        (self.buffer == other.buffer).then(|| Self { offset, bytes, ..self.clone() })
    }

    /// Writes `values` at the start of the view, before any later submission.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the values exceed the view.
    pub fn write<T: Pod>(&self, gpu: &Gpu, values: &[T]) -> Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        if bytes.len() as u64 > self.bytes {
            let message = format!("`{}` holds {} bytes, cannot write {}", self.label, self.bytes, bytes.len());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        gpu.write(&self.buffer, self.offset, bytes)
    }

    /// Waits for the GPU and returns the first `count` elements. For results and tests; training steps never call it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the view is shorter, [`ErrorKind::Device`] if the device was lost, and in a browser, which
    /// needs [`View::read_async`].
    pub fn read<T: Pod>(&self, gpu: &Gpu, count: usize) -> Result<Vec<T>> {
        gpu.block_on(self.read_async(gpu, count))
    }

    /// Returns the first `count` elements after all earlier submissions. Outside browsers, the device has to be polled
    /// meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the view is shorter, [`ErrorKind::Device`] if the device was lost.
    pub async fn read_async<T: Pod>(&self, gpu: &Gpu, count: usize) -> Result<Vec<T>> {
        let bytes = (count * size_of::<T>()) as u64;
        if bytes > self.bytes {
            let message = format!("`{}` holds {} bytes, cannot read {bytes}", self.label, self.bytes);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        if bytes == 0 {
            return Ok(Vec::new());
        }
        let staging = gpu.buffer_to_host("ketformer.readback", bytes.min(STAGING_BYTES).div_ceil(4))?;
        let mut values = vec![T::zeroed(); count];
        let words: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        for (piece, words) in words.chunks_mut(STAGING_BYTES as usize).enumerate() {
            self.read_piece(gpu, &staging, piece as u64 * STAGING_BYTES, words).await?;
        }
        Ok(values)
    }

    /// Returns ranges of elements, each from the word that contains its first byte to the one with its last, after all
    /// earlier submissions. Outside browsers, the device has to be polled meanwhile.
    ///
    /// # Errors
    /// As [`View::read_async`]; together the ranges have at most 1 MiB.
    pub(crate) async fn gather_async(&self, gpu: &Gpu, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Vec<u32>>> {
        let each = self.storage.bytes();
        let words: Vec<std::ops::Range<u64>> =
            ranges.iter().map(|range| range.start * each / 4..(range.end * each).div_ceil(4)).collect();
        let total: u64 = words.iter().map(|range| range.end - range.start).sum();
        let is_outside = |range: &std::ops::Range<u64>| 4 * range.end > self.bytes.next_multiple_of(4);
        if words.iter().any(is_outside) || 4 * total > STAGING_BYTES {
            let message =
                format!("`{}` holds {} bytes, cannot read {total} words of {ranges:?}", self.label, self.bytes);
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let gathered = gpu.buffer_of_usage("ketformer.gather", total.max(1), usage)?;
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut at = 0;
        for range in &words {
            let bytes = 4 * (range.end - range.start);
            encoder.copy_buffer_to_buffer(&self.buffer, self.offset + 4 * range.start, gathered.wgpu(), at, bytes);
            at += bytes;
        }
        gpu.queue().submit([encoder.finish()]);
        let all: Vec<u32> = gathered.read_async(gpu, total as usize).await?;
        let mut rest = all.as_slice();
        let parts = words.iter().map(|range| {
            let (part, after) = rest.split_at((range.end - range.start) as usize);
            rest = after;
            part.to_vec()
        });
        Ok(parts.collect())
    }

    /// Reads the bytes from offset `first` on into `words` through `staging`.
    async fn read_piece(&self, gpu: &Gpu, staging: &Self, first: u64, words: &mut [u8]) -> Result<()> {
        let bytes = (words.len() as u64).next_multiple_of(4);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&self.buffer, self.offset + first, &staging.buffer, 0, bytes);
        gpu.queue().submit([encoder.finish()]);
        let (mapped, mapping) = callback();
        staging.buffer.map_async(wgpu::MapMode::Read, .., mapped);
        let mapped = mapping.await;
        gpu.failure()?;
        let unmapped = |e: Box<dyn std::error::Error + Send + Sync>| {
            let message = format!("`{}` could not be read back; start again", self.label);
            if gpu.is_lost() { gpu.lost_error() } else { Error::new(ErrorKind::Device, message).caused_by(e) }
        };
        mapped.map_err(|e| unmapped(e.into()))?;
        let mapped = staging.buffer.get_mapped_range(..words.len() as u64).map_err(|e| unmapped(e.into()))?;
        words.copy_from_slice(&mapped);
        drop(mapped);
        staging.buffer.unmap();
        Ok(())
    }
}
