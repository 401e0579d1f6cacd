//! Vision-transformer wave function (ViT) of Rende, Viteritti, Bardone, Becca & Goldt, Commun. Phys. 7, 260 (2024),
//! arXiv:2310.05715: complex, and invariant under translations by a patch if its attention is factored.
//!
//! ```text
//! x_t   = W_e s_t + b_e                                                       s_t: the P spins of patch t, ±1
//! block:  y = LN(x);   x += W_o A(y) + b_o;   y = LN(x);   x += W_2 gelu(W_1 y + b_1) + b_2       hidden width 4d
//! head:   z = LN(Σ_t x_t)       u = (W_r z + b_r) + i (W_i z + b_i)           log ψ = Σ_α log cosh u_α
//! ```
//!
//! A is factored attention, o_i = Σ_j A[r(i, j)] v_j with weights that depend only on relative positions
//! ([`crate::kernels::attention::factored`]), or softmax attention over all patches, which requires learned positions
//! to distinguish them. ψ is unnormalized and sampled by Markov chains.
//!
//! Every connected configuration and every proposal of a chain takes a whole pass. The GPU lists the pairs of a sample
//! and an off-diagonal term whose condition holds, in order ([`crate::kernels::vmc::connected`]), and the grids of the
//! pass follow from their number. An exchange is one of the A(σ) antiparallel pairs at distance 1 or √2 (2 on a chain),
//! accepted with probability min(1, |ψ'/ψ|² A(σ)/A(σ')), so that no pass is spent on a proposal that changes nothing.
//! log ψ of the current configurations is kept. A proposal is recorded once and repeated
//! ([`crate::gpu::Plan::repeat`]), with its number counted on the device, so that plans do not grow with the number of
//! sweeps.

mod chains;
mod encoder;
mod network;
mod parameters;
mod sizes;
mod training;

use self::network::VitNetwork;
use super::layers::attention_layers::sites_of_patches;
use super::sampling::sector::check_even;
use super::{
    AttentionKind, AttentionLayers, Capacity, FactoredLayers, Layout, Metropolis, Model, Parameters, Proposal,
    WaveFunction,
};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
use crate::kernels::attention::factored::FactoredShape;
use crate::physics::{Lattice, Patch, Patching, Symmetry};
pub use sizes::VitAttention;
use sizes::VitSizes;

/// Settings of the vision transformer.
#[derive(Debug, Clone, PartialEq)]
pub struct Vit {
    /// Sites of a token. Patches must map onto patches by translations of the periodic lattice.
    pub patch: Patch,
    /// Width d of a token; a multiple of 4.
    pub width: usize,
    /// Heads h; a divisor of the width.
    pub heads: usize,
    /// K
    pub layers: usize,
    /// Attention between patches.
    pub attention: VitAttention,
    /// Markov chains that sample its configurations.
    pub sampling: Metropolis,
}

impl Vit {
    /// Default number of sweeps, of N proposals each, between two samples of a chain. Sampling then takes about as many
    /// passes as the 2N possible exchanges of a sample on a square lattice with next-nearest neighbors.
    const SWEEPS: usize = 2;
    /// Default number of sweeps before the first sample; each takes N passes of every chain.
    const BURN_IN: usize = 10;

    /// Returns chains with the default numbers of sweeps, whose proposals exchange neighbors.
    pub fn default_sampling() -> Metropolis {
        Metropolis { chains: None, sweeps: Self::SWEEPS, burn_in: Self::BURN_IN, proposal: Proposal::Exchange }
    }
}

impl Default for Vit {
    /// The network of the paper.
    fn default() -> Self {
        Self {
            patch: Patch::Block([2, 2]),
            width: 72,
            heads: 12,
            layers: 8,
            attention: VitAttention::default(),
            sampling: Self::default_sampling(),
        }
    }
}

/// Maximum number of sites: the loops of a proposal must stay below the iterations that every driver runs.
const MAX_SITES: usize = 4096;
/// Maximum number of layers and width; larger numbers are treated as typos.
const MAX_LAYERS: usize = 128;
const MAX_WIDTH: usize = 8192;
/// Maximum width of a head of softmax attention.
const MAX_SOFTMAX_HEAD: usize = 128;

fn error<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Settings, format!("vit: {message}")))
}

