//! What drivers print on stderr that no user can act on, kept away.

/// libwayland, which Vulkan drivers load and ask for a display, complains twice where there is no runtime folder, as on
/// servers and in containers. It is content with any absolute path and finds no display behind this one.
///
/// To be called first in the program, before anything can have started a thread.
pub fn hush() {
    #[cfg(target_os = "linux")]
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: no other thread is running yet, so that none can read the environment at the same time.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", "/nonexistent") };
    }
}
