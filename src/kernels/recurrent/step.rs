//! The step of all rows of one place of their sequences.

use super::{Cell, CellInputs, Link, wide};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, LiveRows, Plan, Rows, Storage, View};
use crate::kernels::choice::{Choice, Form, Forms, rows_class, width_class};
use crate::kernels::linear::Variant;
use crate::kernels::narrow::{has_half, stored};
use crate::kernels::{Case, Entry, Expected, Named, RandomInputs, kernel};

static STEP: Kernel = kernel!("recurrent_step");
static STEP_PRIVATE: Kernel = kernel!("recurrent_step_private");

pub(in crate::kernels) const STEP_ENTRY: Entry =
    Entry { kernel: &STEP, summary: "h' = cell(token, h) for the rows of one place of their sequences", cases };
pub(in crate::kernels) const STEP_PRIVATE_ENTRY: Entry =
    Entry { kernel: &STEP_PRIVATE, summary: "the same without subgroups", cases: private_cases };

pub(in crate::kernels) static STEP_CHOICE: Choice<RecurrentShape> = Choice {
    forms: forms("recurrent_step"),
    class: |shape| {
        format!("{:?} {}, {}", shape.cell, width_class(shape.width), rows_class(&shape.all())).to_lowercase()
    },
    rule: |gpu, shape| taken(gpu, shape.all().most, 16),
    needs: |_, _, _| None,
};

const FORMS: &[Form] = &[
    Form::subgroup("rows16x1", 16, 1),
    Form::subgroup("rows16x2", 16, 2),
    Form::subgroup("rows8x2", 8, 2),
    Form::subgroup("rows8x4", 8, 4),
    Form::subgroup("rows4x2", 4, 2),
    Form::subgroup("rows4x4", 4, 4),
    Form::private("private", 8),
];

/// The forms of a kernel of this family.
pub(super) const fn forms(kernel: &'static str) -> Forms {
    Forms { kernel, least_lanes: 4, all: FORMS }
}

/// The form of the rule. Rows in registers save loads, which software adapters pay for; GPUs want many subgroups, and have
/// few registers besides the sums of three gates. The gradient gains a tenth from more than 8 rows on software adapters, and
/// compiles five times as long.
pub(super) fn taken(gpu: &Gpu, rows: u32, software_tile: u32) -> (Variant, u32, u32) {
    const MANY: u32 = 8192;
    match Variant::lanes(gpu) {
        None => (Variant::Private, 8, 1),
        Some(_) if gpu.is_software() => (Variant::Subgroup, software_tile, 2),
        Some(_) if rows > MANY => (Variant::Subgroup, 8, 4),
        Some(_) => (Variant::Subgroup, 4, 4),
    }
}

/// W_ih (G·C, P) with the biases b_ih and b_hh (G·C) behind it in one range.
#[derive(Debug, Clone)]
pub struct InputWeights {
    /// The range; W_ih is its beginning.
    pub view: View,
    /// Element at which b_ih begins.
    pub bias_input: u32,
    /// Element at which b_hh begins, after b_ih.
    pub bias_state: u32,
}

/// A row of each item u: u·stride + first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strided {
    /// Rows from one item to the next.
    pub stride: u32,
    /// Row of item 0.
    pub first: u32,
}

impl Strided {
    /// Rows of `items` items and what stands between them.
    fn rows(self, items: u32) -> u64 {
        u64::from(items.saturating_sub(1)) * u64::from(self.stride) + u64::from(self.first) + 1
    }
}

/// Where the states before stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// They are zero.
    Zero,
    /// So many rows before the state's own.
    Back(u32),
    /// They are these rows of the conditions.
    Condition(Strided),
}

