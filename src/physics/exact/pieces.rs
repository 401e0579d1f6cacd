//! Long computations in pieces: futures that give control back after each piece, without a device to wait for.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Gives control back to whoever polls, once.
pub(super) async fn pause() {
    let mut is_polled = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut is_polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs all pieces of `work`.
pub(super) fn finish<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}
