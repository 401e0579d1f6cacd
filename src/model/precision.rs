//! How wide the numbers are that passes without gradient store.

use crate::gpu::Storage;

/// What sampling and moves store; they compute in f32 either way.
///
/// With [`Precision::Mixed`] samples are drawn from the network whose weight matrices, queries, keys and values are
/// rounded to f16. Its logits are f32, so Σ P = 1 holds for it, and ratios and local energies belong to the same rounded
/// network: energies are those of a proper wave function. The pass with gradient, gradients and weights stay f32, so
/// training follows the gradient of the unrounded network at samples and local energies of the rounded one. On a 4x4
/// Rydberg array this moved the energy of given weights by 2·10⁻⁶ of it, and that of training by less than the seed does
/// (docs/guide.md, "Mixed precision").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// f32 everywhere.
    #[default]
    Single,
    /// f16 for weight matrices and for the rows of queries, keys and values of sampling and moves. Needs f16 in shaders.
    Mixed,
}

impl Precision {
    /// How passes without gradient store weight matrices, queries, keys and values.
    pub fn storage(self) -> Storage {
        match self {
            Self::Single => Storage::Word,
            Self::Mixed => Storage::Half,
        }
    }
}
