//! Test cases of [`crate::kernels::nn::recurrent::step`].

use crate::gpu::{DType, DynamicRows, Gpu, Plan};
use crate::kernels::case::wide;
use crate::kernels::nn::cases::cast_f16::{has_half, stored};
use crate::kernels::nn::recurrent::Cell;
use crate::kernels::nn::recurrent::cases::CellInputs;
use crate::kernels::nn::recurrent::step::{
    Before, InputWeights, RecurrentShape, RecurrentStep, STEP, STEP_SCALAR, STEP_SELECTOR, StepRows, Strided,
};
use crate::kernels::strategy::Strategy;
use crate::kernels::variant::Variant;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const STEP_ENTRY: Entry =
    Entry { kernel: &STEP, summary: "h' = cell(token, h) for the rows at one position of their sequences", cases };
pub(crate) const STEP_SCALAR_ENTRY: Entry =
    Entry { kernel: &STEP_SCALAR, summary: "the same without subgroups", cases: scalar_cases };

fn cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Strategy::Subgroup)
}

fn scalar_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Strategy::Scalar)
}

/// Kind of the rows of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// First patch of samples.
    Start,
    /// First patch of sequences with conditionings.
    Conditioned,
    /// Later patch, with the states of one position stored contiguously, as in decoding.
    Decoded,
    /// Later patch, with complete samples one after the other.
    Forced,
    /// Rows of connected configurations, with all kinds of links.
    Linked,
}

fn cases_of(gpu: &Gpu, strategy: Strategy) -> Vec<Case> {
    use Kind::*;
    let mut cases = Vec::new();
    let small = [(1, 4, 1), (16, 32, 4), (17, 36, 3), (33, 12, 5), (131, 68, 2)];
    let mut turn = 0;
    let mut add = |rows: u32, width: u32, p: u32, cell, kind, storage, all| {
        let shape = shape(kind, rows, width, p, cell, kind == Forced);
        turn += 1;
        let variants = STEP_SELECTOR.of_case(gpu, strategy, &shape, all, turn);
        cases.extend(variants.into_iter().map(|variant| case(variant, &shape, kind, storage)));
    };
    for cell in [Cell::Elman, Cell::Gru] {
        for (i, (rows, width, p)) in small.into_iter().enumerate() {
            for (k, kind) in [Start, Conditioned, Decoded, Forced, Linked].into_iter().enumerate() {
                add(rows, width, p, cell, kind, DType::F32, i % 5 == k);
            }
        }
        add(7, 256, 12, cell, Forced, DType::F32, false);
        add(70_001, 4, 1, cell, Linked, DType::F32, false);
        if has_half(gpu) {
            add(19, 40, 4, cell, Decoded, DType::F16, true);
            add(65, 32, 4, cell, Linked, DType::F16, false);
        }
    }
    cases
}

/// Positions per sequence in cases, equal to the number of rows of a linked item.
const PLACES: u32 = 3;
/// Position of the step.
const PLACE: u32 = 1;

fn shape(kind: Kind, items: u32, width: u32, sites_per_patch: u32, cell: Cell, keeps: bool) -> RecurrentShape {
    let strided = |first| Strided { stride: PLACES, first };
    let described = |state, before, starts| StepRows::Described { row: strided(PLACE), state, before, starts };
    let rows = match kind {
        Kind::Start => described(strided(0), Before::Zero, true),
        Kind::Conditioned => described(strided(0), Before::Conditioning(Strided { stride: 2, first: 1 }), true),
        Kind::Decoded => described(Strided { stride: 1, first: items }, Before::Back(items), false),
        Kind::Forced => described(strided(PLACE), Before::Back(1), false),
        // Two of three rows. The remaining row is used as a previous state.
        Kind::Linked => StepRows::Linked { per_item: 3, first: 1, count: 2, sources: 7 },
    };
    RecurrentShape { items: items.into(), rows, cell, width, sites_per_patch, keeps }
}

