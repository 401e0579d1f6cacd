//! The patched recurrent wave function (PRNN) of arXiv:2306.03921: a recurrent cell over patches of spins.
//!
//! ```text
//! h_t = cell(patch_{t−1}, h_{t−1})                                     patch_{−1} = 0, h_{−1} = 0
//! log P(patch_t | earlier) = log softmax(W_b relu(W_a h_t + b_a) + b_b)
//! ```
//!
//! With `phase` a second head of the same form gives every outcome a phase: log ψ = ½ log P + i Σ_t phase_t(patch_t)
//! ([`crate::kernels::phase`]).
//!
//! The cell is a GRU or Elman's (formulas: [`crate::kernels::recurrent`]). Names and initial values are those of the
//! authors' PyTorch code: every parameter of the cell begins uniform within 1/√C.

use super::rnn_network::{RnnNetwork, RnnSizes};
use super::{Capacity, Layout, Model, Needs, Parameters, Precision, Sector, WaveFunction};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::Gpu;
pub use crate::kernels::recurrent::Cell;
use crate::physics::{Lattice, Patch, Patching};

/// Settings of the patched recurrent wave function.
#[derive(Debug, Clone, PartialEq)]
pub struct Rnn {
    /// Sites of a patch: consecutive ones, or a block.
    pub patch: Patch,
    /// Width C of the state, `Nh`; a multiple of 4.
    pub width: usize,
    /// The cell, `rnntype`.
    pub cell: Cell,
    /// Which configurations it is over.
    pub sector: Sector,
    /// Whether ψ is complex: outcomes have phases besides their probabilities.
    pub phase: bool,
}

impl Default for Rnn {
    fn default() -> Self {
        Self { patch: Patch::Line(1), width: 256, cell: Cell::Gru, sector: Sector::default(), phase: false }
    }
}

/// Widest state: three gates of it are what one loop goes over, where a driver ends shaders after 65,535 iterations.
const MAX_WIDTH: usize = 1 << 13;

impl Rnn {
    /// Whether the cell can be computed, whatever the lattice.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`], with what to change.
    pub(super) fn check_cell(&self) -> Result<()> {
        let width = self.width;
        let error = |message: String| Err(Error::new(ErrorKind::Settings, format!("rnn: {message}")));
        if width == 0 || width > MAX_WIDTH {
            return error(format!("Nh={width} is out of range; give a multiple of 4 up to {MAX_WIDTH}"));
        }
        if !width.is_multiple_of(4) {
            let near = [width / 4 * 4, width.next_multiple_of(4)].into_iter().filter(|w| *w > 0);
            let near: Vec<String> = near.map(|w| w.to_string()).collect();
            return error(format!("Nh={width} is not a multiple of 4; use {}", near.join(" or ")));
        }
        Ok(())
    }

    /// Its sizes over `patches` patches in sequences of `sequence`.
    pub(super) fn sizes(&self, [patches, sequence]: [usize; 2]) -> RnnSizes {
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

    fn keeps_excitations(&self) -> bool {
        self.sector == Sector::ZeroMagnetisation
    }

    fn layout(&self, lattice: &Lattice) -> Result<Layout> {
        Ok(Layout::new(self.sizes_on(lattice)?.specs()))
    }

    fn needs(&self, _: &Gpu, lattice: &Lattice, _: Precision) -> Result<Needs> {
        Ok(self.sizes_on(lattice)?.needs())
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

    /// 3C(P + C + 2) of the cell, C(C + 1) + V(C + 1) of the head.
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
