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
