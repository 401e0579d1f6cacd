//! Gradient of a recurrent step, position by position from the last to the first.

use super::Cell;
use super::step::{taken, variants};
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, rows_class, width_class};
use crate::kernels::{kernel, record};

pub(super) static BACKWARD: Kernel = kernel!("nn", "recurrent_backward");
pub(super) static BACKWARD_SCALAR: Kernel = kernel!("nn", "recurrent_backward_scalar");

pub(crate) static BACKWARD_SELECTOR: VariantSelector<RecurrentBackwardShape> = VariantSelector {
    variants: variants("recurrent_backward"),
    class: |shape| {
        format!("{:?} {}, {}", shape.cell, width_class(shape.width), rows_class(&shape.sequences)).to_lowercase()
    },
    rule: |gpu, _| taken(gpu, 8),
    requirement: |_, _, _| None,
};

record! {
    /// Gradient of a step, see `shaders/nn/recurrent_backward.wgsl`. Rows are complete sequences of S positions, one
    /// sequence after the other.
    #[derive(Debug, Clone)]
    pub struct RecurrentBackward {
        /// W_hh (G·C, C)
        pub weight: View,
        /// (rows, C): previous states for a GRU, new states for an Elman cell
        pub saved: View,
        /// (rows, 4C): r, z, n, q of a GRU, overwritten with d_r, d_z, d_n, q. Any four floats for an Elman cell.
        pub gates: View,
        /// (rows, C): gradient of the states from outside the recurrence. A GRU overwrites it with z∘d.
        pub d_states: View,
        /// (rows, G·C): gradient of W_hh h + b_hh, for an Elman cell also of W_ih bits + b_ih
        pub d_hidden: View,
        /// (sequences, C): gradient of the conditionings, if it is computed; otherwise any four floats
        pub d_conditioning: View,
    }
}

/// Shape of a [`RecurrentBackward`].
#[derive(Debug, Clone)]
pub struct RecurrentBackwardShape {
    /// Sequences, one row each.
    pub sequences: Rows,
    /// S, positions per sequence.
    pub places: u32,
    /// Position whose gradient is computed, or `None` for the gradient of the conditionings, the initial states of the
    /// sequences.
    pub place: Option<u32>,
    /// Kind of cell.
    pub cell: Cell,
    /// Width C, a multiple of 4.
    pub width: u32,
}

impl RecurrentBackwardShape {
    fn cost(&self) -> Cost {
        let [rows, c, g] = [self.sequences.capacity, self.width, self.cell.gates()].map(f64::from);
        let product = if self.place.is_some_and(|place| place + 1 == self.places) { 0.0 } else { 2.0 * g * c * c };
        Cost { flops: rows * product, bytes: 4.0 * (g * c * c + rows * c * (3.0 + 4.0 * g)) }
    }
}

impl RecurrentBackward {
    /// Records the step in the variant selected for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &RecurrentBackwardShape) -> Result<()> {
        let variant = BACKWARD_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    pub(super) fn record_variant(
        &self,
        plan: &mut Plan,
        shape: &RecurrentBackwardShape,
        variant: &Variant,
    ) -> Result<()> {
        let (sequences, c, g) = (&shape.sequences, u64::from(shape.width), u64::from(shape.cell.gates()));
        let rows = u64::from(sequences.capacity) * u64::from(shape.places);
        let conditionings = shape.place.is_none();
        let (first, after) = shape.place.map_or((0, 0), |place| (place, place + 1));
        let mut spec = vec![("CELL", shape.cell as u32), ("CONDITIONING", u32::from(conditionings))];
        let (kernel, groups) = match variant.strategy {
            Strategy::Subgroup => {
                let lanes = variant.lanes(plan.gpu(), BACKWARD.name)?;
                spec.extend([("LANES", lanes), ("SUBGROUPS", variant.subgroups), ("ROWS", variant.tile)]);
                let tiles = shape.width.div_ceil(4 * lanes);
                (&BACKWARD, sequences.groups(variant.tile * variant.subgroups, tiles.into()))
            }
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                spec.push(("ROWS", variant.tile));
                (&BACKWARD_SCALAR, sequences.groups(variant.tile * 64, c / 4))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.weight[g * c * c],
                self.saved[rows * c],
                self.gates[if shape.cell == Cell::Gru { 4 * rows * c } else { 4 }],
                self.d_states[rows * c],
                self.d_hidden[g * rows * c],
                self.d_conditioning[if conditionings { u64::from(sequences.capacity) * c } else { 4 }]
            ),
            params: &[
                ("rows", sequences.capacity.into()),
                ("stride", shape.places.into()),
                ("first", first.into()),
                ("after", after.into()),
                ("ends", u32::from(after == shape.places).into()),
                ("width", shape.width.into()),
            ],
            groups,
            cost: shape.cost(),
            shape: format!("({}, {c})", sequences.capacity),
        })
    }
}
