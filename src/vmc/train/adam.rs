//! Buffers of the Adam optimizer.

use super::checkpoint::{named, of_prefix};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{Buffer, Gpu, Plan, View};
use crate::kernels::nn::adam::{Adam, AdamRates};
use crate::model::{Layout, Parameters, Tensor, Weights};

/// Names of tensors in a checkpoint.
const FIRST: &str = "adam.first.";
const SECOND: &str = "adam.second.";
const STATE: &str = "adam.state";

/// State before the first step: β₁ᵗ, β₂ᵗ, and results of the last step.
const BEGIN: [f32; 8] = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

/// Inputs of an update, in addition to the gradient.
pub(crate) struct AdamInputs {
    /// Two numbers that must be finite for the step to be accepted.
    pub finite: View,
    /// (8) words of [`crate::vmc::step::buffers::StepInputs`]
    pub step: View,
}

/// Moments and state of Adam.
pub(crate) struct AdamBuffers {
    m: Buffer,
    v: Buffer,
    /// (8), in the layout of the kernel `gradient_decide`
    pub state: Buffer,
    part: Buffer,
}

impl AdamBuffers {
    pub(crate) fn new(gpu: &Gpu, elements: u64) -> Result<Self> {
        Ok(Self {
            m: gpu.large_buffer("ketformer.adam.m", elements)?,
            v: gpu.large_buffer("ketformer.adam.v", elements)?,
            state: gpu.upload("ketformer.adam.state", &BEGIN)?,
            part: gpu.buffer("ketformer.adam.part", Adam::part_elements(elements as u32))?,
        })
    }

    pub(crate) fn record(
        &self,
        plan: &mut Plan,
        parameters: &Parameters,
        inputs: AdamInputs,
        clip: Option<f32>,
        rates: AdamRates,
    ) -> Result<()> {
        let adam = Adam {
            gradient: parameters.gradient(),
            part: self.part.view(),
            statistics: inputs.finite,
            state: self.state.view(),
            step: inputs.step,
            parameters: parameters.values(),
            m: self.m.view(),
            v: self.v.view(),
        };
        adam.record(plan, parameters.layout().elements() as u32, clip, rates)
    }

    /// Resets moments and state.
    pub(crate) fn forget(&self, gpu: &Gpu) -> Result<()> {
        let zeros = vec![0f32; self.m.bytes() as usize / 4];
        self.m.write(gpu, &zeros)?;
        self.v.write(gpu, &zeros)?;
        self.state.write(gpu, &BEGIN)
    }

    /// Returns the state that later steps depend on.
    pub(crate) async fn keep(&self, gpu: &Gpu, layout: &Layout) -> Result<Weights> {
        let mut kept = Weights::default();
        for (prefix, buffer) in [(FIRST, &self.m), (SECOND, &self.v)] {
            let flat = buffer.read_async(gpu, layout.elements() as usize).await?;
            kept.tensors.extend(named(prefix, layout.unflatten(&flat)));
        }
        let values = self.state.read_async(gpu, BEGIN.len()).await?;
        kept.tensors.insert(STATE.into(), Tensor { shape: vec![BEGIN.len()], values });
        Ok(kept)
    }

    /// Restores the state returned by [`AdamBuffers::keep`]. Checks it before writing.
    ///
    /// # Errors
    /// [`ErrorKind::Weights`] if it is not a state of Adam or is of another model.
    pub(crate) fn restore(&self, gpu: &Gpu, layout: &Layout, kept: &Weights) -> Result<()> {
        let [first, second] = [FIRST, SECOND].map(|prefix| layout.flatten(&of_prefix(prefix, kept)));
        let (first, second) = (first?, second?);
        let Some(state) = kept.tensors.get(STATE).filter(|state| state.values.len() == BEGIN.len()) else {
            let message = format!("the checkpoint has no `{STATE}` of Adam; give the settings of its run");
            return Err(Error::new(ErrorKind::Weights, message));
        };
        self.m.write(gpu, &first)?;
        self.v.write(gpu, &second)?;
        self.state.write(gpu, &state.values)
    }
}
