//! The gradient of a step, place after place from the last on.

use super::step::{forms, taken};
use super::{Cell, CellInputs, wide};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, LiveRows, Plan, Rows, View};
use crate::kernels::choice::{Choice, Form, rows_class, width_class};
use crate::kernels::linear::Variant;
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static BACKWARD: Kernel = kernel!("recurrent_backward");
static BACKWARD_PRIVATE: Kernel = kernel!("recurrent_backward_private");

pub(in crate::kernels) const BACKWARD_ENTRY: Entry =
    Entry { kernel: &BACKWARD, summary: "d_a, d_h of one place of all sequences from the place after", cases };
pub(in crate::kernels) const BACKWARD_PRIVATE_ENTRY: Entry =
    Entry { kernel: &BACKWARD_PRIVATE, summary: "the same without subgroups", cases: private_cases };

pub(in crate::kernels) static BACKWARD_CHOICE: Choice<RecurrentBackwardShape> = Choice {
    forms: forms("recurrent_backward"),
    class: |shape| {
        format!("{:?} {}, {}", shape.cell, width_class(shape.width), rows_class(&shape.sequences)).to_lowercase()
    },
    rule: |gpu, shape| taken(gpu, shape.sequences.most, 8),
    needs: |_, _, _| None,
};

/// The gradient of a step, see `shaders/recurrent_backward.wgsl`. Rows are those of whole sequences of S places, sequence
/// after sequence.
#[derive(Debug, Clone)]
pub struct RecurrentBackward {
    /// W_hh (G·C, C)
    pub weight: View,
    /// (rows, C): states before of a GRU, states of Elman's cell
    pub saved: View,
    /// (rows, 4C): r, z, n, q of a GRU become d_r, d_z, d_n, q. Any four floats for Elman's cell.
    pub gates: View,
    /// (rows, C): the gradient of the states from elsewhere; a GRU leaves z∘d there.
    pub d_states: View,
    /// (rows, G·C): the gradient of W_hh h + b_hh; for Elman's cell of W_ih bits + b_ih too
    pub d_hidden: View,
    /// (sequences, C), where the gradient of the conditions is made; else any four floats
    pub d_condition: View,
}

/// Shape of a [`RecurrentBackward`].
#[derive(Debug, Clone)]
pub struct RecurrentBackwardShape {
    /// Sequences, one row each.
    pub sequences: Rows,
    /// S
    pub places: u32,
    /// The place whose gradient is made, or `None` for that of the conditions that sequences begin with.
    pub place: Option<u32>,
    /// The cell.
    pub cell: Cell,
    /// Width C, a multiple of 4.
    pub width: u32,
}

impl RecurrentBackwardShape {
    fn cost(&self) -> Cost {
        let [rows, c, g] = [self.sequences.most, self.width, self.cell.gates()].map(f64::from);
        let product = if self.place.is_some_and(|place| place + 1 == self.places) { 0.0 } else { 2.0 * g * c * c };
        Cost { flops: rows * product, bytes: 4.0 * (g * c * c + rows * c * (3.0 + 4.0 * g)) }
    }
}

