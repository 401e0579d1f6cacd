//! Threads of the host. In a browser there is one.

/// Number of processor cores that this process may use.
pub(crate) fn cores() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    #[cfg(target_arch = "wasm32")]
    let cores = 1;
    cores
}

/// Runs every task, each on a thread of its own.
pub(crate) fn run<T: FnOnce() + Send>(tasks: impl Iterator<Item = T>) {
    #[cfg(not(target_arch = "wasm32"))]
    std::thread::scope(|scope| {
        tasks.for_each(|task| {
            scope.spawn(task);
        });
    });
    #[cfg(target_arch = "wasm32")]
    tasks.for_each(|task| task());
}

/// Task in the background: on a thread of its own, or in a browser when its result is taken.
pub(crate) struct Background<T> {
    #[cfg(not(target_arch = "wasm32"))]
    thread: std::thread::JoinHandle<T>,
    #[cfg(target_arch = "wasm32")]
    task: Box<dyn FnOnce() -> T + Send>,
}

impl<T: Send + 'static> Background<T> {
    /// Starts `task`.
    pub(crate) fn start(task: impl FnOnce() -> T + Send + 'static) -> Self {
        Self {
            #[cfg(not(target_arch = "wasm32"))]
            thread: std::thread::spawn(task),
            #[cfg(target_arch = "wasm32")]
            task: Box::new(task),
        }
    }

    /// Whether [`Background::take`] returns without waiting for another thread.
    pub(crate) fn is_ready(&self) -> bool {
        #[cfg(not(target_arch = "wasm32"))]
        let is_ready = self.thread.is_finished();
        #[cfg(target_arch = "wasm32")]
        let is_ready = true;
        is_ready
    }

    /// Returns the result of the task. A panic of the task continues here.
    pub(crate) fn take(self) -> T {
        #[cfg(not(target_arch = "wasm32"))]
        let result = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        #[cfg(target_arch = "wasm32")]
        let result = (self.task)();
        result
    }
}
