//! Conditioning of a transformer sub-sampler on the earlier large patches: a row of width C for each large patch,
//! projected and added to each of its embedded sub-patches.
//!
//! ```text
//! x_t += W_c c_{⌊t/S⌋} + b_c        W_c (C', C)
//! ```

use std::sync::Arc;

use super::affine::{Affine, BackwardContext, ParameterViews, linear, product};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{Activation, Extra, LinearShape};
use crate::kernels::nn::large_patch::{
    ConditioningAdd, ConditioningSum, LargePatchSamples, LargePatchShape, LargeWindow,
};
use crate::model::wave_function::{LargeRows, no_room};
use crate::model::{Capacity, ParameterSpec, Parameters, SuffixBatch};

/// Projection on a device, with the projected rows of the samples' large patches.
pub(crate) struct Conditioning {
    parameters: ParameterViews<Affine>,
    shape: LargePatchShape,
    /// C, C'
    widths: [u32; 2],
    samples: u32,
    whole: Arc<LargeRows>,
    /// (B, L, C')
    decoded: Buffer,
    /// (rows of large patches in a suffix batch, C')
    moved: Buffer,
    /// (training samples · L, C'): projected rows and their gradient
    training: Option<[Buffer; 2]>,
}

impl Conditioning {
    pub(crate) fn specs([from, to]: [usize; 2]) -> Vec<ParameterSpec> {
        linear("condition", to, from).into()
    }

    /// Elements of a block of the parameter gradient.
    pub(crate) fn part_width([from, to]: [u32; 2]) -> u64 {
        (u64::from(from) + 1) * u64::from(to)
    }

    /// Creates the projection; `capacity` counts rows of sub-patches.
    pub(crate) fn new(
        gpu: &Gpu,
        parameters: &Parameters,
        prefix: &str,
        (shape, widths): (LargePatchShape, [u32; 2]),
        whole: Arc<LargeRows>,
        capacity: Capacity,
    ) -> Result<Self> {
        let buffer = |name: &str, rows: u32| {
            gpu.buffer(&format!("ketformer.conditioning.{name}"), u64::from(rows) * u64::from(widths[1]))
        };
        let trained = capacity.training_samples * shape.large_patches();
        let training = (trained > 0).then(|| Ok([buffer("rows", trained)?, buffer("d_rows", trained)?]));
        Ok(Self {
            parameters: ParameterViews::new(parameters, prefix, |find| Affine::find(find, "condition"))?,
            decoded: buffer("decoded", capacity.samples * shape.large_patches())?,
            moved: buffer("moved", (capacity.move_rows / shape.sub_patches).max(1))?,
            training: training.transpose()?,
            samples: capacity.samples,
            shape,
            widths,
            whole,
        })
    }

    fn projection(&self, rows: &Rows) -> LinearShape {
        LinearShape::forward(rows.clone(), self.widths[0], self.widths[1])
    }

    fn add(&self, plan: &mut Plan, add: ConditioningAdd, window: LargeWindow) -> Result<()> {
        add.record(plan, &window, &self.shape, self.widths[1])
    }

    /// Adds the conditioning to the embedded rows of sub-patch `t` of all samples. `conditioning`, (samples, C), is the
    /// row of its large patch; it is read only at the first sub-patch.
    pub(crate) fn decode(&self, plan: &mut Plan, conditioning: &View, t: u32, x: &View) -> Result<()> {
        let (large, rows) = (self.shape.large_patches(), Rows::from(self.samples));
        if t.is_multiple_of(self.shape.sub_patches) {
            let y_first = t / self.shape.sub_patches;
            let project = LinearShape { y_stride: large, y_first, ..self.projection(&rows) };
            product(conditioning, &self.parameters.sampled, Extra::None, &self.decoded).record(plan, &project)?;
        }
        let add = ConditioningAdd {
            own: self.decoded.view(),
            samples: None,
            table: self.whole.conditioning_of.view(),
            x: x.clone(),
        };
        let window = LargeWindow { items: rows, first_item: 0, per_item: large, first_entry: t, packed_per_item: 1 };
        self.add(plan, add, window)
    }

    /// Adds the conditioning to the embedded rows of a suffix batch; `conditionings` are those of the rows `large`.
    pub(crate) fn connected(
        &self,
        plan: &mut Plan,
        conditionings: &View,
        packed: &SuffixBatch,
        large: &LargeRows,
        x: &View,
    ) -> Result<()> {
        if large.per_item > 0 {
            let rows = packed.items.times(large.per_item);
            product(conditionings, &self.parameters.sampled, Extra::None, &self.moved)
                .record(plan, &self.projection(&rows))?;
        }
        let samples =
            LargePatchSamples { sample_of: packed.sample_of.clone(), values: self.decoded.view(), count: self.samples };
        let add = ConditioningAdd {
            own: self.moved.view(),
            samples: Some((samples, packed.row_table.clone())),
            table: large.conditioning_of.view(),
            x: x.clone(),
        };
        let window = LargeWindow {
            items: packed.items.clone(),
            first_item: packed.first_item,
            per_item: large.per_item,
            first_entry: 0,
            packed_per_item: packed.rows_per_item,
        };
        self.add(plan, add, window)
    }

    fn training(&self) -> Result<&[Buffer; 2]> {
        self.training.as_ref().ok_or_else(no_room)
    }

    /// Adds the conditioning to the embedded rows of whole samples; `conditionings` are those of all their large
    /// patches.
    pub(crate) fn forward(&self, plan: &mut Plan, conditionings: &View, rows: &Rows, x: &View) -> Result<()> {
        let [projected, _] = self.training()?;
        let LargePatchShape { patches, sub_patches, .. } = self.shape;
        product(conditionings, &self.parameters.values, Extra::None, projected)
            .record(plan, &self.projection(&rows.items(sub_patches)))?;
        let add = ConditioningAdd {
            own: projected.view(),
            samples: None,
            table: self.whole.conditioning_of.view(),
            x: x.clone(),
        };
        let window = LargeWindow {
            items: rows.items(patches),
            first_item: 0,
            per_item: self.shape.large_patches(),
            first_entry: 0,
            packed_per_item: patches,
        };
        self.add(plan, add, window)
    }

    /// Records the gradients of the conditionings and of the parameters from that of the embedded rows; `reversed` has
    /// the rows of large patches.
    pub(crate) fn backward(
        &self,
        plan: &mut Plan,
        reversed: &BackwardContext<'_>,
        d_x: &View,
        [conditionings, d_conditionings]: [&View; 2],
    ) -> Result<()> {
        let [_, d_projected] = self.training()?;
        let [from, to] = self.widths;
        let sum = ConditioningSum { d_x: d_x.clone(), d_conditioning: d_projected.view() };
        sum.record(plan, reversed.rows, self.shape.sub_patches, to)?;
        let ParameterViews { values, gradients, .. } = &self.parameters;
        reversed.gradient(plan, conditionings, d_projected, [from, to], gradients)?;
        let plain = (Extra::None, Activation::None);
        reversed.product(plan, d_projected, values, plain, d_conditionings, [to, from])
    }
}
