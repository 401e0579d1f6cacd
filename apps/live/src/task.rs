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
