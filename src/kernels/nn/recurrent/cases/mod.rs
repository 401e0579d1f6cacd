//! Test cases of the kernels of `nn/recurrent`: inputs, f64 results and tolerances.

pub(crate) mod backward;
pub(crate) mod links;
pub(crate) mod step;

use crate::kernels::case::wide;
use crate::kernels::nn::recurrent::{Cell, CellReference};

/// Random parameters of a cell for cases, as f32.
struct CellInputs {
    cell: Cell,
    weight_input: Vec<f32>,
    bias_input: Vec<f32>,
    weight_state: Vec<f32>,
    bias_state: Vec<f32>,
}

impl CellInputs {
    fn new(random: &mut crate::kernels::RandomInputs, cell: Cell, width: usize, sites_per_patch: usize) -> Self {
        let outputs = cell.gates() as usize * width;
        Self {
            cell,
            weight_input: random.floats(outputs * sites_per_patch),
            bias_input: random.floats(outputs),
            weight_state: random.floats(outputs * width),
            bias_state: random.floats(outputs),
        }
    }

    /// Calls `use_it` with the parameters in f64, where `weight_state` replaces W_hh.
    fn reference<T>(&self, weight_state: &[f32], use_it: impl FnOnce(&CellReference<'_>) -> T) -> T {
        let [weight_input, bias_input, weight_state, bias_state] =
            [&self.weight_input[..], &self.bias_input, weight_state, &self.bias_state].map(wide);
        use_it(&CellReference {
            cell: self.cell,
            weight_input: &weight_input,
            bias_input: &bias_input,
            weight_state: &weight_state,
            bias_state: &bias_state,
        })
    }
}
