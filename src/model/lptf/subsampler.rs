//! Sub-samplers: wave functions that sample the sub-patches of large patches.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Gpu, Plan, Rows, View};
use crate::kernels::nn::large_patch::LargePatchShape;
use crate::model::layers::affine::{BackwardContext, prefixed};
use crate::model::layers::conditioning::Conditioning;
use crate::model::ptf::decoding::Decoding;
use crate::model::ptf::network::PtfNetwork;
use crate::model::ptf::sizes::Sizes;
use crate::model::rnn::cell::RnnSizes;
use crate::model::rnn::network::{MoveConditionings, RnnNetwork};
use crate::model::wave_function::LargeRows;
use crate::model::{Autoregressive, Capacity, Outcomes, ParameterSpec, Parameters, SuffixBatch};

/// Prefix of the names of its parameters.
const PREFIX: &str = "subsampler.";

/// Wave function over sequences of S sub-patches. The sequences of a sample are consecutive, and each is conditioned on
/// a row of the transformer over large patches.
pub(crate) trait SubNetwork: Send {
    /// As [`Autoregressive::decode`]; `conditioning`, (samples, C), is that of the large patch, and changes at its
    /// first sub-patch.
    fn decode(&self, plan: &mut Plan, rows: &View, t: u32, conditioning: &View) -> Result<()>;

    /// As [`Autoregressive::decoded`].
    fn decoded(&self) -> Outcomes;

    /// As [`Autoregressive::connected`]; `conditionings`, (items·R_L, C), are those of the rows of `large`. A row of
    /// the suffix batch that has none of them uses the conditioning of its sample.
    fn connected(
        &self,
        plan: &mut Plan,
        packed: &SuffixBatch,
        large: &LargeRows,
        conditionings: &View,
    ) -> Result<Outcomes>;

    /// As [`Autoregressive::forward`]; `conditionings`, (items·L, C), are those of all large patches.
    fn forward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, conditionings: &View) -> Result<Outcomes>;

    /// As [`Autoregressive::backward`]; the first of `conditionings` holds the conditionings, the second receives their
    /// gradient. `large` has the rows of large patches.
    fn backward(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        large: &BackwardContext<'_>,
        conditionings: [&View; 2],
    ) -> Result<()>;
}

/// Sizes of a sub-sampler.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SubSizes {
    Rnn(RnnSizes),
    Ptf(Sizes),
}

impl SubSizes {
    /// Parameters, for conditionings of width `from`.
    pub(crate) fn specs(&self, from: usize) -> Vec<ParameterSpec> {
        let specs = match self {
            Self::Rnn(sizes) => sizes.specs(),
            Self::Ptf(sizes) => {
                [Conditioning::specs([from, sizes.width() as usize]), PtfNetwork::specs(sizes)].concat()
            }
        };
        prefixed(PREFIX, specs)
    }

    /// Elements of a block of the widest parameter gradient over rows of large patches.
    pub(crate) fn part_width(&self, from: u32) -> u64 {
        match self {
            Self::Rnn(_) => 0,
            Self::Ptf(sizes) => Conditioning::part_width([from, sizes.width()]),
        }
    }

    /// Creates the sub-sampler on a device; `position` is the positional encoding of a PTF.
    pub(crate) fn network(
        self,
        gpu: &Gpu,
        parameters: &Parameters,
        (shape, from): (LargePatchShape, u32),
        position: &[f32],
        whole: Arc<LargeRows>,
        capacity: Capacity,
    ) -> Result<Box<dyn SubNetwork>> {
        Ok(match self {
            Self::Rnn(sizes) => Box::new(RnnNetwork::new(gpu, sizes, parameters, PREFIX, capacity)?),
            Self::Ptf(sizes) => {
                let widths = [from, sizes.width()];
                Box::new(ConditionedPtf {
                    conditioning: Conditioning::new(gpu, parameters, PREFIX, (shape, widths), whole, capacity)?,
                    ptf: PtfNetwork::new(gpu, sizes, position, parameters, PREFIX, capacity, Decoding::Stepwise)?,
                })
            }
        })
    }
}

/// Conditionings are the initial states of the sequences.
impl SubNetwork for RnnNetwork {
    fn decode(&self, plan: &mut Plan, rows: &View, t: u32, conditioning: &View) -> Result<()> {
        self.decode_from(plan, rows, t, Some(conditioning))
    }

    fn decoded(&self) -> Outcomes {
        Autoregressive::decoded(self)
    }

    fn connected(
        &self,
        plan: &mut Plan,
        packed: &SuffixBatch,
        large: &LargeRows,
        conditionings: &View,
    ) -> Result<Outcomes> {
        self.connected_from(plan, packed, Some(&MoveConditionings { rows: conditionings, per_item: large.per_item }))
    }

    fn forward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, conditionings: &View) -> Result<Outcomes> {
        self.forward_from(plan, row_meta, rows, Some(conditionings))
    }

    fn backward(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        large: &BackwardContext<'_>,
        [_, d_conditionings]: [&View; 2],
    ) -> Result<()> {
        self.backward_to(plan, row_meta, rows, large.sums.into(), Some(d_conditionings))
    }
}

/// Patched transformer conditioned on the earlier large patches.
struct ConditionedPtf {
    ptf: PtfNetwork,
    conditioning: Conditioning,
}

impl SubNetwork for ConditionedPtf {
    fn decode(&self, plan: &mut Plan, rows: &View, t: u32, conditioning: &View) -> Result<()> {
        self.ptf.decode_with(plan, rows, t, |plan, x| self.conditioning.decode(plan, conditioning, t, x))
    }

    fn decoded(&self) -> Outcomes {
        self.ptf.decoded()
    }

    fn connected(
        &self,
        plan: &mut Plan,
        packed: &SuffixBatch,
        large: &LargeRows,
        conditionings: &View,
    ) -> Result<Outcomes> {
        self.ptf
            .connected_with(plan, packed, |plan, x| self.conditioning.connected(plan, conditionings, packed, large, x))
    }

    fn forward(&self, plan: &mut Plan, row_meta: &View, rows: &Rows, conditionings: &View) -> Result<Outcomes> {
        self.ptf.forward_with(plan, row_meta, rows, |plan, x| self.conditioning.forward(plan, conditionings, rows, x))
    }

    fn backward(
        &self,
        plan: &mut Plan,
        row_meta: &View,
        rows: &Rows,
        large: &BackwardContext<'_>,
        conditionings: [&View; 2],
    ) -> Result<()> {
        let through = |plan: &mut Plan, d_x: &View| self.conditioning.backward(plan, large, d_x, conditionings);
        self.ptf.backward_with(plan, row_meta, rows, large.sums.into(), through)
    }
}
