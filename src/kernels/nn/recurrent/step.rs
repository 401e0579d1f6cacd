//! Recurrent step of all rows at one position of their sequences.

use super::{Cell, Link};
use crate::error::Result;
use crate::gpu::{Cost, DType, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::kernel;
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, Variants, rows_class, width_class};

pub(super) static STEP: Kernel = kernel!("nn", "recurrent_step");
pub(super) static STEP_SCALAR: Kernel = kernel!("nn", "recurrent_step_scalar");

pub(crate) static STEP_SELECTOR: VariantSelector<RecurrentShape> = VariantSelector {
    variants: variants("recurrent_step"),
    class: |shape| {
        format!("{:?} {}, {}", shape.cell, width_class(shape.width), rows_class(&shape.all())).to_lowercase()
    },
    rule: |gpu, _| taken(gpu, 16),
    requirement: |_, _, _| None,
};

const VARIANTS: &[Variant] = &[
    Variant::subgroup("rows16x1", 16, 1),
    Variant::subgroup("rows16x2", 16, 2),
    Variant::subgroup("rows8x2", 8, 2),
    Variant::subgroup("rows8x4", 8, 4),
    Variant::subgroup("rows4x2", 4, 2),
    Variant::subgroup("rows4x4", 4, 4),
    Variant::scalar("scalar", 8),
    Variant::scalar("scalar2", 2),
];

/// Variants of a kernel of this family.
pub(crate) const fn variants(kernel: &'static str) -> Variants {
    Variants { kernel, least_lanes: 4, all: VARIANTS }
}

/// Default variant: strategy, tile, subgroups. More rows in registers save loads, which are expensive on software
/// adapters. GPUs need many subgroups and have few registers in addition to the sums of three gates: with 8 rows per lane
/// the compilers for AMD, Intel and NVIDIA use scratch memory or leave one subgroup per SIMD, and with 4 rows those for
/// Intel still do. On software adapters, more than 8 rows make the gradient a tenth faster but take five times as long to
/// compile.
pub(crate) fn taken(gpu: &Gpu, software_tile: u32) -> (Strategy, u32, u32) {
    match Strategy::lanes(gpu) {
        Some(_) if gpu.is_software() => (Strategy::Subgroup, software_tile, 2),
        Some(_) => (Strategy::Subgroup, 4, 4),
        None if gpu.is_software() => (Strategy::Scalar, 8, 1),
        None => (Strategy::Scalar, 2, 1),
    }
}

/// W_ih (G·C, P), followed by the biases b_ih and b_hh (G·C), in one range.
#[derive(Debug, Clone)]
pub struct InputWeights {
    /// Range that begins with W_ih.
    pub view: View,
    /// Element at which b_ih begins.
    pub bias_input: u32,
    /// Element at which b_hh begins, after b_ih.
    pub bias_state: u32,
}

/// One row per item u: u·stride + first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strided {
    /// Distance in rows from one item to the next.
    pub stride: u32,
    /// Row of item 0.
    pub first: u32,
}

impl Strided {
    /// Number of rows up to and including the row of the last of `items` items.
    fn rows(self, items: u32) -> u64 {
        u64::from(items.saturating_sub(1)) * u64::from(self.stride) + u64::from(self.first) + 1
    }
}

/// Location of the previous states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Zero states.
    Zero,
    /// This number of rows before the row of the new state.
    Back(u32),
    /// These rows of the conditionings.
    Conditioning(Strided),
}

/// Rows of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepRows {
    /// One row per item.
    Described {
        /// Row of its metadata.
        row: Strided,
        /// Row of its new state.
        state: Strided,
        /// Location of its previous state.
        before: Before,
        /// Whether a sequence begins at this position, so that the preceding token counts as 0.
        starts: bool,
    },
    /// Rows given by [`super::RecurrentLinks`]: links `first .. first + count` of each item.
    Linked {
        /// Rows per item.
        per_item: u32,
        /// First link of the step.
        first: u32,
        /// Number of links of the step per item.
        count: u32,
        /// Sum of the [`Link`]s that occur in the step.
        sources: u32,
    },
}

/// Recurrent step, see the module documentation.
#[derive(Debug, Clone)]
pub struct RecurrentStep {
    /// (rows) of four u32: row metadata (preceding token, ·, ·, ·), or links
    pub rows: View,
    /// Input weights and biases.
    pub input: InputWeights,
    /// W_hh (G·C, C), of f32 or f16
    pub weight: View,
    /// (rows, C), for [`Link::Base`]
    pub base: Option<View>,
    /// (rows, C), for [`Link::Conditioning`] and [`Before::Conditioning`]
    pub conditioning: Option<View>,
    /// (rows, C)
    pub states: View,
    /// (rows, 4C): r, z, n, q. Written by a GRU that keeps them; otherwise any four floats.
    pub gates: View,
    /// (rows, C): previous states. Written by a cell that keeps them; otherwise any four floats.
    pub previous: View,
}

/// Shape of a [`RecurrentStep`].
#[derive(Debug, Clone)]
pub struct RecurrentShape {
    /// Items, counted as one row each.
    pub items: Rows,
    /// Rows of the items in this step.
    pub rows: StepRows,
    /// Kind of cell.
    pub cell: Cell,
    /// Width C, a multiple of 4.
    pub width: u32,
    /// Sites per patch P.
    pub sites_per_patch: u32,
    /// Whether gates and previous states are kept for the gradient.
    pub keeps: bool,
}

