//! Handles of a device with other preferences, a tuning, a forced variant or a log of selections.

use std::sync::{Arc, Mutex};

use super::tuning::{Preference, VariantSelection};
use super::{Gpu, Tuning};
use crate::error::{Error, ErrorKind, Result};

impl Gpu {
    fn preferring(&self, preference: Preference) -> Self {
        Self { preference: Arc::new(preference), ..self.clone() }
    }

    /// The preferences that a derived handle inherits.
    fn kept(&self) -> Preference {
        let Preference { tuning, forced, storage_only, checked_shaders, .. } = &*self.preference;
        Preference {
            tuning: tuning.clone(),
            forced: forced.clone(),
            storage_only: *storage_only,
            checked_shaders: *checked_shaders,
            ..Preference::default()
        }
    }

    /// Returns a handle of the same device that uses `tuning` instead of the loaded one.
    pub fn with_tuning(&self, tuning: Tuning) -> Self {
        self.preferring(Preference { tuning, forced: None, ..self.kept() })
    }

    /// Returns a handle of the same device and tuning whose kernels keep the bounds and loop checks of WebGPU, as with
    /// [`super::GpuOptions::checked_shaders`]. Results are bit-identical. Compiled kernels are not shared with handles
    /// without checks.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if the device was opened with [`super::GpuOptions::unchecked_buffers`].
    pub fn with_checked_shaders(&self) -> Result<Self> {
        if self.unchecked_buffers() {
            let message = "checked shaders rely on the driver's bounds checks, which the device was opened without; leave \
                           GpuOptions::unchecked_buffers out";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        Ok(self.preferring(Preference { checked_shaders: true, ..self.kept() }))
    }

    /// Returns a handle of the same device and tuning whose kernels read storage buffers only, or also textures where
    /// [`Gpu::reads_texels`] is the default. Results are bit-identical.
    pub fn with_texels(&self, texels: bool) -> Self {
        self.preferring(Preference { storage_only: !texels, ..self.kept() })
    }

    /// Whether kernels read buffers of vec4s as textures: on Mesa's software driver, where that is faster.
    pub fn reads_texels(&self) -> bool {
        self.aliases_buffers() && !self.preference.storage_only
    }

    /// Returns a handle of the same device and tuning that forces the variant of this name on every kernel that has it.
    /// Such a kernel returns an error if the variant is not supported.
    pub fn with_variant(&self, variant: &str) -> Self {
        self.preferring(Preference { forced: Some(variant.into()), ..self.kept() })
    }

    /// Returns a handle of the same device and preferences that logs selections for [`Gpu::selections`].
    pub fn with_selection_log(&self) -> Self {
        self.preferring(Preference { selections: Some(Mutex::default()), ..self.kept() })
    }

    /// The preferred variants.
    pub fn tuning(&self) -> &Tuning {
        &self.preference.tuning
    }

    /// The reason that the tuning file was ignored when the device was opened, as a one-line message.
    pub fn tuning_warning(&self) -> Option<&Error> {
        self.preference.warning.as_ref()
    }

    /// Returns the selections since the last call, if this handle is from [`Gpu::with_selection_log`].
    pub fn selections(&self) -> Vec<VariantSelection> {
        let log = self.preference.selections.as_ref().and_then(|selections| selections.lock().ok());
        log.map(|mut selections| std::mem::take(&mut *selections)).unwrap_or_default()
    }

    /// Name of the forced variant, of any kernel.
    pub(crate) fn forced(&self) -> Option<&str> {
        self.preference.forced.as_deref()
    }

    pub(crate) fn log_selection(&self, selection: impl FnOnce() -> VariantSelection) {
        if let Some(mut log) = self.preference.selections.as_ref().and_then(|log| log.lock().ok()) {
            log.push(selection());
        }
    }
}
