//! Adapters of this machine, and the selection of one.

use crate::error::{Error, ErrorKind, Result};

/// An adapter that has not been opened.
#[derive(Debug, Clone)]
pub struct AdapterSummary {
    /// Index in the list, valid as [`super::GpuOptions::adapter`].
    pub index: usize,
    /// Name, driver, backend, device type and subgroup sizes.
    pub info: wgpu::AdapterInfo,
    /// Maximum limits of the adapter.
    pub limits: wgpu::Limits,
    /// Supported optional features, such as timestamp queries or subgroups.
    pub features: wgpu::Features,
}

/// Index or name of the adapter, if [`super::GpuOptions::adapter`] names none.
const ENVIRONMENT: &str = "KETFORMER_ADAPTER";
/// wgpu's variable with a part of the adapter's name.
const WGPU_NAME: &str = "WGPU_ADAPTER_NAME";
/// wgpu's variable with the backends to use.
const WGPU_BACKENDS: &str = "WGPU_BACKEND";

/// Returns the adapters of this machine in the order of their indices.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<AdapterSummary> {
    let summary = |(index, adapter): (usize, wgpu::Adapter)| AdapterSummary {
        index,
        info: adapter.get_info(),
        limits: adapter.limits(),
        features: adapter.features(),
    };
    pollster::block_on(all_adapters()).into_iter().enumerate().map(summary).collect()
}

/// Error of a machine without adapters: its cause and remedy.
#[cfg(not(target_arch = "wasm32"))]
pub fn no_adapter() -> Error {
    let hidden = std::env::var(WGPU_BACKENDS).ok().filter(|value| !value.is_empty());
    let hidden = hidden.map(|value| (value, pollster::block_on(of_backends(wgpu::Backends::all()))));
    let message = match hidden {
        Some((value, adapters)) if !adapters.is_empty() => format!(
            "no adapter found: the environment variable {WGPU_BACKENDS}={value} leaves out {}; unset it",
            listed(&infos(&adapters))
        ),
        _ => {
            "no Vulkan, Metal or DX12 adapter found; install a graphics driver, or Mesa's software Vulkan driver with \
              ./setup.sh"
                .into()
        }
    };
    Error::new(ErrorKind::Adapter, message)
}

/// Error of a browser without adapters.
#[cfg(target_arch = "wasm32")]
pub fn no_adapter() -> Error {
    let message = "this browser offers no WebGPU adapter; use a browser with WebGPU, and allow it to use the GPU";
    Error::new(ErrorKind::Adapter, message)
}

/// Selects an adapter by `wanted`, the environment or rank.
///
/// # Errors
/// [`ErrorKind::Adapter`] if there is none, or not exactly one with the requested index or name.
pub(super) async fn select(wanted: Option<&str>) -> Result<wgpu::Adapter> {
    let mut adapters = all_adapters().await;
    if adapters.is_empty() {
        return Err(no_adapter());
    }
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let infos = infos(&adapters);
    let position = match (wanted, variable(ENVIRONMENT), variable(WGPU_NAME)) {
        (Some(wanted), ..) => numbered_or_named(&infos, "GpuOptions::adapter", wanted)?,
        (None, Some(wanted), _) => numbered_or_named(&infos, ENVIRONMENT, &wanted)?,
        (None, None, Some(wanted)) => named(&infos, WGPU_NAME, &wanted)?,
        (None, None, None) => (0..infos.len()).min_by_key(|index| rank(&infos[*index])).unwrap_or_default(),
    };
    Ok(adapters.swap_remove(position))
}

/// Adapters of this machine in the order of their indices. A browser offers one.
pub(super) async fn all_adapters() -> Vec<wgpu::Adapter> {
    of_backends(wgpu::InstanceDescriptor::new_without_display_handle_from_env().backends).await
}

async fn of_backends(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = backends;
    // A kernel of this crate writes the indirect grids, within limits by construction. wgpu's check of them would add a
    // dispatch before each indirect one.
    descriptor.flags.remove(wgpu::InstanceFlags::VALIDATION_INDIRECT_CALL);
    wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::all()).await
}

fn infos(adapters: &[wgpu::Adapter]) -> Vec<wgpu::AdapterInfo> {
    adapters.iter().map(wgpu::Adapter::get_info).collect()
}

