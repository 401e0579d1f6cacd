//! Storage precision of inference passes.
//!
//! In mixed precision (`precision=mixed`), `weights_cast_f16` writes an f16 copy of the flat parameter buffer, with the
//! same slots, before the sampling of each step. Decoding and the passes over connected configurations read matrices
//! from this copy and store the rows [q | k | v] as f16. Embeddings, biases, norms and everything between kernels are
//! f32. The sampled wave function is that of the rounded network. Its logits are f32, so that Σ P = 1, and samples,
//! amplitude ratios and local energies belong to it within the tolerances of f32.
//!
//! The training pass reads the f32 parameters; gradients, moments and updates are f32. The update is therefore the
//! gradient of log P of the f32 network at samples and local energies of the rounded network, whose log P differs by
//! about 10⁻³. The cast operates on bits (nearest, ties to even), so it is the same on every driver. Weights beyond
//! ±65504 are refused when they are set. If training reaches larger weights or cache rows, ±65504 is stored.

use crate::gpu::DType;

/// Storage precision of sampling and of passes over connected configurations, which compute in f32 in either case.
///
/// With [`Precision::Mixed`], samples are drawn from the network whose weight matrices, queries, keys and values are
/// rounded to f16. Its logits are f32, so Σ P = 1 holds. Amplitude ratios and local energies belong to the same rounded
/// network, so energies are those of a proper wave function. The training pass, gradients and weights stay f32:
/// training follows the gradient of the unrounded network at samples and local energies of the rounded one. On a 4x4
/// Rydberg array this changed the energy of fixed weights by a relative 2·10⁻⁶, and the energy after training by less
/// than a change of the seed (docs/guide.md, "Mixed precision").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// f32 everywhere.
    #[default]
    Single,
    /// f16 for weight matrices and for the rows of queries, keys and values in inference passes. Requires f16 in
    /// shaders.
    Mixed,
}

impl Precision {
    /// Storage type of weight matrices, queries, keys and values in inference passes.
    pub fn storage(self) -> DType {
        match self {
            Self::Single => DType::F32,
            Self::Mixed => DType::F16,
        }
    }
}
