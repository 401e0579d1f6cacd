//! Mapping of staging buffers while submissions are in flight.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Buffer;

/// Mapping state of a buffer. The callback may run on another thread that polls the same device, after this thread's
/// wait for the step has returned.
#[derive(Default)]
pub(crate) struct Mapping {
    mapped: Mutex<Option<bool>>,
    changed: Condvar,
}

/// Timeout for mapping a buffer after its step has finished.
const PATIENCE: Duration = Duration::from_secs(60);

impl Mapping {
    /// State of a buffer that is mapped.
    pub(crate) fn mapped() -> Self {
        Self { mapped: Mutex::new(Some(true)), ..Self::default() }
    }

    /// Requests the mapping of `buffer`.
    pub(crate) fn ask(self: &Arc<Self>, buffer: &Buffer, mode: wgpu::MapMode) {
        self.tell(None);
        let mapping = self.clone();
        buffer.wgpu().map_async(mode, .., move |result| mapping.tell(Some(result.is_ok())));
    }

    /// Requests the mapping of `buffer` for the time after the submission of `encoder`.
    pub(crate) fn ask_on_submit(
        self: &Arc<Self>,
        encoder: &wgpu::CommandEncoder,
        buffer: &Buffer,
        mode: wgpu::MapMode,
    ) {
        self.tell(None);
        let mapping = self.clone();
        encoder.map_buffer_on_submit(buffer.wgpu(), mode, .., move |result| mapping.tell(Some(result.is_ok())));
    }

    /// Whether the mapping succeeded, if that is known by now.
    pub(crate) fn outcome(&self) -> Option<bool> {
        *self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, mapped: Option<bool>) {
        *self.mapped.lock().unwrap_or_else(PoisonError::into_inner) = mapped;
        self.changed.notify_all();
    }

    /// Waits until the mapping succeeds, fails or times out, and returns whether the buffer is mapped.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn is_mapped(&self) -> bool {
        let waiting = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(waiting, PATIENCE, |mapped| mapped.is_none());
        waited.is_ok_and(|(mapped, _)| *mapped == Some(true))
    }

    /// Whether the buffer is mapped by now. A browser cannot wait.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn is_mapped(&self) -> bool {
        self.outcome() == Some(true)
    }
}