impl RecurrentBackward {
    /// Records the step, in the form that is best for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &RecurrentBackwardShape) -> Result<()> {
        let form = BACKWARD_CHOICE.take(plan.gpu(), shape)?;
        self.record_form(plan, shape, form)
    }

    fn record_form(&self, plan: &mut Plan, shape: &RecurrentBackwardShape, form: &Form) -> Result<()> {
        let (sequences, c, g) = (&shape.sequences, u64::from(shape.width), u64::from(shape.cell.gates()));
        let rows = u64::from(sequences.most) * u64::from(shape.places);
        let conditions = shape.place.is_none();
        let (first, after) = shape.place.map_or((0, 0), |place| (place, place + 1));
        let mut spec = vec![("CELL", shape.cell as u32), ("CONDITION", u32::from(conditions))];
        let (kernel, groups) = match form.variant {
            Variant::Subgroup => {
                let lanes = form.lanes(plan.gpu(), BACKWARD.name)?;
                spec.extend([("LANES", lanes), ("SUBGROUPS", form.subgroups), ("ROWS", form.tile)]);
                let tiles = shape.width.div_ceil(4 * lanes);
                (&BACKWARD, sequences.groups(form.tile * form.subgroups, tiles.into()))
            }
            Variant::Private | Variant::Shared | Variant::Panel => {
                (&BACKWARD_PRIVATE, sequences.groups(form.tile * 64, c / 4))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &[
                Bind { name: "weight", view: &self.weight, elements: g * c * c },
                Bind { name: "saved", view: &self.saved, elements: rows * c },
                Bind {
                    name: "gates",
                    view: &self.gates,
                    elements: if shape.cell == Cell::Gru { 4 * rows * c } else { 4 },
                },
                Bind { name: "d_states", view: &self.d_states, elements: rows * c },
                Bind { name: "d_hidden", view: &self.d_hidden, elements: g * rows * c },
                Bind {
                    name: "d_condition",
                    view: &self.d_condition,
                    elements: if conditions { u64::from(sequences.most) * c } else { 4 },
                },
            ],
            params: &[
                ("rows", sequences.most.into()),
                ("stride", shape.places.into()),
                ("first", first.into()),
                ("after", after.into()),
                ("ends", u32::from(after == shape.places).into()),
                ("width", shape.width.into()),
            ],
            groups,
            cost: shape.cost(),
            shape: format!("({}, {c})", sequences.most),
        })
    }
}

fn cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Variant::Subgroup)
}

fn private_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Variant::Private)
}

/// Places of a sequence in cases.
const PLACES: u32 = 3;

fn cases_of(gpu: &Gpu, variant: Variant) -> Vec<Case> {
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
                let forms = BACKWARD_CHOICE.of_case(gpu, variant, &shape, i % 3 == k && i < 5, i + k);
                cases.extend(forms.into_iter().map(|form| case(form, &shape)));
            }
        }
    }
    cases
}

fn case(form: Form, shape: &RecurrentBackwardShape) -> Case {
    let (sequences, c) = (shape.sequences.most as usize, shape.width as usize);
    let (places, outputs) = (shape.places as usize, shape.cell.gates() as usize * c);
    let rows = sequences * places;
    let mut random = RandomInputs::new((sequences * 31 + c * 7) as u64);
    let inputs = CellInputs::new(&mut random, shape.cell, c, 1);
    let (saved, d_states, d_hidden) = (random.floats(rows * c), random.floats(rows * c), random.floats(rows * outputs));
    // Gates lie in (0, 1), candidates and products within ±1.
    let gate = |at: usize, v: f32| if at / c % 4 < 2 { 0.5 * (v + 1.0) } else { v };
    let gates: Vec<f32> = random.floats(4 * rows * c).into_iter().enumerate().map(|(at, v)| gate(at, v)).collect();

    let [d_wide, hidden_wide] = [&d_states, &d_hidden].map(|values| wide(values));
    let mut expected = [wide(&gates), d_wide.clone(), hidden_wide.clone()];
    let mut d_condition = Vec::new();
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
            d_condition.extend(d);
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
        None => vec![("d_condition", near(d_condition))],
        Some(_) => vec![
            ("gates", near(expected_gates)),
            ("d_states", near(expected_states)),
            ("d_hidden", near(expected_hidden)),
        ],
    };
    let name = format!("{:?} ({sequences}, {c}) {:?}", shape.cell, shape.place);
    let shape = shape.clone();
    let record = move |plan: &mut Plan, named: &Named| {
        let backward = RecurrentBackward {
            weight: named.view("weight")?,
            saved: named.view("saved")?,
            gates: named.view("gates")?,
            d_states: named.view("d_states")?,
            d_hidden: named.view("d_hidden")?,
            d_condition: match shape.place {
                Some(_) => named.view("absent")?,
                None => named.view("d_condition")?,
            },
        };
        // The window begins at item 2.
        let live = LiveRows::new(named.view("live")?, 2, shape.sequences.most, 1);
        plan.resolve_grids(&live.live)?;
        backward.record_form(plan, &RecurrentBackwardShape { sequences: live.into(), ..shape.clone() }, &form)
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
    .of_form(&form)
}
