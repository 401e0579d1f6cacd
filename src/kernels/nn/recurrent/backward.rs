//! Gradient of a recurrent step, position by position from the last to the first.

use super::step::{taken, variants};
use super::{Cell, CellInputs, wide};
use crate::error::Result;
use crate::gpu::{Cost, DynamicRows, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::linear::Strategy;
use crate::kernels::variant::{Variant, VariantSelector, rows_class, width_class};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static BACKWARD: Kernel = kernel!("nn", "recurrent_backward");
static BACKWARD_SCALAR: Kernel = kernel!("nn", "recurrent_backward_scalar");

pub(crate) const BACKWARD_ENTRY: Entry =
    Entry { kernel: &BACKWARD, summary: "d_a, d_h at one position of all sequences, from the next position", cases };
pub(crate) const BACKWARD_SCALAR_ENTRY: Entry =
    Entry { kernel: &BACKWARD_SCALAR, summary: "the same without subgroups", cases: scalar_cases };

pub(crate) static BACKWARD_SELECTOR: VariantSelector<RecurrentBackwardShape> = VariantSelector {
    variants: variants("recurrent_backward"),
    class: |shape| {
        format!("{:?} {}, {}", shape.cell, width_class(shape.width), rows_class(&shape.sequences)).to_lowercase()
    },
    rule: |gpu, shape| taken(gpu, shape.sequences.capacity, 8),
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

    fn record_variant(&self, plan: &mut Plan, shape: &RecurrentBackwardShape, variant: &Variant) -> Result<()> {
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

fn cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Strategy::Subgroup)
}

fn scalar_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Strategy::Scalar)
}

/// Positions per sequence in cases.
const PLACES: u32 = 3;

fn cases_of(gpu: &Gpu, strategy: Strategy) -> Vec<Case> {
    let mut cases = Vec::new();
    let shapes = [(1, 4), (16, 32), (17, 36), (33, 12), (131, 68), (5, 256), (70_001, 4)];
    for cell in [Cell::Elman, Cell::Gru] {
        for (i, (sequences, width)) in shapes.into_iter().enumerate() {
            for (k, place) in [Some(1), Some(PLACES - 1), None].into_iter().enumerate() {
                if sequences > 10_000 && k != 0 {
                    continue;
                }
                let shape =
                    RecurrentBackwardShape { sequences: Rows::from(sequences), places: PLACES, place, cell, width };
                let variants = BACKWARD_SELECTOR.of_case(gpu, strategy, &shape, i % 3 == k && i < 5, i + k);
                cases.extend(variants.into_iter().map(|variant| case(variant, &shape)));
            }
        }
    }
    cases
}

fn case(variant: Variant, shape: &RecurrentBackwardShape) -> Case {
    let (sequences, c) = (shape.sequences.capacity as usize, shape.width as usize);
    let (places, outputs) = (shape.places as usize, shape.cell.gates() as usize * c);
    let rows = sequences * places;
    let mut random = RandomInputs::new((sequences * 31 + c * 7) as u64);
    let inputs = CellInputs::new(&mut random, shape.cell, c, 1);
    let (saved, d_states, d_hidden) = (random.floats(rows * c), random.floats(rows * c), random.floats(rows * outputs));
    // Gates are in (0, 1), candidates and products within ±1.
    let gate = |at: usize, v: f32| if at / c % 4 < 2 { 0.5 * (v + 1.0) } else { v };
    let gates: Vec<f32> = random.floats(4 * rows * c).into_iter().enumerate().map(|(at, v)| gate(at, v)).collect();

    let [d_wide, hidden_wide] = [&d_states, &d_hidden].map(|values| wide(values));
    let mut expected = [wide(&gates), d_wide.clone(), hidden_wide.clone()];
    let mut d_conditioning = Vec::new();
    let after = shape.place.map_or(0, |place| place as usize + 1);
    for u in 0..sequences {
        let from = (after < places).then_some(u * places + after);
        let carried = match from {
            Some(row) if shape.cell == Cell::Gru => d_wide[row * c..(row + 1) * c].to_vec(),
            _ => vec![0.0; c],
        };
        let d_after = from.map_or(&[][..], |row| &hidden_wide[row * outputs..(row + 1) * outputs]);
        let mut d = inputs.reference(&inputs.weight_state, |cell| cell.before(d_after, &carried));
        let Some(place) = shape.place else {
            d_conditioning.extend(d);
            continue;
        };
        let row = u * places + place as usize;
        d.iter_mut().zip(&d_wide[row * c..]).for_each(|(sum, d)| *sum += d);
        let own_saved = wide(&saved[row * c..(row + 1) * c]);
        let own_gates = wide(&gates[4 * row * c..4 * (row + 1) * c]);
        let made = inputs.reference(&inputs.weight_state, |cell| cell.backward(&own_saved, &own_gates, &d));
        expected[2][row * outputs..(row + 1) * outputs].copy_from_slice(&made.d_hidden);
        if shape.cell == Cell::Gru {
            expected[0][4 * row * c..(4 * row + 3) * c].copy_from_slice(&made.d_input);
            expected[1][row * c..(row + 1) * c].copy_from_slice(&made.carried);
        }
    }
    let near = |values| Expected::Near { values, tolerance: 1e-6 * (2.0 + (outputs as f64).sqrt() / 4.0) };
    let [expected_gates, expected_states, expected_hidden] = expected;
    let outcomes = match shape.place {
        None => vec![("d_conditioning", near(d_conditioning))],
        Some(_) => vec![
            ("gates", near(expected_gates)),
            ("d_states", near(expected_states)),
            ("d_hidden", near(expected_hidden)),
        ],
    };
    let name = format!("{:?} ({sequences}, {c}) {:?}", shape.cell, shape.place);
    let shape = shape.clone();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let backward = RecurrentBackward::from_case(&buffers.standing_in("absent")?)?;
        // The window begins at item 2.
        let live = DynamicRows::new(buffers.view("live")?, 2, shape.sequences.capacity, 1);
        plan.write_indirect_args(&live.live)?;
        backward.record_variant(plan, &RecurrentBackwardShape { sequences: live.into(), ..shape.clone() }, &variant)
    };
    Case {
        name,
        inputs: vec![
            ("weight", inputs.weight_state.into()),
            ("saved", saved.into()),
            ("gates", gates.into()),
            ("d_states", d_states.into()),
            ("d_hidden", d_hidden.into()),
            ("absent", vec![0.0f32; 4].into()),
            ("live", vec![sequences as u32 + 2].into()),
        ],
        outputs: outcomes,
        record: Box::new(record),
    }
    .of_variant(&variant)
}
