//! Patched recurrent wave function (PRNN) of arXiv:2306.03921: a recurrent cell over patches of spins.
//!
//! ```text
//! h_t = cell(patch_{t−1}, h_{t−1})                                     patch_{−1} = 0, h_{−1} = 0
//! log P(patch_t | earlier) = log softmax(W_b relu(W_a h_t + b_a) + b_b)
//! ```
//!
//! With `phase`, a second categorical head of the same shape computes a phase of every outcome:
//! log ψ = ½ log P + i Σ_t phase_t(patch_t) ([`crate::kernels::nn::phase`]).
//!
//! The cell is a GRU or an Elman cell (formulas: [`crate::kernels::nn::recurrent`]). Names and initial values are those
//! of the authors' PyTorch code: every parameter of the cell is initially uniform within ±1/√C.
//!
//! One launch computes one position of all sequences, with the products of all gates and the cell in one kernel. The
//! rows of a suffix batch are sorted by position on the host, once (`row_order`). `recurrent_links` locates the
//! previous state of each row: the states of the sample, the previous row, or a conditioning.

pub(super) mod cell;
pub(super) mod network;
mod row_order;
pub(super) mod training;

use super::{Capacity, Layout, Model, Parameters, Sector, WaveFunction};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
pub use crate::kernels::nn::recurrent::Cell;
use crate::physics::{Lattice, Patch, Patching};
use cell::RnnSizes;
use network::RnnNetwork;

/// Settings of the patched recurrent wave function.
#[derive(Debug, Clone, PartialEq)]
pub struct Rnn {
    /// Sites of a patch: consecutive sites, or a block.
    pub patch: Patch,
    /// Width C of the state, `Nh`; a multiple of 4.
    pub width: usize,
    /// Recurrent cell, `rnntype`.
    pub cell: Cell,
    /// Sector of its configurations.
    pub sector: Sector,
    /// Whether ψ is complex: outcomes have phases in addition to probabilities.
    pub phase: bool,
}

impl Default for Rnn {
    fn default() -> Self {
        Self { patch: Patch::Line(1), width: 256, cell: Cell::Gru, sector: Sector::default(), phase: false }
    }
}

/// Maximum width of the state: one loop runs over its three gates, and some drivers end shaders after 65,535
/// iterations.
const MAX_WIDTH: usize = 1 << 13;

impl Rnn {
    /// Checks that the cell can be computed, independent of the lattice.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], with the setting to change.
    pub(crate) fn check_cell(&self) -> Result<()> {
        let width = self.width;
        let error = |message: String| Err(Error::new(ErrorKind::Settings, format!("rnn: {message}")));
        if width == 0 || width > MAX_WIDTH {
            return error(format!("Rnn::width={width} is out of range; give a multiple of 4 up to {MAX_WIDTH}"));
        }
        if !width.is_multiple_of(4) {
            let near = [width / 4 * 4, width.next_multiple_of(4)].into_iter().filter(|w| *w > 0);
            let near: Vec<String> = near.map(|w| w.to_string()).collect();
            return error(format!("Rnn::width={width} is not a multiple of 4; use {}", near.join(" or ")));
        }
        Ok(())
    }

    /// Sizes over `patches` patches in sequences of `sequence`.
    pub(crate) fn sizes(&self, [patches, sequence]: [usize; 2]) -> RnnSizes {
        let sites_per_patch = self.patch.sites();
        RnnSizes {
            patches: patches as u32,
            sequence: sequence as u32,
            sites_per_patch: sites_per_patch as u32,
            outcomes: 1 << sites_per_patch,
            width: self.width as u32,
            cell: self.cell,
            complex: self.phase,
        }
    }

    fn sizes_on(&self, lattice: &Lattice) -> Result<RnnSizes> {
        Model::check(self, lattice)?;
        let patches = self.patching(lattice)?.patches();
        Ok(self.sizes([patches; 2]))
    }
}

impl Model for Rnn {
    fn name(&self) -> &'static str {
        "rnn"
    }

    fn patching(&self, lattice: &Lattice) -> Result<Patching> {
        Patching::new(*lattice, self.patch)
    }

    fn check(&self, lattice: &Lattice) -> Result<()> {
        lattice.check()?;
        self.patching(lattice)?;
        self.check_cell()?;
        self.sector.check("rnn", lattice)
    }

    fn is_complex(&self) -> bool {
        self.phase
    }

    fn conserves_magnetization(&self) -> bool {
        self.sector == Sector::ZeroMagnetization
    }

    fn layout(&self, lattice: &Lattice) -> Result<Layout> {
        Ok(Layout::new(self.sizes_on(lattice)?.specs()))
    }

    fn network(
        &self,
        gpu: &Gpu,
        lattice: &Lattice,
        parameters: &Parameters,
        capacity: Capacity,
    ) -> Result<WaveFunction> {
        Ok(RnnNetwork::new(gpu, self.sizes_on(lattice)?, parameters, "", capacity)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cell has 3C(P + C + 2) parameters, the head C(C + 1) + V(C + 1).
    #[test]
    fn parameter_counts_are_those_of_the_reference() {
        let count = |rnn: Rnn| rnn.layout(&Lattice::square(4, 4)).unwrap().parameters();
        let block = Patch::Block([2, 2]);
        assert_eq!(count(Rnn { patch: block, width: 32, ..Rnn::default() }), 3 * 32 * 38 + 32 * 33 + 16 * 33);
        assert_eq!(
            count(Rnn { patch: block, width: 32, cell: Cell::Elman, ..Rnn::default() }),
            32 * 38 + 32 * 33 + 16 * 33
        );
    }

    #[test]
    fn settings_that_do_not_fit_say_what_would() {
        let check = |width| Rnn { width, ..Rnn::default() }.check(&Lattice::square(4, 4)).unwrap_err().to_string();
        assert!(check(30).contains("use 28 or 32"));
        assert!(check(0).contains("up to 8192"));
        let patch = Patch::Block([3, 3]);
        assert!(Rnn { patch, ..Rnn::default() }.check(&Lattice::square(4, 4)).is_err());
    }
}