/// Rank of an adapter when the user names none; lower is better.
fn rank(info: &wgpu::AdapterInfo) -> u8 {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// Position of the adapter with the index or the name `wanted`, which comes from the option or variable `source`.
fn numbered_or_named(infos: &[wgpu::AdapterInfo], source: &str, wanted: &str) -> Result<usize> {
    if wanted.is_empty() || !wanted.bytes().all(|byte| byte.is_ascii_digit()) {
        return named(infos, source, wanted);
    }
    let index = wanted.parse().ok().filter(|index| *index < infos.len());
    index.ok_or_else(|| refused(infos, source, wanted, "no adapter has this index", "give one of these indices"))
}

/// Position of the only adapter whose name is `wanted` or, if there is none, contains it.
fn named(infos: &[wgpu::AdapterInfo], source: &str, wanted: &str) -> Result<usize> {
    let lower = wanted.trim().to_lowercase();
    let positions = |matches: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..infos.len()).filter(|index| matches(&infos[*index].name.to_lowercase())).collect()
    };
    let whole = positions(&|name| name == lower);
    let found = if whole.is_empty() { positions(&|name| !lower.is_empty() && name.contains(&lower)) } else { whole };
    match found[..] {
        [index] => Ok(index),
        [] => Err(refused(infos, source, wanted, "no adapter has this name", "give an index or a part of a name")),
        _ => {
            let indices: Vec<String> = found.iter().map(usize::to_string).collect();
            let what = format!("it matches several adapters, {}", indices.join(", "));
            Err(refused(infos, source, wanted, &what, "give an index"))
        }
    }
}

fn refused(infos: &[wgpu::AdapterInfo], source: &str, wanted: &str, what: &str, remedy: &str) -> Error {
    let remedy = if source == WGPU_NAME { "give a longer part of one name, or unset it" } else { remedy };
    let message = format!("{source}={wanted}: {what}; this machine has {}; {remedy}", listed(infos));
    Error::new(ErrorKind::Adapter, message)
}

/// `0 = NAME (Vulkan), 1 = NAME (Dx12)`.
fn listed(infos: &[wgpu::AdapterInfo]) -> String {
    let words = infos.iter().enumerate().map(|(index, info)| format!("{index} = {} ({:?})", info.name, info.backend));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Vec<wgpu::AdapterInfo> {
        let info = |name: &str, backend| {
            let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::DiscreteGpu, backend);
            info.name = name.into();
            info
        };
        let vulkan = wgpu::Backend::Vulkan;
        vec![
            info("llvmpipe (LLVM 15.0.6, 256 bits)", vulkan),
            info("NVIDIA RTX 4090", vulkan),
            info("NVIDIA RTX 4090 Laptop", vulkan),
            info("Arc A770", vulkan),
            info("Arc A770", wgpu::Backend::Dx12),
        ]
    }

    #[test]
    fn a_number_is_an_index() {
        let found = |wanted| numbered_or_named(&machine(), "GpuOptions::adapter", wanted);
        assert_eq!(found("0").unwrap(), 0);
        assert_eq!(found("4").unwrap(), 4);
        for wanted in ["5", "15", "256", "4090", "770", "4294967296", "99999999999999999999999"] {
            let error = found(wanted).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Adapter);
            let start =
                format!("GpuOptions::adapter={wanted}: no adapter has this index; this machine has 0 = llvmpipe");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }

    #[test]
    fn a_name_is_that_of_one_adapter() {
        let found = |wanted| numbered_or_named(&machine(), "KETFORMER_ADAPTER", wanted);
        for (wanted, index) in [("LLVM", 0), ("laptop", 2), ("nvidia rtx 4090", 1), (" llvmpipe ", 0)] {
            assert_eq!(found(wanted).unwrap(), index, "{wanted}");
        }
        for (wanted, indices) in [("nvidia", "1, 2"), ("Arc A770", "3, 4"), ("rtx 40", "1, 2")] {
            let text = found(wanted).unwrap_err().to_string();
            assert!(text.contains(&format!("it matches several adapters, {indices}")), "{text}");
            assert!(text.contains("4 = Arc A770 (Dx12)"), "{text}");
        }
        for wanted in ["", " ", "radeon", "-1", "1.5", "0x1"] {
            assert!(found(wanted).unwrap_err().to_string().contains("no adapter has this name"), "{wanted}");
        }
    }

    #[test]
    fn the_variable_of_wgpu_is_a_name() {
        assert_eq!(named(&machine(), WGPU_NAME, "15.0").unwrap(), 0);
        let text = named(&machine(), WGPU_NAME, "radeon").unwrap_err().to_string();
        assert!(text.starts_with("WGPU_ADAPTER_NAME=radeon: ") && text.ends_with("or unset it"), "{text}");
    }
}
