//! Recurrent step of all rows at one position of their sequences.

use super::{Cell, CellInputs, Link, wide};
use crate::error::Result;
use crate::gpu::{Cost, DType, DynamicRows, Gpu, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::linear::Strategy;
use crate::kernels::nn::cast_f16::{has_half, stored};
use crate::kernels::variant::{Variant, VariantSelector, Variants, rows_class, width_class};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel};

static STEP: Kernel = kernel!("nn", "recurrent_step");
static STEP_SCALAR: Kernel = kernel!("nn", "recurrent_step_scalar");

pub(crate) const STEP_ENTRY: Entry =
    Entry { kernel: &STEP, summary: "h' = cell(token, h) for the rows at one position of their sequences", cases };
pub(crate) const STEP_SCALAR_ENTRY: Entry =
    Entry { kernel: &STEP_SCALAR, summary: "the same without subgroups", cases: scalar_cases };

pub(crate) static STEP_SELECTOR: VariantSelector<RecurrentShape> = VariantSelector {
    variants: variants("recurrent_step"),
    class: |shape| {
        format!("{:?} {}, {}", shape.cell, width_class(shape.width), rows_class(&shape.all())).to_lowercase()
    },
    rule: |gpu, shape| taken(gpu, shape.all().capacity, 16),
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
];

/// Variants of a kernel of this family.
pub(crate) const fn variants(kernel: &'static str) -> Variants {
    Variants { kernel, least_lanes: 4, all: VARIANTS }
}

/// Default variant: strategy, tile, subgroups. More rows in registers save loads, which are expensive on software
/// adapters. GPUs need many subgroups and have few registers in addition to the sums of three gates. On software
/// adapters, more than 8 rows make the gradient a tenth faster but take five times as long to compile.
pub(crate) fn taken(gpu: &Gpu, rows: u32, software_tile: u32) -> (Strategy, u32, u32) {
    const MANY: u32 = 8192;
    match Strategy::lanes(gpu) {
        None => (Strategy::Scalar, 8, 1),
        Some(_) if gpu.is_software() => (Strategy::Subgroup, software_tile, 2),
        Some(_) if rows > MANY => (Strategy::Subgroup, 8, 4),
        Some(_) => (Strategy::Subgroup, 4, 4),
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

    fn record_variant(&self, plan: &mut Plan, shape: &RecurrentShape, variant: &Variant) -> Result<()> {
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
