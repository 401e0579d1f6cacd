//! Commit of the source and version of wgpu at build time, for the environment of measurements.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "pages in browsers do not run it"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// Commit of this checkout, with the suffix `+` if files that are compiled differ from it. `None` outside a checkout of
/// this crate: it may be unpacked inside that of another project.
fn commit() -> Option<String> {
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
    let hash = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| top == own)?;
    let is_clean = git(&["diff", "--quiet", "HEAD", "--", "src", "shaders", "build.rs", "Cargo.toml"]).is_some();
    Some(if is_clean { hash } else { hash + "+" })
}

/// Version of wgpu in the lock file, or the one that the manifest asks for.
fn wgpu_version() -> Option<String> {
    let lock = std::fs::read_to_string("Cargo.lock").ok()?;
    let (_, package) = lock.split_once("name = \"wgpu\"\nversion = \"")?;
    package.split('"').next().map(String::from)
}

fn main() {
    // What is compiled, and what a commit or a checkout changes.
    let git_files =
        ["HEAD", "logs/HEAD", "packed-refs"].iter().filter_map(|file| git(&["rev-parse", "--git-path", file]));
    let compiled = ["build.rs", "src", "shaders", "Cargo.toml", "Cargo.lock"].map(String::from);
    for path in git_files.chain(compiled).filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = commit().unwrap_or_else(|| format!("v{}", env!("CARGO_PKG_VERSION")));
    println!("cargo::rustc-env=KETFORMER_COMMIT={commit}");
    println!("cargo::rustc-env=KETFORMER_WGPU={}", wgpu_version().unwrap_or_else(|| "30".into()));
}
