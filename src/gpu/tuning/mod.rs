//! Tuning: the variants that were measured to be faster than the defaults on an adapter.
//!
//! [`Gpu::new`] reads the file that `ketformer tune` writes. A device of the caller ([`Gpu::from_device`]) and one in a
//! browser use no tuning unless [`Gpu::with_tuning`] sets one.
//!
//! [`Gpu::new`]: crate::gpu::Gpu::new
//! [`Gpu::from_device`]: crate::gpu::Gpu::from_device
//! [`Gpu::with_tuning`]: crate::gpu::Gpu::with_tuning

#[cfg(not(target_arch = "wasm32"))]
mod file;
mod preference;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Result;
pub(in crate::gpu) use preference::Preference;
pub use preference::VariantSelection;

/// A variant of a kernel that was faster than the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedVariant {
    /// Name of the preferred variant.
    pub variant: String,
    /// The default variant at the time of the measurement.
    pub instead_of: String,
    /// Time of `instead_of` divided by the time of `variant`.
    pub gain: f64,
}

/// The preferred variants by kernel and shape class. Preferred variants are bit-identical to the defaults, so a tuning
/// changes only times.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning(BTreeMap<String, BTreeMap<String, TunedVariant>>);

impl Tuning {
    /// Sets the preferred variant of `kernel` for the shapes of `class`.
    pub fn set(&mut self, kernel: &str, class: &str, preferred: TunedVariant) {
        self.0.entry(kernel.into()).or_default().insert(class.into(), preferred);
    }

    /// Returns the preferred variant, if there is one.
    pub fn get(&self, kernel: &str, class: &str) -> Option<&TunedVariant> {
        self.0.get(kernel)?.get(class)
    }

    /// All preferred variants: kernel, class, variant.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &TunedVariant)> {
        self.0.iter().flat_map(|(kernel, classes)| {
            classes.iter().map(move |(class, preferred)| (kernel.as_str(), class.as_str(), preferred))
        })
    }

    /// Whether there is no preferred variant.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Tuning of this machine for an adapter; `None` without a file or a cache folder.
    ///
    /// # Errors
    /// As [`Tuning::load`].
    #[cfg(not(target_arch = "wasm32"))]
    pub(in crate::gpu) fn of_this_machine(info: &wgpu::AdapterInfo) -> Result<Option<Self>> {
        Self::path(info).map_or(Ok(None), |path| Self::load(&path, info))
    }

    /// A browser has no files.
    #[cfg(target_arch = "wasm32")]
    pub(in crate::gpu) fn of_this_machine(_: &wgpu::AdapterInfo) -> Result<Option<Self>> {
        Ok(None)
    }
}
