//! Where a measurement comes from: adapter, driver, source.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::gpu::Gpu;

/// What a measurement was made on and of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the adapter.
    pub adapter: String,
    /// Backend and driver with its version.
    pub driver: String,
    /// The commit of the source, with `+` behind it where files differ from it; outside a checkout the crate's version.
    pub commit: String,
}

impl Origin {
    /// The adapter of `gpu` and this source.
    pub fn of(gpu: &Gpu) -> Self {
        let info = gpu.info();
        let driver = format!("{:?} {} {}", info.backend, info.driver, info.driver_info);
        Self { adapter: info.name.trim().into(), driver: driver.trim().into(), commit: commit() }
    }
}

/// What git says in the folder that the crate was built from.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn commit() -> String {
    // The crate may lie unpacked inside another project's checkout.
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