/// Which rows a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepRows {
    /// One row of every item.
    Described {
        /// Its description.
        row: Strided,
        /// Its state.
        state: Strided,
        /// Its state before.
        before: Before,
        /// Whether a sequence begins, so that the token before counts as 0.
        starts: bool,
    },
    /// Rows that [`super::RecurrentLinks`] made: links `first .. first + count` of each item.
    Linked {
        /// Rows of an item.
        per_item: u32,
        /// First link of the step.
        first: u32,
        /// Links of the step.
        count: u32,
        /// Sum of the [`Link`]s that occur in the step.
        sources: u32,
    },
}

/// A step, see the module's page.
#[derive(Debug, Clone)]
pub struct RecurrentStep {
    /// (rows) of four u32: descriptions (token before, ·, ·, ·), or links
    pub rows: View,
    /// Weights of the input, and biases.
    pub input: InputWeights,
    /// W_hh (G·C, C), of f32 or f16
    pub weight: View,
    /// (rows, C), for [`Link::Base`]
    pub base: Option<View>,
    /// (rows, C), for [`Link::Condition`] and [`Before::Condition`]
    pub condition: Option<View>,
    /// (rows, C)
    pub states: View,
    /// (rows, 4C): r, z, n, q. Written where a GRU keeps them, else any four floats.
    pub gates: View,
    /// (rows, C): states before. Written where a cell keeps them, else any four floats.
    pub previous: View,
}

/// Shape of a [`RecurrentStep`].
#[derive(Debug, Clone)]
pub struct RecurrentShape {
    /// Items, one row each.
    pub items: Rows,
    /// Their rows in this step.
    pub rows: StepRows,
    /// The cell.
    pub cell: Cell,
    /// Width C, a multiple of 4.
    pub width: u32,
    /// Sites per patch P.
    pub sites_per_patch: u32,
    /// Whether gates and states before are kept for a gradient.
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
            StepRows::Described { before: Before::Condition(_), .. } => Link::Condition as u32,
        }
    }

    fn cost(&self, weight: Storage) -> Cost {
        let [rows, c, g] = [self.all().most, self.width, self.cell.gates()].map(f64::from);
        let flops = 2.0 * rows * g * c * (c + f64::from(self.sites_per_patch));
        let kept = if self.keeps { 5.0 } else { 0.0 };
        Cost { flops, bytes: weight.bytes() as f64 * g * c * c + 4.0 * rows * c * (2.0 + kept) }
    }
}

