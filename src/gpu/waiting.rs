//! Waits for the device, and futures that take their place in a browser.
//!
//! A page must return to the browser before any result of the GPU arrives, so nothing waits there: [`Gpu::wait`] returns an
//! error, and device errors reach the handler of uncaptured errors, from which the next asynchronous function takes them.
//! Natively, each function that waits drives its asynchronous form.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Gpu;
use crate::error::{Error, ErrorKind, Result};

/// Whether results of the GPU arrive only after a return to the browser.
const IN_BROWSER: bool = cfg!(target_arch = "wasm32");

impl Gpu {
    /// Waits until the GPU has finished all submissions, or the given one.
    ///
    /// # Errors
    /// A lost device, or the first of these since the last wait: exhausted memory or a rejected command. In a browser,
    /// which cannot wait, always [`ErrorKind::Device`].
    pub fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        if IN_BROWSER {
            self.failure()?;
            let message = "a page in a browser cannot wait for the GPU; use an asynchronous function, such as \
                           View::read_async";
            return Err(Error::new(ErrorKind::Device, message));
        }
        let polled = self.poll(wgpu::PollType::Wait { submission_index: submission, timeout: None });
        self.failure()?;
        polled
    }

    /// As [`Gpu::wait`] for all submissions so far, without blocking. Outside browsers, the device has to be polled
    /// meanwhile.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub async fn finished(&self) -> Result<()> {
        let (done, finished) = callback();
        self.queue().on_submitted_work_done(move || done(()));
        finished.await;
        self.failure()
    }

    /// Number of times that this crate has waited for the device.
    pub fn waits(&self) -> u64 {
        self.inner.waits.load(Ordering::Relaxed)
    }

    /// Calls the callbacks of finished submissions, without waiting.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub(crate) fn poll_once(&self) -> Result<()> {
        let polled = self.poll(wgpu::PollType::Poll);
        self.failure()?;
        polled
    }

    /// Submits all pending writes and waits for the device, after which wgpu holds no staging copies and dropped
    /// buffers are freed. A browser limits and frees its copies itself.
    ///
    /// # Errors
    /// As [`Gpu::wait`].
    pub(crate) fn flush(&self) -> Result<()> {
        self.inner.staged.store(0, Ordering::Relaxed);
        self.queue().submit([]);
        if IN_BROWSER { self.failure() } else { self.wait(None) }
    }

    /// Runs `work` to its end, and waits for the device wherever it does.
    ///
    /// # Errors
    /// Any error of `work`; as [`Gpu::wait`].
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return result;
            }
            // Callbacks run here, or on another thread that polls the same device.
            self.wait(None)?;
        }
    }

    /// Runs `create` inside error scopes and returns device errors as [`Error`]s.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn guarded<T>(&self, what: &str, create: impl FnOnce() -> T) -> Result<T> {
        let memory = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let made = create();
        if let Some(error) = pollster::block_on(validation.pop()) {
            return Err(Error::new(ErrorKind::Device, format!("{what}: rejected by the device")).caused_by(error));
        }
        if pollster::block_on(memory.pop()).is_some() {
            let message = format!("{what}: the GPU is out of memory; use a smaller memory budget or fewer samples");
            return Err(Error::new(ErrorKind::Memory, message));
        }
        Ok(made)
    }

    /// Runs `create`, whose errors reach the handler of uncaptured errors: error scopes of a browser have to be awaited.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn guarded<T>(&self, _: &str, create: impl FnOnce() -> T) -> Result<T> {
        self.failure()?;
        Ok(create())
    }
}

/// A callback for wgpu, and the future of the value that it receives.
pub(super) fn callback<T: Send + 'static>() -> (impl FnOnce(T) + Send + 'static, impl Future<Output = T>) {
    let receiver = Arc::new(Mutex::new((None, None::<Waker>)));
    let sender = receiver.clone();
    let send = move |value| {
        let mut state = sender.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = Some(value);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    };
    let receive = poll_fn(move |context| {
        let mut state = receiver.lock().unwrap_or_else(PoisonError::into_inner);
        match state.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    });
    (send, receive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_wakes_its_future() {
        use std::sync::atomic::AtomicUsize;
        use std::task::Wake;

        struct Counter(AtomicUsize);
        impl Wake for Counter {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }

        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(counter.clone());
        let (send, receive) = callback();
        let mut receive = pin!(receive);
        assert_eq!(receive.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
        send(7);
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
        assert_eq!(receive.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(7));
    }

    #[test]
    fn work_that_waits_for_the_device_runs_to_its_end() {
        let gpu = Gpu::new().unwrap();
        let values: Vec<u32> = (0..300_000).collect();
        let buffer = gpu.upload("values", &values).unwrap();
        let read = gpu.block_on(async {
            let first: Vec<u32> = buffer.read_async(&gpu, 5).await?;
            let all: Vec<u32> = buffer.read_async(&gpu, values.len()).await?;
            Ok((first, all))
        });
        let (first, all) = read.unwrap();
        assert_eq!(first, values[..5]);
        assert_eq!(all, values);
    }
}
