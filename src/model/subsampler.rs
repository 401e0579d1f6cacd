//! The wave functions that draw the sub-patches of large patches.

use std::sync::Arc;

use super::affine::{Reversed, prefixed};
use super::condition::Condition;
use super::network::LargeRows;
use super::ptf::Sizes;
use super::ptf_network::PtfNetwork;
use super::rnn_network::{MoveConditions, RnnNetwork, RnnSizes};
use super::{Capacity, Needs, Network, Outcomes, Packed, ParameterSpec, Parameters, Precision};
use crate::error::Result;
use crate::gpu::{Gpu, Plan, Rows, View};
use crate::kernels::nested::NestedShape;

/// Prefix of its parameters.
const PREFIX: &str = "subsampler.";

/// A wave function over sequences of S sub-patches, laid one after another in a sample, each of which a row of the
/// transformer over large patches conditions.
pub(super) trait SubNetwork {
    /// As [`Network::decode`]; `condition`, (samples, C), is that of the large patch, and there is a new one where that
    /// begins.
    fn decode(&self, plan: &mut Plan, rows: &View, t: u32, condition: &View) -> Result<()>;

    /// As [`Network::decoded`].
    fn decoded(&self) -> Outcomes;

    /// As [`Network::moves`]; `conditions`, (items·R_L, C), are those of the rows of `large`. Where a packed row has none
    /// among them, its sample's own holds.
    fn moves(&self, plan: &mut Plan, packed: &Packed, large: &LargeRows, conditions: &View) -> Result<Outcomes>;

    /// As [`Network::forward`]; `conditions`, (items·L, C), are those of all large patches.
    fn forward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, conditions: &View) -> Result<Outcomes>;

    /// As [`Network::backward`], from `conditions` and to their gradient, the second of them; `large` has the rows of large
    /// patches.
    fn backward(
        &self,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
        large: &Reversed<'_>,
        conditions: [&View; 2],
    ) -> Result<()>;
}

/// The sizes of a sub-sampler.
#[derive(Debug, Clone, Copy)]
pub(super) enum SubSizes {
    Rnn(RnnSizes),
    Ptf(Sizes),
}

impl SubSizes {
    /// Its parameters, told of by rows of width `from`.
    pub fn specs(&self, from: usize) -> Vec<ParameterSpec> {
        let specs = match self {
            Self::Rnn(sizes) => sizes.specs(),
            Self::Ptf(sizes) => [Condition::specs([from, sizes.width() as usize]), PtfNetwork::specs(sizes)].concat(),
        };
        prefixed(PREFIX, specs)
    }

    pub fn needs(&self, gpu: &Gpu, shape: &NestedShape, from: u32, precision: Precision) -> Needs {
        match self {
            Self::Rnn(sizes) => sizes.needs(),
            Self::Ptf(sizes) => {
                Condition::needs(shape, [from, sizes.width()], PtfNetwork::needs(gpu, sizes, precision))
            }
        }
    }

    /// Elements of a block of the widest gradient over rows of large patches.
    pub fn part_width(&self, from: u32) -> u64 {
        match self {
            Self::Rnn(_) => 0,
            Self::Ptf(sizes) => Condition::part_width([from, sizes.width()]),
        }
    }

    /// On a device; `position` is the table of a PTF.
    pub fn network(
        self,
        gpu: &Gpu,
        parameters: &Parameters,
        (shape, from): (NestedShape, u32),
        position: &[f32],
        whole: Arc<LargeRows>,
        capacity: Capacity,
    ) -> Result<Box<dyn SubNetwork>> {
        Ok(match self {
            Self::Rnn(sizes) => Box::new(RnnNetwork::new(gpu, sizes, parameters, PREFIX, capacity)?),
            Self::Ptf(sizes) => {
                let widths = [from, sizes.width()];
                Box::new(ConditionedPtf {
                    condition: Condition::new(gpu, parameters, PREFIX, (shape, widths), whole, capacity)?,
                    ptf: PtfNetwork::new(gpu, sizes, position, parameters, PREFIX, capacity)?,
                })
            }
        })
    }
}

/// Sequences begin in the states that their conditions are.
impl SubNetwork for RnnNetwork {
    fn decode(&self, plan: &mut Plan, rows: &View, t: u32, condition: &View) -> Result<()> {
        self.decode_from(plan, rows, t, Some(condition))
    }

    fn decoded(&self) -> Outcomes {
        Network::decoded(self)
    }

    fn moves(&self, plan: &mut Plan, packed: &Packed, large: &LargeRows, conditions: &View) -> Result<Outcomes> {
        self.moves_from(plan, packed, Some(&MoveConditions { rows: conditions, per_item: large.per_item }))
    }

    fn forward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, conditions: &View) -> Result<Outcomes> {
        self.forward_from(plan, descriptions, rows, Some(conditions))
    }

    fn backward(
        &self,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
        large: &Reversed<'_>,
        [_, d_conditions]: [&View; 2],
    ) -> Result<()> {
        self.backward_to(plan, descriptions, rows, large.into, Some(d_conditions))
    }
}

/// A patched transformer that is told of the large patches before.
struct ConditionedPtf {
    ptf: PtfNetwork,
    condition: Condition,
}

impl SubNetwork for ConditionedPtf {
    fn decode(&self, plan: &mut Plan, rows: &View, t: u32, condition: &View) -> Result<()> {
        self.ptf.decode_with(plan, rows, t, |plan, x| self.condition.decode(plan, condition, t, x))
    }

    fn decoded(&self) -> Outcomes {
        self.ptf.decoded()
    }

    fn moves(&self, plan: &mut Plan, packed: &Packed, large: &LargeRows, conditions: &View) -> Result<Outcomes> {
        self.ptf.moves_with(plan, packed, |plan, x| self.condition.moves(plan, conditions, packed, large, x))
    }

    fn forward(&self, plan: &mut Plan, descriptions: &View, rows: &Rows, conditions: &View) -> Result<Outcomes> {
        self.ptf.forward_with(plan, descriptions, rows, |plan, x| self.condition.forward(plan, conditions, rows, x))
    }

    fn backward(
        &self,
        plan: &mut Plan,
        descriptions: &View,
        rows: &Rows,
        large: &Reversed<'_>,
        conditions: [&View; 2],
    ) -> Result<()> {
        let through = |plan: &mut Plan, d_x: &View| self.condition.backward(plan, large, d_x, conditions);
        self.ptf.backward_with(plan, descriptions, rows, large.into, through)
    }
}
