//! What one handle of a device prefers where a kernel has several forms: a tuning, a form asked for by name; and, for
//! those who want to know, what was asked.

use std::sync::{Arc, Mutex};

use super::{Gpu, Tuning};
use crate::error::Error;

/// A question that came up while kernels were recorded: which form of a kernel to take for a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The kernel.
    pub kernel: &'static str,
    /// The class of the shape.
    pub class: String,
    /// The form that the rule takes.
    pub default: &'static str,
    /// The form that was taken.
    pub taken: &'static str,
    /// The forms that this adapter and shape allow and that add in the order of the default, which is among them.
    pub alike: Vec<&'static str>,
    /// Every form of the kernel.
    pub all: Vec<&'static str>,
    /// Whether a form was asked for by name, and this kernel has it.
    pub forced: bool,
}

#[derive(Debug, Default)]
pub(super) struct Preference {
    tuning: Tuning,
    forced: Option<String>,
    asked: Option<Mutex<Vec<Asked>>>,
    storage_only: bool,
    warning: Option<Error>,
}

impl Preference {
    /// What a file gives; why it gives nothing is kept.
    pub(super) fn loaded(tuning: Result<Option<Tuning>, Error>) -> Self {
        match tuning {
            Ok(tuning) => Self { tuning: tuning.unwrap_or_default(), ..Self::default() },
            Err(warning) => Self { warning: Some(warning), ..Self::default() },
        }
    }
}

impl Gpu {
    fn preferring(&self, preference: Preference) -> Self {
        Self { preference: Arc::new(preference), inner: self.inner.clone() }
    }

    /// The preferences that another handle keeps.
    fn kept(&self) -> Preference {
        let Preference { tuning, forced, storage_only, .. } = &*self.preference;
        Preference {
            tuning: tuning.clone(),
            forced: forced.clone(),
            storage_only: *storage_only,
            ..Preference::default()
        }
    }

    /// The same device, with `tuning` instead of what it was opened with.
    pub fn with_tuning(&self, tuning: Tuning) -> Self {
        self.preferring(Preference { tuning, forced: None, ..self.kept() })
    }

    /// The same device with the same tuning, whose kernels read storage buffers alone, or also textures where
    /// [`Gpu::reads_texels`] is the default. Results are the same bits.
    pub fn with_texels(&self, texels: bool) -> Self {
        self.preferring(Preference { storage_only: !texels, ..self.kept() })
    }

    /// Whether kernels read buffers of vec4s as textures here: on Mesa's software driver, where that is faster.
    pub fn reads_texels(&self) -> bool {
        self.aliases_buffers() && !self.preference.storage_only
    }

    /// The same device with the same tuning; kernels that have a form of this name take it, or say why they cannot.
    pub fn forcing(&self, form: &str) -> Self {
        self.preferring(Preference { forced: Some(form.into()), ..self.kept() })
    }

    /// The same device with the same preferences, that keeps what is asked of it for [`Gpu::asked`].
    pub fn listening(&self) -> Self {
        self.preferring(Preference { asked: Some(Mutex::default()), ..self.kept() })
    }

    /// Which forms are preferred.
    pub fn tuning(&self) -> &Tuning {
        &self.preference.tuning
    }

    /// Why a tuning file was ignored when the device was opened: one line for people.
    pub fn tuning_warning(&self) -> Option<&Error> {
        self.preference.warning.as_ref()
    }

    /// What was asked since the last call, where this handle is one of [`Gpu::listening`].
    pub fn asked(&self) -> Vec<Asked> {
        let log = self.preference.asked.as_ref().and_then(|asked| asked.lock().ok());
        log.map(|mut asked| std::mem::take(&mut *asked)).unwrap_or_default()
    }

    /// The name of the form that is asked for, of whichever kernel.
    pub(crate) fn forced(&self) -> Option<&str> {
        self.preference.forced.as_deref()
    }

    pub(crate) fn hear(&self, asked: impl FnOnce() -> Asked) {
        if let Some(mut log) = self.preference.asked.as_ref().and_then(|log| log.lock().ok()) {
            log.push(asked());
        }
    }
}