impl RecurrentStep {
    /// Records the step, in the form that is best for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &RecurrentShape) -> Result<()> {
        let form = STEP_CHOICE.take(plan.gpu(), shape)?;
        self.record_form(plan, shape, form)
    }

    fn record_form(&self, plan: &mut Plan, shape: &RecurrentShape, form: &Form) -> Result<()> {
        let (rows, items, g) = (shape.all(), shape.items.most, u64::from(shape.cell.gates()));
        let [c, p] = [shape.width, shape.sites_per_patch].map(u64::from);
        let whole = |view: &View| view.bytes() / view.storage().bytes();
        // Something must be bound for what is not there.
        let absent = (&self.input.view, 4);
        let base = self.base.as_ref().map_or(absent, |base| (base, whole(base)));
        let condition = self.condition.as_ref().map_or(absent, |condition| (condition, whole(condition)));
        let nothing = Strided { stride: 0, first: 0 };
        let (linked, count, described, state, back, before, starts, states) = match shape.rows {
            StepRows::Described { row, state, before, starts } => {
                let (back, before) = match before {
                    Before::Zero => (0, nothing),
                    Before::Back(back) => (back, nothing),
                    Before::Condition(rows) => (0, rows),
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
        let (kernel, groups) = match form.variant {
            Variant::Subgroup => {
                let lanes = form.lanes(plan.gpu(), STEP.name)?;
                spec.extend([("LANES", lanes), ("SUBGROUPS", form.subgroups), ("ROWS", form.tile)]);
                let tiles = shape.width.div_ceil(4 * lanes);
                (&STEP, rows.groups(form.tile * form.subgroups, tiles.into()))
            }
            Variant::Private | Variant::Shared | Variant::Panel => (&STEP_PRIVATE, rows.groups(form.tile * 64, c / 4)),
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &[
                Bind {
                    name: "rows",
                    view: &self.rows,
                    elements: 4 * if linked == 1 { states } else { described.rows(items) },
                },
                Bind {
                    name: "input",
                    view: &self.input.view,
                    elements: (g * c * p).max(u64::from(self.input.bias_state) + g * c),
                },
                Bind { name: "weight", view: &self.weight, elements: g * c * c },
                Bind { name: "base", view: base.0, elements: base.1 },
                Bind { name: "condition", view: condition.0, elements: condition.1 },
                Bind { name: "states", view: &self.states, elements: states * c },
                Bind {
                    name: "gates",
                    view: &self.gates,
                    elements: kept(if shape.cell == Cell::Gru { 4 * c } else { 0 }),
                },
                Bind { name: "previous", view: &self.previous, elements: kept(c) },
            ],
            params: &[
                ("rows", rows.most.into()),
                ("count", count.into()),
                ("first", described.first.into()),
                ("row_stride", described.stride.into()),
                ("state_stride", state.stride.into()),
                ("state_first", state.first.into()),
                ("back", back.into()),
                ("condition_stride", before.stride.into()),
                ("condition_first", before.first.into()),
                ("starts", u32::from(starts).into()),
                ("width", shape.width.into()),
                ("sites", shape.sites_per_patch.into()),
                ("bias_input", self.input.bias_input.into()),
                ("bias_state", self.input.bias_state.into()),
                ("gates", shape.cell.gates().into()),
            ],
            groups,
            cost: shape.cost(self.weight.storage()),
            shape: format!("({}, {c}, {p})", rows.most),
        })
    }
}

fn cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Variant::Subgroup)
}

fn private_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Variant::Private)
}

/// What kind of rows a case has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The first patch of samples.
    Start,
    /// The first of sequences with conditions.
    Conditioned,
    /// A later one, states side by side as decoding has them.
    Decoded,
    /// A later one, whole samples one after the other.
    Forced,
    /// Rows of moves from every source.
    Linked,
}

fn cases_of(gpu: &Gpu, variant: Variant) -> Vec<Case> {
    use Kind::*;
    let mut cases = Vec::new();
    let small = [(1, 4, 1), (16, 32, 4), (17, 36, 3), (33, 12, 5), (131, 68, 2)];
    let mut turn = 0;
    let mut add = |rows: u32, width: u32, p: u32, cell, kind, storage, all| {
        let shape = shape(kind, rows, width, p, cell, kind == Forced);
        turn += 1;
        let forms = STEP_CHOICE.of_case(gpu, variant, &shape, all, turn);
        cases.extend(forms.into_iter().map(|form| case(form, &shape, kind, storage)));
    };
    for cell in [Cell::Elman, Cell::Gru] {
        for (i, (rows, width, p)) in small.into_iter().enumerate() {
            for (k, kind) in [Start, Conditioned, Decoded, Forced, Linked].into_iter().enumerate() {
                add(rows, width, p, cell, kind, Storage::Word, i % 5 == k);
            }
        }
        add(7, 256, 12, cell, Forced, Storage::Word, false);
        add(70_001, 4, 1, cell, Linked, Storage::Word, false);
        if has_half(gpu) {
            add(19, 40, 4, cell, Decoded, Storage::Half, true);
            add(65, 32, 4, cell, Linked, Storage::Half, false);
        }
    }
    cases
}

/// Places of a sequence in cases, the place of the step, rows that a linked item has besides.
const PLACES: u32 = 3;
const PLACE: u32 = 1;