fn case(variant: Variant, shape: &RecurrentShape, kind: Kind, storage: DType) -> Case {
    let (items, c, p) = (shape.items.capacity as usize, shape.width as usize, shape.sites_per_patch as usize);
    let mut random = RandomInputs::new((items * 31 + c * 7 + p) as u64);
    let inputs = CellInputs::new(&mut random, shape.cell, c, p);
    let (weight, stored_weight) = stored(inputs.weight_state.clone(), storage);
    let count = items * PLACES as usize;
    let tokens = random.integers(count, 1 << p);
    let (states, base, conditioning) = (random.floats(count * c), random.floats(count * c), random.floats(count * c));
    // For each row of the step: token, previous state, row of the new state.
    let mut links = vec![0; 4 * count];
    let mut steps: Vec<(u32, Vec<f32>, usize)> = Vec::new();
    let row = |of: &[f32], at: usize| of[at * c..(at + 1) * c].to_vec();
    for u in 0..items {
        let first = u * PLACES as usize;
        let place = PLACE as usize;
        match kind {
            Kind::Start => steps.push((0, vec![0.0; c], first)),
            Kind::Conditioned => steps.push((0, row(&conditioning, 2 * u + 1), first)),
            Kind::Decoded => steps.push((tokens[first + place], row(&states, u), items + u)),
            Kind::Forced => steps.push((tokens[first + place], row(&states, first), first + place)),
            Kind::Linked => {
                for (i, state) in [(1, 2), (2, 0)] {
                    let (source, at) = [(1, first + 1), (2, 7 * u % count), (4, 5 * u % count), (0, 0)][(u + i) % 4];
                    let before = [row(&states, at), row(&base, at), row(&conditioning, at), vec![0.0; c]];
                    let token = tokens[first + i];
                    links[4 * (first + i)..4 * (first + i) + 4].copy_from_slice(&[token, state, source, at as u32]);
                    steps.push((token, before[(u + i) % 4].clone(), first + state as usize));
                }
            }
        }
    }
    let before: Vec<f64> = steps.iter().flat_map(|(_, before, _)| wide(before)).collect();
    let step_tokens: Vec<u32> = steps.iter().map(|(token, _, _)| *token).collect();
    let (made, made_gates) = inputs.reference(&weight, |cell| cell.forward(&step_tokens, &before));
    let mut expected = [wide(&states), vec![0.0; 4 * c * count], vec![0.0; c * count]];
    for (i, (_, _, state)) in steps.iter().enumerate() {
        expected[0][state * c..(state + 1) * c].copy_from_slice(&made[i * c..(i + 1) * c]);
        expected[2][state * c..(state + 1) * c].copy_from_slice(&before[i * c..(i + 1) * c]);
        if shape.cell == Cell::Gru {
            expected[1][4 * state * c..4 * (state + 1) * c].copy_from_slice(&made_gates[4 * i * c..4 * (i + 1) * c]);
        }
    }
    let [expected_states, expected_gates, expected_previous] = expected;
    let outputs = c * shape.cell.gates() as usize;
    let row_meta = match kind {
        Kind::Linked => links,
        _ => tokens.iter().flat_map(|token| [*token, 9, 9, 9]).collect(),
    };
    let near = |values| Expected::Near { values, tolerance: 1e-6 * (2.0 + (c as f64).sqrt() / 4.0) };
    let mut outcomes = vec![("states", near(expected_states))];
    if shape.keeps {
        outcomes.extend([("gates", near(expected_gates)), ("previous", near(expected_previous))]);
    }
    let name = format!(
        "{:?} ({items}, {c}, {p}) {kind:?}{}",
        shape.cell,
        if storage == DType::F16 { " f16 weight" } else { "" }
    );
    let shape = shape.clone();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [rows, input, weight] = buffers.views(["rows", "input", "weight"])?;
        let [base, conditioning] = buffers.views(["base", "conditioning"])?.map(Some);
        let [states, gates, previous] = buffers.views(["states", "gates", "previous"])?;
        let (bias_input, bias_state) = ((outputs * p) as u32, (outputs * (p + 1)) as u32);
        let input = InputWeights { view: input, bias_input, bias_state };
        let step = RecurrentStep { rows, input, weight, base, conditioning, states, gates, previous };
        // The window begins at item 2.
        let live = DynamicRows::new(buffers.view("live")?, 2, shape.items.capacity, 1);
        plan.write_indirect_args(&live.live)?;
        step.record_variant(plan, &RecurrentShape { items: live.into(), ..shape.clone() }, &variant)
    };
    let zeros = |elements: usize| vec![0.0f32; elements];
    Case {
        name,
        inputs: vec![
            ("rows", row_meta.into()),
            ("input", [&inputs.weight_input[..], &inputs.bias_input, &inputs.bias_state].concat().into()),
            ("weight", stored_weight),
            ("base", base.into()),
            ("conditioning", conditioning.into()),
            ("states", states.into()),
            ("gates", zeros(4 * c * count).into()),
            ("previous", zeros(c * count).into()),
            ("live", vec![items as u32 + 2].into()),
        ],
        outputs: outcomes,
        record: Box::new(record),
    }
    .of_variant(&variant)
}
