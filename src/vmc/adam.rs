//! Adam's buffers.

use super::checkpoint::{named, of_prefix};
use super::estimator::Estimator;
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan};
use crate::kernels::optimizer::{Adam, AdamRates};
use crate::model::{Layout, Parameters, Tensor, Weights};

/// Names in a checkpoint.
const FIRST: &str = "adam.first.";
const SECOND: &str = "adam.second.";
const STATE: &str = "adam.state";

/// β₁ᵗ and β₂ᵗ before the first step, and what a step leaves beside them.
const BEGIN: [f32; 8] = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

/// The moments, and what decides about a step.
pub(super) struct AdamBuffers {
    first: Buffer,
    second: Buffer,
    /// (8), as `gradient_decide` says
    pub state: Buffer,
    part: Buffer,
}

impl AdamBuffers {
    /// Elements of its buffers beside the two moments.
    pub fn own_elements(parameters: &Parameters) -> u64 {
        8 + Adam::part_elements(parameters.layout().elements() as u32)
    }

    pub fn new(gpu: &Gpu, elements: u64) -> Result<Self> {
        Ok(Self {
            first: gpu.buffer("ketformer.adam.first", elements)?,
            second: gpu.buffer("ketformer.adam.second", elements)?,
            state: gpu.upload("ketformer.adam.state", &BEGIN)?,
            part: gpu.buffer("ketformer.adam.part", Adam::part_elements(elements as u32))?,
        })
    }

    pub fn record(
        &self,
        plan: &mut Plan,
        parameters: &Parameters,
        estimator: &Estimator,
        clip: Option<f32>,
    ) -> Result<()> {
        let adam = Adam {
            gradient: parameters.gradient(),
            part: self.part.view(),
            statistics: estimator.statistics.view(),
            state: self.state.view(),
            step: estimator.step.view(),
            parameters: parameters.values(),
            first: self.first.view(),
            second: self.second.view(),
        };
        adam.record(plan, parameters.layout().elements() as u32, clip, AdamRates::default())
    }

    /// Forgets all steps.
    pub fn forget(&self, gpu: &Gpu) -> Result<()> {
        let zeros = vec![0f32; self.first.bytes() as usize / 4];
        self.first.write(gpu, &zeros)?;
        self.second.write(gpu, &zeros)?;
        self.state.write(gpu, &BEGIN)
    }

    /// What later steps depend on.
    pub fn keep(&self, gpu: &Gpu, layout: &Layout) -> Result<Weights> {
        let mut kept = Weights::default();
        for (prefix, buffer) in [(FIRST, &self.first), (SECOND, &self.second)] {
            let flat = buffer.read(gpu, layout.elements() as usize)?;
            kept.tensors.extend(named(prefix, layout.unflatten(&flat)));
        }
        let state = Tensor { shape: vec![BEGIN.len()], values: self.state.read(gpu, BEGIN.len())? };
        kept.tensors.insert(STATE.into(), state);
        Ok(kept)
    }

    /// Goes on from what was kept, which is checked before anything is written.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] when it is not Adam's or of another model.
    pub fn restore(&self, gpu: &Gpu, layout: &Layout, kept: &Weights) -> Result<()> {
        let [first, second] = [FIRST, SECOND].map(|prefix| layout.flatten(&of_prefix(prefix, kept)));
        let (first, second) = (first?, second?);
        let Some(state) = kept.tensors.get(STATE).filter(|state| state.values.len() == BEGIN.len()) else {
            let message = format!("the checkpoint has no `{STATE}` of Adam; give the settings of its run");
            return Err(Error::new(ErrorKind::Weights, message));
        };
        self.first.write(gpu, &first)?;
        self.second.write(gpu, &second)?;
        self.state.write(gpu, &state.values)
    }
}