fn shape(kind: Kind, items: u32, width: u32, sites_per_patch: u32, cell: Cell, keeps: bool) -> RecurrentShape {
    let strided = |first| Strided { stride: PLACES, first };
    let described = |state, before, starts| StepRows::Described { row: strided(PLACE), state, before, starts };
    let rows = match kind {
        Kind::Start => described(strided(0), Before::Zero, true),
        Kind::Conditioned => described(strided(0), Before::Condition(Strided { stride: 2, first: 1 }), true),
        Kind::Decoded => described(Strided { stride: 1, first: items }, Before::Back(items), false),
        Kind::Forced => described(strided(PLACE), Before::Back(1), false),
        // Two rows of three; the third is a state before.
        Kind::Linked => StepRows::Linked { per_item: 3, first: 1, count: 2, sources: 7 },
    };
    RecurrentShape { items: items.into(), rows, cell, width, sites_per_patch, keeps }
}

fn case(form: Form, shape: &RecurrentShape, kind: Kind, storage: Storage) -> Case {
    let (items, c, p) = (shape.items.most as usize, shape.width as usize, shape.sites_per_patch as usize);
    let mut random = RandomInputs::new((items * 31 + c * 7 + p) as u64);
    let inputs = CellInputs::new(&mut random, shape.cell, c, p);
    let (weight, stored_weight) = stored(inputs.weight_state.clone(), storage);
    let count = items * PLACES as usize;
    let tokens = random.integers(count, 1 << p);
    let (states, base, condition) = (random.floats(count * c), random.floats(count * c), random.floats(count * c));
    // Of every row of the step: its token, its state before, its state.
    let mut links = vec![0; 4 * count];
    let mut steps: Vec<(u32, Vec<f32>, usize)> = Vec::new();
    let row = |of: &[f32], at: usize| of[at * c..(at + 1) * c].to_vec();
    for u in 0..items {
        let first = u * PLACES as usize;
        let place = PLACE as usize;
        match kind {
            Kind::Start => steps.push((0, vec![0.0; c], first)),
            Kind::Conditioned => steps.push((0, row(&condition, 2 * u + 1), first)),
            Kind::Decoded => steps.push((tokens[first + place], row(&states, u), items + u)),
            Kind::Forced => steps.push((tokens[first + place], row(&states, first), first + place)),
            Kind::Linked => {
                for (i, state) in [(1, 2), (2, 0)] {
                    let (source, at) = [(1, first + 1), (2, 7 * u % count), (4, 5 * u % count), (0, 0)][(u + i) % 4];
                    let before = [row(&states, at), row(&base, at), row(&condition, at), vec![0.0; c]];
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
    let descriptions = match kind {
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
        if storage == Storage::Half { " f16 weight" } else { "" }
    );
    let shape = shape.clone();
    let record = move |plan: &mut Plan, named: &Named| {
        let step = RecurrentStep {
            rows: named.view("rows")?,
            input: InputWeights {
                view: named.view("input")?,
                bias_input: (outputs * p) as u32,
                bias_state: (outputs * (p + 1)) as u32,
            },
            weight: named.view("weight")?,
            base: Some(named.view("base")?),
            condition: Some(named.view("condition")?),
            states: named.view("states")?,
            gates: named.view("gates")?,
            previous: named.view("previous")?,
        };
        // The window begins at item 2.
        let live = LiveRows::new(named.view("live")?, 2, shape.items.most, 1);
        plan.resolve_grids(&live.live)?;
        step.record_form(plan, &RecurrentShape { items: live.into(), ..shape.clone() }, &form)
    };
    let zeros = |elements: usize| vec![0.0f32; elements];
    Case {
        name,
        inputs: vec![
            ("rows", descriptions.into()),
            ("input", [&inputs.weight_input[..], &inputs.bias_input, &inputs.bias_state].concat().into()),
            ("weight", stored_weight),
            ("base", base.into()),
            ("condition", condition.into()),
            ("states", states.into()),
            ("gates", zeros(4 * c * count).into()),
            ("previous", zeros(c * count).into()),
            ("live", vec![items as u32 + 2].into()),
        ],
        outputs: outcomes,
        record: Box::new(record),
    }
    .of_form(&form)
}
