//! Keys of rows.

use super::shape::BenchShape;

/// Key of a row.
#[derive(Debug, Clone)]
pub struct RowKey {
    pub(super) kernel: String,
    pub(super) variant: String,
    pub(super) shape: String,
}

impl RowKey {
    /// Key of a kernel, a variant of the measurement such as `causal`, and the sizes.
    pub fn new(kernel: impl Into<String>, variant: impl Into<String>, shape: &BenchShape) -> Self {
        Self { kernel: kernel.into(), variant: variant.into(), shape: shape.to_string() }
    }
}
