//! Work that waits for the device or is long: polled once in every frame, because neither a page nor a frame can wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A future that is polled once in every frame. Natively the device has to be polled meanwhile.
pub struct Task<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Task<T> {
    /// Begins `work`.
    pub fn new(work: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(work))
    }

    /// The result, once it is there; the task must not be polled afterwards.
    pub fn poll(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }
}

/// Takes the result of the task in `slot` once it is there.
pub fn finished<T>(slot: &mut Option<Task<T>>) -> Option<T> {
    let result = slot.as_mut()?.poll()?;
    *slot = None;
    Some(result)
}

/// Kernels on a device of their own. In a page the browser continues them whenever a result arrives; a window does in a
/// part of every frame.
pub struct Background {
    #[cfg(not(target_arch = "wasm32"))]
    task: Option<Task<()>>,
}

/// Time of a frame in which a window runs kernels.
#[cfg(not(target_arch = "wasm32"))]
const FRAME: std::time::Duration = std::time::Duration::from_millis(100);

impl Background {
    /// Begins `work`.
    pub fn new(work: impl Future<Output = ()> + 'static) -> Self {
        #[cfg(target_arch = "wasm32")]
        {
            wasm_bindgen_futures::spawn_local(work);
            Self {}
        }
        #[cfg(not(target_arch = "wasm32"))]
        Self { task: Some(Task::new(work)) }
    }

    /// Continues the work for a part of a frame, on the device of `gpu` once there is one.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn advance(&mut self, gpu: impl Fn() -> Option<ketformer::gpu::Gpu>) {
        let begun = web_time::Instant::now();
        while begun.elapsed() < FRAME && self.task.is_some() {
            if let Some(gpu) = gpu() {
                gpu.device().poll(ketformer::wgpu::PollType::Poll).ok();
            }
            finished(&mut self.task);
        }
    }
}
