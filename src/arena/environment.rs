//! Environment of a measurement: adapter, driver, host, and versions of the source.

use serde::{Deserialize, Serialize};

use crate::gpu::Gpu;

/// Environment of a measurement. Two rows are comparable if all fields but `date` are equal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Environment {
    /// Name of the adapter.
    pub adapter: String,
    /// Vulkan, Metal, Dx12 or BrowserWebGpu.
    pub backend: String,
    /// Driver with its version.
    pub driver: String,
    /// Whether the adapter computes on the CPU.
    pub software: bool,
    /// Operating system, or `browser`.
    pub os: String,
    /// Architecture of the processor, such as x86_64 or wasm32.
    pub arch: String,
    /// Processor of the host: name, family and model if known, number of threads.
    pub cpu: String,
    /// Optional features of the device that kernels may use.
    pub features: String,
    /// Smallest and largest number of lanes of a subgroup.
    pub subgroup_sizes: [u32; 2],
    /// Whether variants were selected by `ketformer tune` instead of by rules.
    pub tuned: bool,
    /// Version of wgpu.
    pub wgpu: String,
    /// Version of this crate.
    pub version: String,
    /// Commit of the source at build time, with a `+` suffix if files differ from it; outside a checkout the version of
    /// the crate.
    pub commit: String,
    /// Time of the measurement, RFC 3339 in UTC.
    pub date: String,
}

impl Environment {
    /// Environment of measurements on `gpu` now.
    pub fn of(gpu: &Gpu) -> Self {
        let info = gpu.info();
        let driver = format!("{} {}", info.driver, info.driver_info);
        Self {
            adapter: gpu.name().into(),
            backend: format!("{:?}", info.backend),
            driver: driver.trim().into(),
            software: gpu.is_software(),
            os: os(),
            arch: std::env::consts::ARCH.into(),
            cpu: cpu(),
            features: features(gpu.features()),
            subgroup_sizes: [info.subgroup_min_size, info.subgroup_max_size],
            tuned: !gpu.tuning().is_empty(),
            wgpu: env!("KETFORMER_WGPU").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: commit().into(),
            date: date(),
        }
    }
}

/// Commit of the source at build time.
pub fn commit() -> &'static str {
    env!("KETFORMER_COMMIT")
}

fn features(all: wgpu::Features) -> String {
    let known = [
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::SHADER_F16, "f16"),
        (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
        (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative-matrix"),
    ];
    let names: Vec<&str> = known.iter().filter(|(bit, _)| all.contains(*bit)).map(|(_, name)| *name).collect();
    names.join(" ")
}

#[allow(clippy::disallowed_types, reason = "the time 0, not the clock")]
fn date() -> String {
    let since = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).unwrap_or_default();
    humantime::format_rfc3339_seconds(std::time::SystemTime::UNIX_EPOCH + since).to_string()
}

/// Value of a line `key = value` or `key: value` of a text.
fn value(text: &str, key: &str) -> Option<String> {
    let pair =
        |line: &str| line.split_once([':', '=']).map(|(name, value)| (name.trim().to_string(), value.to_string()));
    let (_, value) = text.lines().filter_map(pair).find(|(name, _)| name == key)?;
    Some(value.trim().trim_matches('"').into())
}

#[cfg(target_arch = "wasm32")]
fn os() -> String {
    "browser".into()
}

#[cfg(target_arch = "wasm32")]
fn cpu() -> String {
    String::new()
}

#[cfg(not(target_arch = "wasm32"))]
fn os() -> String {
    let release = std::fs::read_to_string("/etc/os-release").ok();
    let name = release.and_then(|text| value(&text, "PRETTY_NAME"));
    name.map_or_else(|| std::env::consts::OS.into(), |name| format!("{} ({name})", std::env::consts::OS))
}

#[cfg(not(target_arch = "wasm32"))]
fn cpu() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let name = if cfg!(target_os = "macos") {
        let output = std::process::Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string())
    } else if cfg!(target_os = "windows") {
        std::env::var("PROCESSOR_IDENTIFIER").ok()
    } else {
        std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| linux_cpu(&text))
    };
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.into());
    format!("{name}, {threads} threads")
}

/// Name of the first processor in /proc/cpuinfo. Names of virtual machines say little, so that family and model follow.
#[cfg(not(target_arch = "wasm32"))]
fn linux_cpu(text: &str) -> Option<String> {
    let name = value(text, "model name")?;
    Some(match (value(text, "cpu family"), value(text, "model")) {
        (Some(family), Some(model)) => format!("{name}, family {family} model {model}"),
        _ => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_named_in_one_word() {
        let commit = commit();
        assert!(
            !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c)),
            "{commit}"
        );
        assert!(env!("KETFORMER_WGPU").starts_with("30"));
    }

    #[test]
    fn processors_of_virtual_machines_have_family_and_model() {
        let text = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 167\nmodel name\t: Intel(R) Xeon(R) Processor\n";
        assert_eq!(linux_cpu(text).unwrap(), "Intel(R) Xeon(R) Processor, family 6 model 167");
        assert_eq!(linux_cpu("model name : x\n").unwrap(), "x");
        assert!(linux_cpu("").is_none());
    }

    #[test]
    fn every_field_of_an_opened_device_is_known() {
        let environment = Environment::of(&Gpu::new().unwrap());
        for text in [&environment.adapter, &environment.backend, &environment.os, &environment.cpu, &environment.date] {
            assert!(!text.is_empty(), "{environment:?}");
        }
        assert!(environment.date.ends_with('Z') && environment.date.starts_with("20"), "{}", environment.date);
    }
}
