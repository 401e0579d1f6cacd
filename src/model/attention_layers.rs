//! Which attention a wave function has, for who wants to see where it looks.

use super::transformer::TransformerSizes;
use crate::kernels::attention::relative::offset;
use crate::physics::Patching;

/// What the rows and columns of the weights of attention are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionKind {
    /// Causal softmax or linear attention, averaged over samples: row i is where patch i is drawn, column 0 the start and
    /// column j the patch j − 1 that was drawn before. Rows add up to 1, and are 0 beyond the diagonal.
    Causal,
    /// Softmax attention of all patches to all, averaged over samples: row i is patch i, column j the patch j that it looks
    /// at. Rows add up to 1.
    Full,
    /// Factored attention, which is the same for every sample and depends on the relative position of two patches alone.
    /// Weights have any sign, and rows any sum.
    Relative,
}

/// The layers of attention of a wave function on a lattice.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionLayers {
    /// What rows and columns are.
    pub kind: AttentionKind,
    /// How many layers.
    pub layers: u32,
    /// Heads of each.
    pub heads: u32,
    /// Width of a head.
    pub head_width: u32,
    /// The sites of each position's patch, T of them.
    pub patches: Vec<Vec<usize>>,
    /// The weights, where they are parameters.
    pub relative: Option<RelativeLayers>,
}

impl AttentionLayers {
    /// Those of a causal transformer over the patches of `patching`, or its large ones where it is nested.
    pub(super) fn causal(sizes: &TransformerSizes, patching: &Patching) -> Self {
        Self {
            kind: AttentionKind::Causal,
            layers: sizes.layers,
            heads: sizes.heads,
            head_width: sizes.head_width(),
            patches: sites_of_patches(patching),
            relative: None,
        }
    }
}

/// Factored attention's weights: parameters (H, T) of every layer.
#[derive(Debug, Clone, PartialEq)]
pub struct RelativeLayers {
    /// Names of the parameters, layer by layer.
    pub names: Vec<String>,
    /// Tx, Ty
    pub grid: [u32; 2],
}

impl RelativeLayers {
    /// The weights (T, T) of a head from its T relative positions.
    pub fn spread(&self, of_head: &[f32]) -> Vec<f64> {
        let t = of_head.len();
        (0..t * t).map(|at| f64::from(of_head[offset(at / t, at % t, self.grid)])).collect()
    }
}

/// The sites of each patch, in the order of the patches; of the large ones where patches are nested.
pub(super) fn sites_of_patches(patching: &Patching) -> Vec<Vec<usize>> {
    let patching = patching.nesting().map_or(patching, |(large, _)| large);
    patching.site_of().chunks(patching.sites_per_patch()).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_weights_are_those_of_the_displacement() {
        let layers = RelativeLayers { names: Vec::new(), grid: [2, 3] };
        // Patch 1 stands at (0, 1), patch 5 at (1, 2): a displacement of (1, 1), and back (1, 2).
        let spread = layers.spread(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!([spread[6 + 5], spread[5 * 6 + 1]], [4.0, 5.0]);
        assert!((0..6).all(|patch| spread[7 * patch] == 0.0));
    }
}
