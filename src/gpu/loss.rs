//! Lost devices, by a driver reset, sleep or a watchdog: detection, and opening their adapter again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Gpu;
use super::adapter::all_adapters;
use crate::error::{Error, ErrorKind, Result};

impl Gpu {
    /// Whether the device was lost. Nothing that is on a lost device can be read, and nothing runs on it any more.
    ///
    /// On a device of the caller this maps a small buffer, because its handlers are not changed. Meant for the time after
    /// an error. In a browser, the loss of a device of the caller is known only to the caller.
    pub fn is_lost(&self) -> bool {
        let is_lost = self.inner.lost.get().is_some();
        #[cfg(not(target_arch = "wasm32"))]
        let is_lost = is_lost || !self.maps_buffers();
        is_lost
    }

    /// Opens the adapter of this device again, with the same options, tuning and preferences, after the device was lost.
    /// Buffers and plans are not copied.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] for a device of the caller and if the adapter cannot be opened; [`ErrorKind::Adapter`] if it
    /// is gone.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn reopen(&self) -> Result<Self> {
        let Some(options) = &self.inner.modes.options else {
            let message = "a device that was opened by the caller cannot be opened again here; open another device and \
                           pass it to Gpu::from_device";
            return Err(Error::new(ErrorKind::Device, message));
        };
        let same = |adapter: &wgpu::Adapter| adapter.get_info() == *self.info();
        let adapter = pollster::block_on(all_adapters()).into_iter().find(same).ok_or_else(|| {
            let message = format!("{} is gone since its device was lost; wait for its driver", self.info().name);
            Error::new(ErrorKind::Adapter, message)
        })?;
        let gpu = pollster::block_on(Self::open(&adapter, options))?;
        Ok(Self { preference: self.preference.clone(), ..gpu })
    }

    /// Error of a lost device.
    pub(crate) fn lost_error(&self) -> Error {
        let cause = self.inner.lost.get().map_or_else(String::new, |cause| format!(" ({cause})"));
        let message = format!("the GPU device was lost{cause}; open it again and continue from the newest checkpoint");
        Error::new(ErrorKind::Device, message)
    }

    /// Error of an operation on the device, or that of a lost device if this is the cause.
    pub(crate) fn device_error(&self, message: impl Into<String>) -> Error {
        if self.is_lost() { self.lost_error() } else { Error::new(ErrorKind::Device, message) }
    }

    /// Polls the device. wgpu panics if the device is lost during the call.
    pub(super) fn poll(&self, poll: wgpu::PollType) -> Result<()> {
        if poll.is_wait() {
            self.inner.waits.fetch_add(1, Ordering::Relaxed);
        }
        let failed = || Error::new(ErrorKind::Device, "waiting for the GPU failed; start again");
        match without_panic(|| self.device().poll(poll)) {
            Some(Ok(_)) => Ok(()),
            Some(Err(cause)) => Err(failed().caused_by(cause)),
            None => Err(self.lost_error()),
        }
    }

    /// Whether a new buffer can be mapped, which is not possible on a lost device.
    #[cfg(not(target_arch = "wasm32"))]
    fn maps_buffers(&self) -> bool {
        let mapped = Arc::new(AtomicBool::new(false));
        let outcome = mapped.clone();
        let device = self.device();
        let scopes = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation]
            .map(|filter| device.push_error_scope(filter));
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("ketformer.lost"),
            size: 16,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        buffer.map_async(wgpu::MapMode::Read, .., move |result| outcome.store(result.is_ok(), Ordering::SeqCst));
        let polled = self.poll(wgpu::PollType::Wait { submission_index: None, timeout: None });
        for scope in scopes.into_iter().rev() {
            pollster::block_on(scope.pop());
        }
        polled.is_ok() && mapped.load(Ordering::SeqCst)
    }
}

/// Result of `run`; `None` if it panicked.
fn without_panic<T>(run: impl FnOnce() -> T) -> Option<T> {
    // What the closure changes belongs to wgpu, which has already marked the device as lost.
    catch_unwind(AssertUnwindSafe(run)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_wgpu_becomes_an_error() {
        assert_eq!(without_panic(|| 3), Some(3));
        assert_eq!(without_panic(|| std::panic::resume_unwind(Box::new("Error in Device::poll"))), None::<u32>);
    }
}
