//! Markov chains of a vision transformer: each proposal is one pass over the proposed configurations of all chains.

use super::super::{ChainWindow, Proposal, Stretch};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, View};
use crate::kernels::vmc::metropolis::{ChainShape, MetropolisAccept, MetropolisPropose};
use crate::physics::Patching;

/// Changes that proposals choose from: every site, or every pair of sites at distance 1 or √2 (2 on a chain) of the
/// periodic lattice. (changes) of four u32: first patch, mask, second patch or `u32::MAX`, mask.
pub(super) fn changes(patching: &Patching, proposal: Proposal) -> Vec<[u32; 4]> {
    let place = |site: usize| {
        let (patch, element) = patching.patch_of()[site];
        [patch, 1 << element]
    };
    match proposal {
        Proposal::Flip => (0..patching.sites()).map(place).map(|[patch, mask]| [patch, mask, u32::MAX, 0]).collect(),
        Proposal::Exchange => {
            let lattice = patching.lattice().periodic();
            let bonds = lattice.bonds().into_iter().chain(lattice.diagonal_bonds());
            let exchange = |[a, b]: [usize; 2]| {
                let ([first, mask], [second, other]) = (place(a), place(b));
                [first, mask, second, other]
            };
            bonds.map(exchange).collect()
        }
    }
}

/// Buffers of a window of chains, in addition to those of the pass.
pub(super) struct Chains {
    /// (changes) of four u32
    changes: Buffer,
    count: u32,
    exchange: bool,
    /// (chains, T) u32
    pub proposed: Buffer,
    /// (chains)
    threshold: Buffer,
    /// (chains): log ψ² of the current configurations
    pub log_p: Buffer,
    /// (chains) u32: completed proposals of a stretch; 0 between stretches
    progress: Buffer,
}

impl Chains {
    /// Creates the buffers for windows of `chains` chains.
    pub(super) fn new(gpu: &Gpu, changes: &[[u32; 4]], proposal: Proposal, patches: u32, chains: u32) -> Result<Self> {
        let buffer = |name: &str, width: u32| {
            gpu.buffer(&format!("ketformer.vit.chains.{name}"), u64::from(chains) * u64::from(width))
        };
        Ok(Self {
            changes: gpu.upload("ketformer.vit.chains.changes", changes)?,
            count: changes.len() as u32,
            exchange: proposal == Proposal::Exchange,
            proposed: buffer("proposed", patches)?,
            threshold: buffer("threshold", 1)?,
            log_p: buffer("log_p", 1)?,
            progress: gpu.upload("ketformer.vit.chains.progress", &vec![0u32; chains as usize])?,
        })
    }

    /// Resets the number of completed proposals, which a stretch that was stopped leaves changed.
    pub(super) fn reset(&self, gpu: &Gpu) -> Result<()> {
        self.progress.write(gpu, &vec![0u32; self.progress.bytes() as usize / 4])
    }

    /// Shape of a stretch of a window.
    pub(super) fn shape(window: &ChainWindow, stretch: &Stretch, patches: u32) -> ChainShape {
        ChainShape {
            patches,
            all: window.all,
            first_chain: window.first,
            chains: window.chains,
            proposals: stretch.proposals,
            first_proposal: stretch.first,
            stream: stretch.stream,
            restart: stretch.first == 0,
            record: stretch.record,
            samples: window.samples,
            stage: window.stage,
        }
    }

    /// Returns the kernel that makes the next proposal of every chain.
    pub(super) fn propose(&self, window: &ChainWindow) -> MetropolisPropose {
        MetropolisPropose {
            state: window.state.clone(),
            changes: self.changes.view(),
            count: self.count,
            exchange: self.exchange,
            step: window.step.clone(),
            progress: self.progress.view(),
            proposed: self.proposed.view(),
            threshold: self.threshold.view(),
        }
    }

    /// Returns the kernel that accepts or rejects the proposals, from their log ψ².
    pub(super) fn accept(&self, window: &ChainWindow, proposed_log_p: View) -> MetropolisAccept {
        MetropolisAccept {
            proposed: self.proposed.view(),
            proposed_log_p,
            threshold: self.threshold.view(),
            log_p: self.log_p.view(),
            state: window.state.clone(),
            accepted: window.accepted.clone(),
            progress: self.progress.view(),
            tokens: window.tokens.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::{Lattice, Patch};

    #[test]
    fn exchanges_are_of_neighbors_along_sides_and_diagonals() {
        let count = |lattice, patch, proposal| changes(&Patching::new(lattice, patch).unwrap(), proposal).len();
        assert_eq!(count(Lattice::square(4, 4), Patch::Block([2, 2]), Proposal::Exchange), 64);
        assert_eq!(count(Lattice::chain(16), Patch::Block([4, 1]), Proposal::Exchange), 32);
        assert_eq!(count(Lattice::chain(16), Patch::Block([4, 1]), Proposal::Flip), 16);
        let flips = changes(&Patching::new(Lattice::chain(4), Patch::Block([2, 1])).unwrap(), Proposal::Flip);
        assert_eq!(flips[3], [1, 2, u32::MAX, 0]);
    }
}
