//! Sizes of a vision transformer on a lattice.

/// Attention between the patches of a vision transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum VitAttention {
    /// Weights of each head depend only on relative positions: ψ is invariant under translations by a patch.
    #[default]
    Factored,
    /// softmax(q kᵀ / √D) v over all patches, with a learned vector for each position.
    Softmax,
}

/// Sizes of a vision transformer on a lattice, as `u32` for shaders.
#[derive(Debug, Clone, Copy)]
pub(super) struct VitSizes {
    /// P
    pub sites_per_patch: u32,
    /// Tx, Ty
    pub grid: [u32; 2],
    /// d
    pub width: u32,
    /// h
    pub heads: u32,
    /// K
    pub layers: u32,
    pub attention: VitAttention,
}

impl VitSizes {
    /// T
    pub(super) fn patches(&self) -> u32 {
        self.grid[0] * self.grid[1]
    }

    /// N
    pub(super) fn sites(&self) -> u32 {
        self.patches() * self.sites_per_patch
    }

    /// F
    pub(super) fn hidden(&self) -> u32 {
        4 * self.width
    }

    /// Width of a head.
    pub(super) fn head_width(&self) -> u32 {
        self.width / self.heads
    }

    /// Columns of the input of attention: values, or queries, keys and values.
    pub(super) fn projected(&self) -> u32 {
        match self.attention {
            VitAttention::Factored => self.width,
            VitAttention::Softmax => 3 * self.width,
        }
    }
}
