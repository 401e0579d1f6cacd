//! Devices of tests that run in parallel.

use std::sync::OnceLock;

use ketformer::gpu::Gpu;

/// Devices on this machine's adapter, one for each core: a software driver compiles and runs the kernels of one device
/// sequentially.
pub fn devices() -> &'static [Gpu] {
    static DEVICES: OnceLock<Vec<Gpu>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        // Mesa's software driver then starts no worker threads: small launches are up to three times as fast, and the
        // other cores remain free for the other devices.
        // SAFETY: no device exists yet, so that no thread of a driver reads the environment, and Rust's accesses are
        // synchronized.
        unsafe { std::env::set_var("LP_NUM_THREADS", "0") };
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        let open = || Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one");
        (0..cores).map(|_| open()).collect()
    })
}
