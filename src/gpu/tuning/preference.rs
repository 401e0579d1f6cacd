//! Variant preferences of a device handle: a tuning or a variant forced by name, and a log of the selections.

use std::sync::Mutex;

use super::Tuning;
use crate::error::Error;

/// A logged variant selection: which variant of a kernel was used for a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantSelection {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// The class of the shape.
    pub class: String,
    /// The default variant.
    pub default: &'static str,
    /// The variant that was used.
    pub taken: &'static str,
    /// The variants that this adapter and shape support and that have the reduction order of the default, which is
    /// included.
    pub bit_identical: Vec<&'static str>,
    /// All variants of the kernel.
    pub all: Vec<&'static str>,
    /// Whether a variant was forced by name and this kernel has it.
    pub forced: bool,
    /// Why this variant was used, in a few words.
    pub reason: String,
}

#[derive(Debug, Default)]
pub(in crate::gpu) struct Preference {
    pub tuning: Tuning,
    pub forced: Option<String>,
    pub selections: Option<Mutex<Vec<VariantSelection>>>,
    pub storage_only: bool,
    pub checked_shaders: bool,
    pub warning: Option<Error>,
}

impl Preference {
    /// The preferences loaded from a file, with the reason if the file was ignored.
    pub(in crate::gpu) fn loaded(tuning: Result<Option<Tuning>, Error>) -> Self {
        match tuning {
            Ok(tuning) => Self { tuning: tuning.unwrap_or_default(), ..Self::default() },
            Err(warning) => Self { warning: Some(warning), ..Self::default() },
        }
    }
}
