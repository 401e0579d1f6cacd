//! Keys of rows.

use super::shape::BenchShape;

/// Key of a row.
#[derive(Debug, Clone)]
pub(super) struct RowKey {
    pub kernel: &'static str,
    pub variant: String,
    pub shape: String,
}

impl RowKey {
    pub(super) fn new(kernel: &'static str, variant: impl Into<String>, shape: &BenchShape) -> Self {
        Self { kernel, variant: variant.into(), shape: shape.to_string() }
    }
}
