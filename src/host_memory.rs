//! Memory of the host: large tables are counted before they are built, so that a lack of memory is an error and neither
//! an abort nor swapping.

use crate::error::{Error, ErrorKind, Result};

/// Checks that `bytes` for `what` are available on this machine. `remedy` says how to need less.
///
/// # Errors
/// [`ErrorKind::Memory`] with the required and the available number of bytes.
pub(crate) fn check(what: &str, bytes: u64, remedy: &str) -> Result<()> {
    let available = available().unwrap_or(u64::MAX);
    // Limits of the process, such as those of `ulimit -v`, and machines of which the available memory is not known.
    let is_refused = || Vec::<u8>::new().try_reserve_exact(usize::try_from(bytes).unwrap_or(usize::MAX)).is_err();
    if bytes <= available && !is_refused() {
        return Ok(());
    }
    let needed = bytes.div_ceil(1 << 20);
    let available = match available {
        _ if bytes <= available => "the operating system refuses".into(),
        available => format!("this machine has {} MiB", available >> 20),
    };
    let message = format!("{what} take {needed} MiB of memory, {available}; {remedy}");
    Err(Error::new(ErrorKind::Memory, message))
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
fn available() -> Option<u64> {
    None
}

/// Bytes that Linux can provide without swapping, at most those of the control group, such as that of a container.
#[cfg(target_os = "linux")]
fn available() -> Option<u64> {
    let read = |path| std::fs::read_to_string(path).ok();
    let number = |path| read(path)?.trim().parse::<u64>().ok();
    let machine = of_meminfo(&read("/proc/meminfo")?);
    let (limit, used) = (number("/sys/fs/cgroup/memory.max"), number("/sys/fs/cgroup/memory.current"));
    let group = limit.zip(used).map(|(limit, used)| limit.saturating_sub(used));
    machine.into_iter().chain(group).min()
}

#[cfg(any(target_os = "linux", test))]
fn of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tables_fit_and_absurd_ones_do_not() {
        assert!(check("tables", 1 << 20, "use fewer").is_ok());
        for bytes in [1 << 60, u64::MAX] {
            let error = check("tables", bytes, "use fewer").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Memory);
            let text = error.to_string();
            assert!(
                text.starts_with("tables take ") && text.ends_with("; use fewer") && text.contains("MiB"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_available_memory_is_that_of_linux() {
        let text = "MemTotal:       4045064 kB\nMemFree:  1 kB\nMemAvailable:    2000000 kB\n";
        assert_eq!(of_meminfo(text), Some(2_000_000 << 10));
        assert_eq!(of_meminfo("MemTotal: 1 kB"), None);
    }
}
