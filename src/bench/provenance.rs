//! Provenance of a measurement: adapter, driver, source.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::gpu::Gpu;

/// Provenance of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provenance {
    /// Name of the adapter.
    pub adapter: String,
    /// Backend and driver with its version.
    pub driver: String,
    /// Commit of the source, with a `+` suffix if files differ from it; outside a checkout the version of the crate.
    pub commit: String,
}

impl Provenance {
    /// Provenance of measurements on `gpu` with this source.
    pub fn of(gpu: &Gpu) -> Self {
        let info = gpu.info();
        let driver = format!("{:?} {} {}", info.backend, info.driver, info.driver_info);
        Self { adapter: info.name.trim().into(), driver: driver.trim().into(), commit: commit() }
    }
}

/// Output of git in the folder from which the crate was built; `None` if it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn commit() -> String {
    // The crate may be unpacked inside the checkout of another project.
    let top = git(&["rev-parse", "--show-toplevel"]).and_then(|top| Path::new(&top).canonicalize().ok());
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok();
    let hash = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| top.is_some() && top == own);
    match hash {
        Some(hash) if git(&["diff", "--quiet", "HEAD"]).is_some() => hash,
        Some(hash) => format!("{hash}+"),
        None => concat!("v", env!("CARGO_PKG_VERSION")).into(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_source_is_named_in_one_word() {
        let commit = super::commit();
        assert!(
            !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c)),
            "{commit}"
        );
    }
}
