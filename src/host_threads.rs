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
