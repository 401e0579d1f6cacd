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

    /// Returns the result of the task. If it is not complete, waits for it, or returns the task unless `waits`. A panic of
    /// the task continues here.
    pub(crate) fn take(self, waits: bool) -> Result<T, Self> {
        #[cfg(not(target_arch = "wasm32"))]
        let result = match waits || self.thread.is_finished() {
            true => Ok(self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
            false => Err(self),
        };
        #[cfg(target_arch = "wasm32")]
        let (_, result) = (waits, Ok((self.task)()));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_in_the_background_has_its_result_once() {
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let task = Background::start(move || wait.recv().map(|()| 7));
        let Err(task) = task.take(false) else { panic!("the task has not ended") };
        end.send(()).unwrap();
        assert_eq!(task.take(true).ok(), Some(Ok(7)));
    }
}
