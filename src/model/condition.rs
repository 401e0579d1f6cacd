//! What a transformer over the sub-patches of large patches is told of those before: a row of width C, projected and added to
//! each of its embedded sub-patches.
//!
//! ```text
//! x_t += W_c c_{⌊t/S⌋} + b_c        W_c (C', C)
//! ```

use std::sync::Arc;

use super::affine::{Affine, Places, Reversed, linear, product};
use super::network::LargeRows;
use super::transformer::Transformer;
use super::{Capacity, Needs, Packed, ParameterSpec, Parameters};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Plan, Rows, View};
use crate::kernels::linear::{Activation, Extra, LinearShape};
use crate::kernels::nested::{ConditionAdd, ConditionSum, LargeWindow, NestedShape, Samples};

/// The projection on a device, with what it made of the samples' large patches.
pub(super) struct Condition {
    places: Places<Affine>,
    shape: NestedShape,
    /// C, C'
    widths: [u32; 2],
    samples: u32,
    whole: Arc<LargeRows>,
    /// (B, L, C')
    decoded: Buffer,
    /// (large rows of moves, C')
    moved: Buffer,
    /// (training samples · L, C'): the projected rows and their gradient.
    training: Option<[Buffer; 2]>,
}

impl Condition {
    pub fn specs([from, to]: [usize; 2]) -> Vec<ParameterSpec> {
        linear("condition", to, from).into()
    }

    /// Adds its own elements to those of the network that it is a part of.
    pub fn needs(shape: &NestedShape, [_, to]: [u32; 2], needs: Needs) -> Needs {
        let [large, c, s] = [shape.large_patches(), to, shape.sub_patches].map(u64::from);
        let with = |[all, widest]: [u64; 2], more: u64| [all + more, widest.max(more)];
        Needs {
            sample: with(needs.sample, large * c),
            move_row: with(needs.move_row, c.div_ceil(s)),
            training_sample: [needs.training_sample[0] + 2 * large * c, needs.training_sample[1].max(large * c)],
            // One row, where there are fewer rows of moves than sub-patches.
            fixed: needs.fixed + c,
            ..needs
        }
    }

    /// Elements of a block of its gradient.
    pub fn part_width([from, to]: [u32; 2]) -> u64 {
        (u64::from(from) + 1) * u64::from(to)
    }

    /// `capacity` counts rows of sub-patches.
    pub fn new(
        gpu: &Gpu,
        parameters: &Parameters,
        prefix: &str,
        (shape, widths): (NestedShape, [u32; 2]),
        whole: Arc<LargeRows>,
        capacity: Capacity,
    ) -> Result<Self> {
        let buffer = |name: &str, rows: u32| {
            gpu.buffer(&format!("ketformer.condition.{name}"), u64::from(rows) * u64::from(widths[1]))
        };
        let trained = capacity.training_samples * shape.large_patches();
        let training = (trained > 0).then(|| Ok([buffer("rows", trained)?, buffer("d_rows", trained)?]));
        Ok(Self {
            places: Places::new(parameters, prefix, |find| Affine::find(find, "condition"))?,
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

    fn add(&self, plan: &mut Plan, add: ConditionAdd, window: LargeWindow) -> Result<()> {
        add.record(plan, &window, &self.shape, self.widths[1])
    }

    /// Adds to the embedded rows of sub-patch `t` of all samples; `condition`, (samples, C), is that of its large patch,
    /// and read where that begins.
    pub fn decode(&self, plan: &mut Plan, condition: &View, t: u32, x: &View) -> Result<()> {
        let (large, rows) = (self.shape.large_patches(), Rows::from(self.samples));
        if t.is_multiple_of(self.shape.sub_patches) {
            let y_first = t / self.shape.sub_patches;
            let project = LinearShape { y_stride: large, y_first, ..self.projection(&rows) };
            product(condition, &self.places.sampled, Extra::None, &self.decoded).record(plan, &project)?;
        }
        let add = ConditionAdd {
            own: self.decoded.view(),
            samples: None,
            table: self.whole.condition_of.view(),
            x: x.clone(),
        };
        let window = LargeWindow { items: rows, first_item: 0, per_item: large, first_entry: t, packed_per_item: 1 };
        self.add(plan, add, window)
    }

    /// Adds to the embedded rows of moves; `conditions` are those of the rows `large`.
    pub fn moves(
        &self,
        plan: &mut Plan,
        conditions: &View,
        packed: &Packed,
        large: &LargeRows,
        x: &View,
    ) -> Result<()> {
        if large.per_item > 0 {
            let rows = packed.items.times(large.per_item);
            product(conditions, &self.places.sampled, Extra::None, &self.moved)
                .record(plan, &self.projection(&rows))?;
        }
        let samples = Samples { sample_of: packed.sample_of.clone(), values: self.decoded.view(), count: self.samples };
        let add = ConditionAdd {
            own: self.moved.view(),
            samples: Some((samples, packed.row_table.clone())),
            table: large.condition_of.view(),
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
        self.training.as_ref().ok_or_else(Transformer::no_room)
    }

    /// Adds to the embedded rows of whole samples; `conditions` are those of all their large patches.
    pub fn forward(&self, plan: &mut Plan, conditions: &View, rows: &Rows, x: &View) -> Result<()> {
        let [projected, _] = self.training()?;
        let NestedShape { patches, sub_patches, .. } = self.shape;
        product(conditions, &self.places.values, Extra::None, projected)
            .record(plan, &self.projection(&rows.items(sub_patches)))?;
        let add =
            ConditionAdd { own: projected.view(), samples: None, table: self.whole.condition_of.view(), x: x.clone() };
        let window = LargeWindow {
            items: rows.items(patches),
            first_item: 0,
            per_item: self.shape.large_patches(),
            first_entry: 0,
            packed_per_item: patches,
        };
        self.add(plan, add, window)
    }

    /// From the gradient of the embedded rows to that of the conditions, and of the parameters; `reversed` has the rows of
    /// large patches.
    pub fn backward(
        &self,
        plan: &mut Plan,
        reversed: &Reversed<'_>,
        d_x: &View,
        [conditions, d_conditions]: [&View; 2],
    ) -> Result<()> {
        let [_, d_projected] = self.training()?;
        let [from, to] = self.widths;
        let sum = ConditionSum { d_x: d_x.clone(), d_condition: d_projected.view() };
        sum.record(plan, reversed.rows, self.shape.sub_patches, to)?;
        let Places { values, gradients, .. } = &self.places;
        reversed.gradient(plan, conditions, d_projected, [from, to], gradients)?;
        let plain = (Extra::None, Activation::None);
        reversed.product(plan, d_projected, values, plain, d_conditions, [to, from])
    }
}