impl Vit {
    /// Returns the patch as a block; a line of sites lies along the side that it must divide.
    fn block(&self, lattice: &Lattice) -> Patch {
        match self.patch {
            Patch::Line(sites) | Patch::TransposedLine(sites) if lattice.ly == 1 => Patch::Block([sites, 1]),
            Patch::Line(sites) => Patch::Block([1, sites]),
            Patch::TransposedLine(sites) => Patch::Block([sites, 1]),
            block => block,
        }
    }

    fn sizes(&self, lattice: &Lattice) -> Result<VitSizes> {
        let patching = self.patching(lattice)?;
        let [px, py] = match self.block(lattice) {
            Patch::Block(sides) => sides,
            Patch::Line(sites) | Patch::TransposedLine(sites) => [1, sites],
        };
        Ok(VitSizes {
            sites_per_patch: patching.sites_per_patch() as u32,
            grid: [(lattice.lx / px) as u32, (lattice.ly / py) as u32],
            width: self.width as u32,
            heads: self.heads as u32,
            layers: self.layers as u32,
            attention: self.attention,
        })
    }

    fn check_sizes(&self) -> Result<()> {
        let Self { width, heads, layers, .. } = *self;
        if width == 0 || !width.is_multiple_of(4) || width > MAX_WIDTH {
            return error(format!(
                "Vit::width={width} is not a multiple of 4 up to {MAX_WIDTH}; give for example Vit::width=72"
            ));
        }
        if !(1..=MAX_LAYERS).contains(&layers) {
            return error(format!("layers={layers} is out of range; give 1 to {MAX_LAYERS}, such as layers=8"));
        }
        let widest = match self.attention {
            VitAttention::Factored => FactoredShape::MOST_WIDTH as usize,
            VitAttention::Softmax => MAX_SOFTMAX_HEAD,
        };
        let fits = |heads: usize| heads > 0 && width.is_multiple_of(heads) && width / heads <= widest;
        if !fits(heads) {
            let near = (1..=width).filter(|heads| fits(*heads)).min_by_key(|other| other.abs_diff(heads));
            return error(format!(
                "heads={heads} does not divide Vit::width={width} into widths of 1 to {widest}; give heads={}",
                near.unwrap_or(width)
            ));
        }
        Ok(())
    }
}

