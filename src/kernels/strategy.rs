//! Strategies of kernels: how the work of a kernel is divided among invocations.

use crate::gpu::Gpu;

/// Strategy of a product, gradient, attention or norm, which selects the shader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Subgroup operations; widths are multiples of 4.
    Subgroup,
    /// One tile per invocation; any shape, any adapter.
    Scalar,
    /// Workgroup memory instead of subgroups, for GPUs: products, their weight gradients, attention and norms. Other
    /// families have no such kernel and use [`Strategy::Scalar`].
    Tiled,
    /// A block of one operand in values with constant indices, for products, their gradients and the feed-forward block
    /// on the CPU.
    Panel,
}

impl Strategy {
    /// Number of lanes of the adapter's subgroups, if the kernels support it.
    pub fn lanes(gpu: &Gpu) -> Option<u32> {
        gpu.subgroup_size().filter(|lanes| matches!(lanes, 4 | 8 | 16 | 32 | 64))
    }

    /// Returns [`Strategy::Subgroup`] if the adapter and the widths allow it, otherwise [`Strategy::Scalar`].
    pub(crate) fn choose(gpu: &Gpu, widths: &[u32]) -> Self {
        let fits = Self::lanes(gpu).is_some() && widths.iter().all(|width| width.is_multiple_of(4));
        if fits { Self::Subgroup } else { Self::Scalar }
    }

    /// Number of independent subgroups per workgroup. More of them help a GPU to hide latency.
    pub(super) fn subgroups(gpu: &Gpu) -> u32 {
        if gpu.is_software() { 2 } else { 4 }
    }
}
