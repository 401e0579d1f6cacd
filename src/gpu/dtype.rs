//! Element types of buffers.

use serde::{Deserialize, Serialize};

/// Element width of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DType {
    /// Four bytes: f32, u32 or i32.
    #[default]
    F32,
    /// Two bytes: f16. Kernels convert f16 to f32 on load; all arithmetic is f32.
    F16,
}

impl DType {
    /// Size of an element in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.bits()) / 8
    }

    /// Size of an element in bits: the value of the spec constants of kernels that accept both types.
    pub fn bits(self) -> u32 {
        match self {
            Self::F32 => 32,
            Self::F16 => 16,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}
