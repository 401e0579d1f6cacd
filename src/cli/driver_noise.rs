//! Suppression of driver messages on stderr that a user cannot act on.

/// Sets `XDG_RUNTIME_DIR` if it is not set, as on servers and in containers. Otherwise libwayland, which Vulkan drivers
/// load to find a display, prints two errors. It accepts any absolute path and finds no display at this one.
///
/// Must be called first in the program, before any thread is started.
pub fn hush() {
    #[cfg(target_os = "linux")]
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: no other thread is running yet that could read the environment at the same time.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", "/nonexistent") };
    }
}

/// Begin of the panic message of wgpu for a device that is lost while it is polled. The library catches the panic and
/// returns an error.
const LOST: &str = "Error in Device::poll";

/// Omits the message of that panic.
pub fn hush_lost_devices() {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map(String::as_str);
        if !text.is_some_and(|text| text.starts_with(LOST)) {
            show(panic);
        }
    }));
}
