//! Test cases of [`crate::kernels::nn::recurrent::backward`].

use crate::gpu::{DynamicRows, Gpu, Plan, Rows};
use crate::kernels::case::wide;
use crate::kernels::nn::recurrent::Cell;
use crate::kernels::nn::recurrent::backward::{
    BACKWARD, BACKWARD_SCALAR, BACKWARD_SELECTOR, RecurrentBackward, RecurrentBackwardShape,
};
use crate::kernels::nn::recurrent::cases::CellInputs;
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const BACKWARD_ENTRY: Entry =
    Entry { kernel: &BACKWARD, summary: "d_a, d_h at one position of all sequences, from the next position", cases };
pub(crate) const BACKWARD_SCALAR_ENTRY: Entry =
    Entry { kernel: &BACKWARD_SCALAR, summary: "the same without subgroups", cases: scalar_cases };

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
