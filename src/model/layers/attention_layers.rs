//! Description of a wave function's attention layers, for maps of their weights.

use super::transformer_layers::TransformerSizes;
use crate::kernels::attention::factored::offset;
use crate::model::Attention;
use crate::physics::Patching;

/// Meaning of the rows and columns of attention weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionKind {
    /// Causal softmax or linear attention, averaged over samples. Row i is the position at which patch i is sampled,
    /// column 0 the start, and column j patch j − 1. Rows sum to 1 and are 0 above the diagonal.
    Causal,
    /// Softmax attention of all patches to all, averaged over samples. Row i is the patch of the query, column j that
    /// of the key. Rows sum to 1.
    Full,
    /// Factored attention, which is the same for every sample and depends only on the relative position of two patches.
    /// Weights can have any sign, and rows any sum.
    Relative,
}

/// Attention layers of a wave function on a lattice.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionLayers {
    /// Meaning of rows and columns.
    pub kind: AttentionKind,
    /// Attention of a causal transformer, otherwise `None`.
    pub attention: Option<Attention>,
    /// Number of layers.
    pub layers: u32,
    /// Number of heads of each layer.
    pub heads: u32,
    /// Width of a head.
    pub head_width: u32,
    /// Sites of the patch of each of the T positions.
    pub patches: Vec<Vec<usize>>,
    /// Parameters of the weights, for [`AttentionKind::Relative`].
    pub relative: Option<FactoredLayers>,
}

impl AttentionLayers {
    /// Attention layers of a causal transformer over the patches of `patching`, or over its large patches if it has
    /// them.
    pub fn causal(sizes: &TransformerSizes, patching: &Patching) -> Self {
        Self {
            kind: AttentionKind::Causal,
            attention: Some(sizes.attention),
            layers: sizes.layers,
            heads: sizes.heads,
            head_width: sizes.head_width(),
            patches: sites_of_patches(patching),
            relative: None,
        }
    }
}

/// Weights of factored attention: one parameter (H, T) for each layer.
#[derive(Debug, Clone, PartialEq)]
pub struct FactoredLayers {
    /// Names of the parameters, layer by layer.
    pub names: Vec<String>,
    /// Tx, Ty
    pub grid: [u32; 2],
}

impl FactoredLayers {
    /// Expands the weights of a head from its T relative positions to (T, T).
    pub fn spread(&self, of_head: &[f32]) -> Vec<f64> {
        let t = of_head.len();
        (0..t * t).map(|at| f64::from(of_head[offset(at / t, at % t, self.grid)])).collect()
    }
}

/// Sites of each patch, in patch order; of each large patch if `patching` has them.
pub(crate) fn sites_of_patches(patching: &Patching) -> Vec<Vec<usize>> {
    let patching = patching.nesting().map_or(patching, |(large, _)| large);
    patching.site_of().chunks(patching.sites_per_patch()).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_weights_are_those_of_the_displacement() {
        let layers = FactoredLayers { names: Vec::new(), grid: [2, 3] };
        // Patch 1 is at (0, 1), patch 5 at (1, 2): a displacement of (1, 1), and (1, 2) in the opposite direction.
        let spread = layers.spread(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!([spread[6 + 5], spread[5 * 6 + 1]], [4.0, 5.0]);
        assert!((0..6).all(|patch| spread[7 * patch] == 0.0));
    }
}
