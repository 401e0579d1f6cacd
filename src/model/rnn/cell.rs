//! Recurrent cell with its categorical head: sizes, parameters, and the step that all passes share.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Rows, View};
use crate::kernels::nn::recurrent::{Cell, InputWeights, RecurrentShape, RecurrentStep, StepRows};
use crate::model::layers::affine::{Affine, ParameterViews};
use crate::model::layers::categorical_head::{CategoricalHead, HeadSizes};
use crate::model::{Initial, ParameterSpec, Parameters};

/// Sizes of a recurrent wave function, as `u32` for shaders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RnnSizes {
    /// T
    pub patches: u32,
    /// S, patches of a sequence; T if a sample is one sequence.
    pub sequence: u32,
    /// P
    pub sites_per_patch: u32,
    /// V
    pub outcomes: u32,
    /// C
    pub width: u32,
    pub cell: Cell,
    /// Whether outcomes have phases.
    pub complex: bool,
}

impl RnnSizes {
    pub(crate) fn head(&self) -> HeadSizes {
        HeadSizes { width: self.width, outcomes: self.outcomes, complex: self.complex }
    }

    /// G·C
    pub(crate) fn gates(&self) -> u32 {
        self.cell.gates() * self.width
    }

    /// Elements of a gradient block of the widest weight with its bias.
    pub(crate) fn part_width(&self) -> u64 {
        let [c, g, p] = [self.width, self.gates(), self.sites_per_patch].map(u64::from);
        self.head().part_width().max((c.max(p) + 1) * g)
    }

    /// Parameters; the weight of the input and both biases are adjacent, in this order.
    pub(crate) fn specs(&self) -> Vec<ParameterSpec> {
        let [c, g, p] = [self.width, self.gates(), self.sites_per_patch].map(|size| size as usize);
        let initial = Initial::Uniform(1.0 / (c as f64).sqrt());
        let spec = |name: &str, shape: Vec<usize>| ParameterSpec { name: name.into(), shape, initial: initial.clone() };
        let cell = vec![
            spec(WEIGHT_INPUT, vec![g, p]),
            spec(BIAS_INPUT, vec![g]),
            spec(BIAS_STATE, vec![g]),
            spec(WEIGHT_STATE, vec![g, c]),
        ];
        [cell, self.head().specs()].concat()
    }
}

const WEIGHT_INPUT: &str = "rnn.weight_ih_l0";
const WEIGHT_STATE: &str = "rnn.weight_hh_l0";
const BIAS_INPUT: &str = "rnn.bias_ih_l0";
const BIAS_STATE: &str = "rnn.bias_hh_l0";
/// Weights and biases for the input and for the previous state.
#[derive(Debug, Clone)]
pub(crate) struct CellViews {
    pub input: Affine,
    pub state: Affine,
}

/// Cell and head on a device, without buffers for rows.
pub(crate) struct RecurrentCell {
    pub sizes: RnnSizes,
    pub parameters: ParameterViews<CellViews>,
    pub head: CategoricalHead,
    input: InputWeights,
    /// Placeholders for operands that a kernel does not write.
    pub absent: [Buffer; 2],
}

impl RecurrentCell {
    /// Finds the parameters, to whose names `prefix` is prepended.
    ///
    /// # Errors
    /// As [`Parameters::value`] and [`Gpu::buffer`].
    pub(crate) fn new(gpu: &Gpu, sizes: RnnSizes, parameters: &Parameters, prefix: &str) -> Result<Self> {
        let slot = |name: &str| parameters.layout().slot(&format!("{prefix}{name}"));
        let first = slot(WEIGHT_INPUT)?.first;
        let end = slot(BIAS_STATE)?.first + slot(BIAS_STATE)?.elements;
        let input = InputWeights {
            view: parameters.values().range(WEIGHT_INPUT, first, end - first)?,
            bias_input: (slot(BIAS_INPUT)?.first - first) as u32,
            bias_state: (slot(BIAS_STATE)?.first - first) as u32,
        };
        let absent = || gpu.buffer("ketformer.absent", 4);
        Ok(Self {
            parameters: ParameterViews::new(parameters, prefix, |find| {
                Ok(CellViews {
                    input: Affine { weight: find(WEIGHT_INPUT)?, bias: find(BIAS_INPUT)? },
                    state: Affine { weight: find(WEIGHT_STATE)?, bias: find(BIAS_STATE)? },
                })
            })?,
            head: CategoricalHead::new(parameters, prefix, sizes.head())?,
            input,
            absent: [absent()?, absent()?],
            sizes,
        })
    }

    /// Returns a step with placeholders for `gates` and `previous`; `weight` is W_hh in the storage that the pass
    /// reads.
    pub(crate) fn step(&self, rows: &View, weight: &View, states: &View, conditioning: Option<&View>) -> RecurrentStep {
        RecurrentStep {
            rows: rows.clone(),
            input: self.input.clone(),
            weight: weight.clone(),
            base: None,
            conditioning: conditioning.cloned(),
            states: states.clone(),
            gates: self.absent[0].view(),
            previous: self.absent[1].view(),
        }
    }

    pub(crate) fn shape(&self, items: &Rows, rows: StepRows, keeps: bool) -> RecurrentShape {
        let RnnSizes { cell, width, sites_per_patch, .. } = self.sizes;
        RecurrentShape { items: items.clone(), rows, cell, width, sites_per_patch, keeps }
    }
}
