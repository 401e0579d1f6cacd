//! Staging buffers that are mapped again and again while submissions are in flight.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, View};

/// Mapping state of a buffer. The callback may run on another thread that polls the same device, after this thread's
/// wait for the step has returned.
#[derive(Default)]
struct Mapping {
    mapped: Mutex<Option<bool>>,
    changed: Condvar,
}

/// Timeout for mapping a buffer after its step has finished.
const PATIENCE: Duration = Duration::from_secs(60);

impl Mapping {
    fn set(&self, mapped: Option<bool>) {
        *self.mapped.lock().unwrap_or_else(PoisonError::into_inner) = mapped;
        self.changed.notify_all();
    }

    fn outcome(&self) -> Option<bool> {
        *self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the mapping succeeds, fails or times out, and returns whether the buffer is mapped.
    #[cfg(not(target_arch = "wasm32"))]
    fn is_mapped(&self) -> bool {
        let waiting = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(waiting, PATIENCE, |mapped| mapped.is_none());
        waited.is_ok_and(|(mapped, _)| *mapped == Some(true))
    }

    /// Whether the buffer is mapped by now. A browser cannot wait.
    #[cfg(target_arch = "wasm32")]
    fn is_mapped(&self) -> bool {
        self.outcome() == Some(true)
    }
}

/// Buffer that the host and the device access in turns.
pub(crate) struct Staging {
    buffer: Buffer,
    mapping: Arc<Mapping>,
    mode: wgpu::MapMode,
}

impl Staging {
    /// Buffer of `words` words for the host to write, which is mapped.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn to_device(gpu: &Gpu, label: &str, words: u64) -> Result<Self> {
        let mapping = Arc::new(Mapping { mapped: Mutex::new(Some(true)), ..Mapping::default() });
        Ok(Self { buffer: gpu.buffer_to_device(label, words)?, mapping, mode: wgpu::MapMode::Write })
    }

    /// Buffer of `words` words for the host to read, which is not mapped.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn to_host(gpu: &Gpu, label: &str, words: u64) -> Result<Self> {
        let buffer = gpu.buffer_to_host(label, words)?;
        Ok(Self { buffer, mapping: Arc::default(), mode: wgpu::MapMode::Read })
    }

    /// Encodes the copy of `words` words from word `first` on to the start of `view`.
    pub(crate) fn copy_to(&self, encoder: &mut wgpu::CommandEncoder, first: u64, words: u64, view: &View) {
        encoder.copy_buffer_to_buffer(self.buffer.wgpu(), 4 * first, view.wgpu(), view.offset(), 4 * words);
    }

    /// Encodes the copy of `words` words of `view`, from its word `skip` on, to word `first`.
    pub(crate) fn copy_from(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        view: &View,
        skip: u64,
        (first, words): (u64, u64),
    ) {
        let from = view.offset() + 4 * skip;
        encoder.copy_buffer_to_buffer(view.wgpu(), from, self.buffer.wgpu(), 4 * first, 4 * words);
    }

    /// Requests the mapping for the time after the submission of `encoder`, the last one with copies.
    pub(crate) fn map_on_submit(&self, encoder: &wgpu::CommandEncoder) {
        self.mapping.set(None);
        let mapping = self.mapping.clone();
        encoder
            .map_buffer_on_submit(self.buffer.wgpu(), self.mode, .., move |result| mapping.set(Some(result.is_ok())));
    }

    /// Requests the mapping for the time after the submissions so far.
    pub(crate) fn map(&self) {
        self.mapping.set(None);
        let mapping = self.mapping.clone();
        self.buffer.wgpu().map_async(self.mode, .., move |result| mapping.set(Some(result.is_ok())));
    }

    /// Whether the mapping succeeded or failed by now.
    pub(crate) fn is_settled(&self) -> bool {
        self.mapping.outcome().is_some()
    }

    /// Writes `parts` one after another, and unmaps the buffer. Waits for the mapping outside browsers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if it is not mapped, because the device was lost.
    pub(crate) fn write(&self, gpu: &Gpu, parts: &[&[u32]]) -> Result<()> {
        let lost = || gpu.device_error("the inputs of a step could not be written; start again");
        if !self.mapping.is_mapped() {
            return Err(lost());
        }
        let mut mapped = self.buffer.wgpu().get_mapped_range_mut(..).map_err(|e| lost().caused_by(e))?;
        let mut at = 0;
        for part in parts {
            let bytes: &[u8] = bytemuck::cast_slice(part);
            mapped.slice(at..at + bytes.len()).copy_from_slice(bytes);
            at += bytes.len();
        }
        drop(mapped);
        self.buffer.wgpu().unmap();
        Ok(())
    }

    /// Returns what `read` makes of all words, and unmaps the buffer. Waits for the mapping outside browsers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] if it is not mapped, because the device was lost.
    pub(crate) fn read<R>(&self, gpu: &Gpu, read: impl FnOnce(&[u32]) -> R) -> Result<R> {
        let lost = || gpu.device_error("the results of a step could not be read back; start again");
        if !self.mapping.is_mapped() {
            return Err(lost());
        }
        let mapped = self.buffer.wgpu().get_mapped_range(..).map_err(|e| lost().caused_by(e))?;
        let result = read(bytemuck::cast_slice(&mapped));
        drop(mapped);
        self.buffer.wgpu().unmap();
        Ok(result)
    }
}