impl Model for Vit {
    fn name(&self) -> &'static str {
        "vit"
    }

    fn patching(&self, lattice: &Lattice) -> Result<Patching> {
        Patching::new(*lattice, self.block(lattice)).map_err(|cause| {
            let message = format!(
                "vit: patch={} breaks the periodicity of {lattice}, whose translations must map patches to patches: \
                 {cause}",
                self.patch
            );
            Error::new(cause.kind(), message)
        })
    }

    fn check(&self, lattice: &Lattice) -> Result<()> {
        lattice.check()?;
        self.sampling.check()?;
        self.check_sizes()?;
        let sites = lattice.sites();
        if sites > MAX_SITES {
            return error(format!("{sites} sites are too many; give a lattice of at most {MAX_SITES}"));
        }
        let (patches, most) = (self.patching(lattice)?.patches(), FactoredShape::MOST_PATCHES as usize);
        if self.attention == VitAttention::Factored && patches > most {
            return error(format!(
                "{patches} patches are too many for factored attention; give a larger patch= for at most {most}"
            ));
        }
        if self.conserves_magnetization() {
            check_even("vit", lattice, ["proposal=exchange", "proposal=flip"])?;
        }
        Ok(())
    }

    fn is_complex(&self) -> bool {
        true
    }

    fn conserves_magnetization(&self) -> bool {
        self.sampling.proposal == Proposal::Exchange
    }

    /// Factored attention: translations by a patch along each side of more than one patch.
    fn symmetries(&self, lattice: &Lattice) -> Result<Vec<(String, Symmetry)>> {
        let VitSizes { grid, attention, .. } = self.sizes(lattice)?;
        let [px, py] = [lattice.lx / grid[0] as usize, lattice.ly / grid[1] as usize];
        let of_axis = |name: &str, patches: u32, steps: usize, shift: [usize; 2]| {
            let sites = if steps == 1 { "site" } else { "sites" };
            let named =
                || (format!("translation along {name} by {steps} {sites}"), Symmetry::translation(lattice, shift));
            (attention == VitAttention::Factored && patches > 1).then(named)
        };
        Ok([of_axis("x", grid[0], px, [px, 0]), of_axis("y", grid[1], py, [0, py])].into_iter().flatten().collect())
    }

    fn chains(&self) -> Option<&Metropolis> {
        Some(&self.sampling)
    }

    fn attention(&self, lattice: &Lattice) -> Result<Option<AttentionLayers>> {
        let sizes = self.sizes(lattice)?;
        let relative = (self.attention == VitAttention::Factored).then(|| FactoredLayers {
            names: (0..sizes.layers).map(parameters::relative_name).collect(),
            grid: sizes.grid,
        });
        Ok(Some(AttentionLayers {
            kind: if relative.is_some() { AttentionKind::Relative } else { AttentionKind::Full },
            attention: None,
            layers: sizes.layers,
            heads: sizes.heads,
            head_width: sizes.head_width(),
            patches: sites_of_patches(&self.patching(lattice)?),
            relative,
        }))
    }

    fn training_rows(&self, patching: &Patching) -> u32 {
        patching.patches() as u32
    }

    fn layout(&self, lattice: &Lattice) -> Result<Layout> {
        self.check(lattice)?;
        Ok(Layout::new(parameters::specs(&self.sizes(lattice)?)))
    }

    fn network(
        &self,
        gpu: &Gpu,
        lattice: &Lattice,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<WaveFunction> {
        let changes = chains::changes(&self.patching(lattice)?, self.sampling.proposal);
        let network = VitNetwork::new(gpu, self.sizes(lattice)?, &self.sampling, &changes, parameters, capacity)?;
        Ok(WaveFunction::Unnormalized(Box::new(network)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_the_paper_has_three_hundred_thousand_parameters() {
        let vit = Vit { layers: 4, ..Vit::default() };
        let layout = vit.layout(&Lattice::square(10, 10)).unwrap();
        let of_layer = 4 * 72 + 2 * (72 * 72 + 72) + 12 * 25 + (72 * 288 + 288) + (288 * 72 + 72);
        assert_eq!(layout.parameters(), (5 * 72 + 4 * of_layer + 2 * 72 + 2 * (72 * 72 + 72)) as u64);
        let eight = Vit::default().layout(&Lattice::square(10, 10)).unwrap().parameters();
        assert!((300_000..600_000).contains(&eight), "{eight}");
    }

    #[test]
    fn settings_that_do_not_fit_say_what_would() {
        let message = |vit: Vit, lattice: Lattice| vit.check(&lattice).unwrap_err().to_string();
        let small = || Vit { width: 8, heads: 2, layers: 1, ..Vit::default() };
        let square = Lattice::square(4, 4);
        small().check(&square).unwrap();
        small().check(&Lattice::square(6, 4)).unwrap();
        assert!(message(Vit { heads: 3, ..small() }, square).contains("heads=2"));
        assert!(message(Vit { width: 10, ..small() }, square).contains("multiple of 4"));
        assert!(message(Vit { layers: 0, ..small() }, square).contains("layers=8"));
        assert!(message(small(), Lattice::square(5, 4)).contains("breaks the periodicity"));
        assert!(message(Vit { patch: Patch::Line(8), ..small() }, square).contains("breaks the periodicity"));
        assert!(message(Vit { patch: Patch::Line(1), ..small() }, Lattice::square(3, 3)).contains("proposal=flip"));
        let flips = Metropolis { proposal: Proposal::Flip, ..Vit::default_sampling() };
        Vit { patch: Patch::Line(1), sampling: flips, ..small() }.check(&Lattice::square(3, 3)).unwrap();
        assert!(message(Vit { patch: Patch::Line(1), ..small() }, Lattice::square(32, 32)).contains("larger patch="));
    }

    #[test]
    fn lines_are_blocks_along_the_side_that_they_divide() {
        let sizes = |patch, lattice| Vit { patch, ..Vit::default() }.sizes(&lattice).unwrap();
        assert_eq!(sizes(Patch::Line(4), Lattice::chain(16)).grid, [4, 1]);
        assert_eq!(sizes(Patch::Line(2), Lattice::square(4, 6)).grid, [4, 3]);
        assert_eq!(sizes(Patch::Block([2, 3]), Lattice::square(4, 6)).grid, [2, 2]);
    }
}