impl RecurrentShape {
    /// Rows of the step.
    fn all(&self) -> Rows {
        match self.rows {
            StepRows::Described { .. } => self.items.clone(),
            StepRows::Linked { count, .. } => self.items.times(count),
        }
    }

    fn sources(&self) -> u32 {
        match self.rows {
            StepRows::Linked { sources, .. } => sources,
            StepRows::Described { before: Before::Zero, .. } => Link::Zero as u32,
            StepRows::Described { before: Before::Back(_), .. } => Link::Item as u32,
            StepRows::Described { before: Before::Conditioning(_), .. } => Link::Conditioning as u32,
        }
    }

    fn cost(&self, weight: DType) -> Cost {
        let [rows, c, g] = [self.all().capacity, self.width, self.cell.gates()].map(f64::from);
        let flops = 2.0 * rows * g * c * (c + f64::from(self.sites_per_patch));
        let kept = if self.keeps { 5.0 } else { 0.0 };
        Cost { flops, bytes: weight.bytes() as f64 * g * c * c + 4.0 * rows * c * (2.0 + kept) }
    }
}

impl RecurrentStep {
    /// Records the step in the variant selected for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &RecurrentShape) -> Result<()> {
        let variant = STEP_SELECTOR.take(plan.gpu(), shape)?;
        self.record_variant(plan, shape, variant)
    }

    pub(super) fn record_variant(&self, plan: &mut Plan, shape: &RecurrentShape, variant: &Variant) -> Result<()> {
        let (rows, items, g) = (shape.all(), shape.items.capacity, u64::from(shape.cell.gates()));
        let [c, p] = [shape.width, shape.sites_per_patch].map(u64::from);
        let whole = |view: &View| view.bytes() / view.storage().bytes();
        // Placeholder for an absent binding.
        let absent = (&self.input.view, 4);
        let (base, base_elements) = self.base.as_ref().map_or(absent, |base| (base, whole(base)));
        let (conditioning, conditioning_elements) =
            self.conditioning.as_ref().map_or(absent, |conditioning| (conditioning, whole(conditioning)));
        let nothing = Strided { stride: 0, first: 0 };
        let (linked, count, described, state, back, before, starts, states) = match shape.rows {
            StepRows::Described { row, state, before, starts } => {
                let (back, before) = match before {
                    Before::Zero => (0, nothing),
                    Before::Back(back) => (back, nothing),
                    Before::Conditioning(rows) => (0, rows),
                };
                (0, 1, row, state, back, before, starts, state.rows(items))
            }
            StepRows::Linked { per_item, first, count, .. } => {
                let all = Strided { stride: per_item, first };
                (1, count, all, all, 0, nothing, false, u64::from(items) * u64::from(per_item))
            }
        };
        let kept = |elements: u64| if elements > 0 && shape.keeps { states * elements } else { 4 };
        let mut spec = vec![
            ("CELL", shape.cell as u32),
            ("SOURCES", shape.sources()),
            ("LINKED", linked),
            ("KEEPS", shape.keeps.into()),
            ("WEIGHT_BITS", self.weight.storage().bits()),
        ];
        let (kernel, groups) = match variant.strategy {
            Strategy::Subgroup => {
                let lanes = variant.lanes(plan.gpu(), STEP.name)?;
                spec.extend([("LANES", lanes), ("SUBGROUPS", variant.subgroups), ("ROWS", variant.tile)]);
                let tiles = shape.width.div_ceil(4 * lanes);
                (&STEP, rows.groups(variant.tile * variant.subgroups, tiles.into()))
            }
            Strategy::Scalar | Strategy::Tiled | Strategy::Panel => {
                spec.push(("ROWS", variant.tile));
                (&STEP_SCALAR, rows.groups(variant.tile * 64, c / 4))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &bind!(
                self.rows[4 * if linked == 1 { states } else { described.rows(items) }],
                input = self.input.view[(g * c * p).max(u64::from(self.input.bias_state) + g * c)],
                self.weight[g * c * c],
                base[base_elements],
                conditioning[conditioning_elements],
                self.states[states * c],
                self.gates[kept(if shape.cell == Cell::Gru { 4 * c } else { 0 })],
                self.previous[kept(c)]
            ),
            params: &[
                ("rows", rows.capacity.into()),
                ("count", count.into()),
                ("first", described.first.into()),
                ("row_stride", described.stride.into()),
                ("state_stride", state.stride.into()),
                ("state_first", state.first.into()),
                ("back", back.into()),
                ("conditioning_stride", before.stride.into()),
                ("conditioning_first", before.first.into()),
                ("starts", u32::from(starts).into()),
                ("width", shape.width.into()),
                ("sites", shape.sites_per_patch.into()),
                ("bias_input", self.input.bias_input.into()),
                ("bias_state", self.input.bias_state.into()),
                ("gates", shape.cell.gates().into()),
            ],
            groups,
            cost: shape.cost(self.weight.storage()),
            shape: format!("({}, {c}, {p})", rows.capacity),
        })
    }
}
