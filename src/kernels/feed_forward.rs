//! The feed-forward part of a transformer block in one kernel, for passes that need no gradient.
//!
//! ```text
//! y[r] = residual[r] + W2 · act(W1 · x[r] + b1) + b2
//! ```
//!
//! The hidden layer of width F is never written: with the usual F of 2048 it is most of a pass's traffic and memory.

use super::choice::{Choice, Form, Forms, rows_class, width_class};
use super::linear::{Activation, Direction, LinearShape, Variant, product_reference};
use super::narrow::{has_half, stored};
use super::probe::MOST_ITERATIONS;
use super::{Case, Entry, Expected, Named, RandomInputs, kernel, panel};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Plan, Rows, Storage, View};

static FEED_FORWARD: Kernel = kernel!("feed_forward");
static FEED_FORWARD_PANEL: Kernel = kernel!("feed_forward_panel");

pub(super) const ENTRY: Entry =
    Entry { kernel: &FEED_FORWARD, summary: "y = residual + W2 act(W1 x + b1) + b2, hidden layer on chip", cases };
pub(super) const PANEL_ENTRY: Entry = Entry {
    kernel: &FEED_FORWARD_PANEL,
    summary: "the same with blocks of both weights at constant places, for the CPU",
    cases: panel_cases,
};

/// The feed-forward part, see the module's page.
#[derive(Debug, Clone)]
pub struct FeedForward {
    /// (rows, C)
    pub x: View,
    /// (rows, C); may be `x`
    pub residual: View,
    /// (F, C), of f32 or f16
    pub weight1: View,
    /// (F)
    pub bias1: View,
    /// (C, F), of the same
    pub weight2: View,
    /// (C)
    pub bias2: View,
    /// (rows, C)
    pub y: View,
}

/// Shape of a [`FeedForward`].
#[derive(Debug, Clone)]
pub struct FeedForwardShape {
    /// Rows of `x` and `y`.
    pub rows: Rows,
    /// C, a multiple of 4.
    pub width: u32,
    /// F, a multiple of 4.
    pub hidden: u32,
    /// Activation of the hidden layer.
    pub activation: Activation,
}

/// Vectors of sums that a lane may hold for each row: wider models would not fit into registers.
const MAX_TILES: u32 = 4;

/// Lanes of the adapter's subgroups, where the kernel can run: subgroups, and widths that fill at least half of a
/// subgroup's columns, fit into its registers and keep its loops short enough.
pub fn lanes(gpu: &Gpu, width: u32, hidden: u32) -> Option<u32> {
    let whole = Variant::choose(gpu, &[width, hidden]) == Variant::Subgroup;
    match Variant::lanes(gpu).filter(|_| whole) {
        Some(lanes) if width >= 2 * lanes && width <= MAX_TILES * 4 * lanes => {
            let blocks = u64::from(hidden.div_ceil(4 * lanes));
            let iterations = blocks * (1 + u64::from(width.div_ceil(4)) + u64::from(lanes));
            (iterations <= MOST_ITERATIONS.into()).then_some(lanes)
        }
        _ => None,
    }
}

/// Tiles of 4·lanes columns that hold a row.
fn tiles(width: u32, lanes: u32) -> u32 {
    width.div_ceil(4 * lanes).next_power_of_two()
}

pub(super) static CHOICE: Choice<FeedForwardShape> = Choice {
    forms: Forms {
        kernel: "feed_forward",
        least_lanes: 4,
        all: &[
            Form::subgroup("rows8x1", 8, 1),
            Form::subgroup("rows8x2", 8, 2),
            Form::subgroup("rows8x4", 8, 4),
            Form::subgroup("rows16x1", 16, 1),
            Form::subgroup("rows16x2", 16, 2),
            Form::subgroup("rows16x4", 16, 4),
            Form::panel("units1", 1),
            Form::panel("units2", 2),
            Form::panel("units4", 4),
        ],
    },
    class: |shape| {
        let [c, f] = [shape.width, shape.hidden].map(width_class);
        format!("{c} x {f}, {}", rows_class(&shape.rows))
    },
    rule: |gpu, shape| {
        if let Some(lanes) = panel::lanes(gpu).filter(|_| shape.rows.most >= 32)
            && shape.hidden.is_multiple_of(4 * lanes)
        {
            let most = 4 / tiles(shape.width, lanes).min(4);
            let fits = |units: &u32| shape.hidden.is_multiple_of(4 * lanes * units);
            return (Variant::Panel, [4, 2, 1].into_iter().filter(|units| *units <= most).find(fits).unwrap_or(1), 1);
        }
        (Variant::Subgroup, 16, if gpu.is_software() { 1 } else { 4 })
    },
    needs: |gpu, shape, form| {
        if form.variant == Variant::Panel {
            let block = 4 * Variant::lanes(gpu)? * form.tile;
            let whole = shape.hidden.is_multiple_of(block);
            return (!whole).then(|| format!("a hidden width that is a multiple of {block}, got {}", shape.hidden));
        }
        let most = 4 * Variant::lanes(gpu).unwrap_or(0) * MAX_TILES;
        (shape.width > most).then(|| format!("a width of at most {most}, got {}", shape.width))
    },
};

impl FeedForward {
    /// Records the kernel with subgroups of `lanes` lanes, see [`lanes`].
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &FeedForwardShape, lanes: u32) -> Result<()> {
        let form = CHOICE.take(plan.gpu(), shape)?;
        self.record_form(plan, shape, lanes, form)
    }

    fn record_form(&self, plan: &mut Plan, shape: &FeedForwardShape, lanes: u32, form: &Form) -> Result<()> {
        let (rows, c, f) = (u64::from(shape.rows.most), u64::from(shape.width), u64::from(shape.hidden));
        let mut spec = vec![
            ("LANES", lanes),
            ("ACTIVATION", shape.activation as u32),
            ("WEIGHT_BITS", self.weight1.storage().bits()),
        ];
        let mut params = vec![("rows", shape.rows.most.into()), ("hidden", shape.hidden.into())];
        let (kernel, groups) = if form.variant == Variant::Panel {
            let tile = panel::tile_rows(shape.rows.most, 1, shape.hidden / (4 * lanes * form.tile) + 1);
            spec.extend([("WIDTH4", shape.width / 4), ("UNITS", form.tile)]);
            params.push(("tile_rows", tile.into()));
            (&FEED_FORWARD_PANEL, shape.rows.groups(tile, 1))
        } else {
            spec.extend([("SUBGROUPS", form.subgroups), ("ROWS", form.tile), ("TILES", tiles(shape.width, lanes))]);
            params.push(("width", shape.width.into()));
            (&FEED_FORWARD, shape.rows.groups(form.tile * form.subgroups, 1))
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &[
                Bind { name: "x", view: &self.x, elements: rows * c },
                Bind { name: "residual", view: &self.residual, elements: rows * c },
                Bind { name: "weight1", view: &self.weight1, elements: f * c },
                Bind { name: "bias1", view: &self.bias1, elements: f },
                Bind { name: "weight2", view: &self.weight2, elements: c * f },
                Bind { name: "bias2", view: &self.bias2, elements: c },
                Bind { name: "y", view: &self.y, elements: rows * c },
            ],
            params: &params,
            groups,
            cost: Cost {
                flops: (4 * rows * c * f) as f64,
                bytes: (12 * rows * c + self.weight1.storage().bytes() * 2 * c * f) as f64,
            },
            shape: format!("({rows}, {c}, {f})"),
        })
    }
}

/// y (rows, C) in f64.
pub fn reference(
    x: &[f32],
    residual: &[f32],
    [weight1, bias1, weight2, bias2]: [&[f32]; 4],
    activation: Activation,
) -> Vec<f64> {
    let (c, f) = (bias2.len() as u32, bias1.len() as u32);
    let rows = x.len() as u32 / c;
    let shape =
        |inner, columns| LinearShape { direction: Direction::Forward, ..LinearShape::forward(rows, inner, columns) };
    let hidden = product_reference(x, weight1, Some(bias1), &shape(c, f));
    let hidden: Vec<f32> = hidden.iter().map(|h| activation.value(*h) as f32).collect();
    let out = product_reference(&hidden, weight2, Some(bias2), &shape(f, c));
    out.iter().zip(residual).map(|(y, residual)| y + f64::from(*residual)).collect()
}

fn cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Variant::Subgroup, [(1, 32, 64), (33, 36, 36), (31, 20, 2048), (130, 128, 96), (70_000, 16, 4)])
}

fn panel_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, Variant::Panel, [(1, 32, 64), (33, 64, 128), (31, 36, 2048), (130, 128, 96), (70_000, 16, 32)])
}

fn cases_of(gpu: &Gpu, variant: Variant, shapes: [(u32, u32, u32); 5]) -> Vec<Case> {
    let Some(lanes) = Variant::lanes(gpu) else { return Vec::new() };
    let activations = [Activation::Relu, Activation::Gelu, Activation::Tanh];
    let storages = [Storage::Word, Storage::Half].into_iter().filter(|s| *s == Storage::Word || has_half(gpu));
    let cases = |storage| {
        let of_shape = move |(i, (rows, width, hidden)): (usize, (u32, u32, u32))| {
            let shape = FeedForwardShape { rows: rows.into(), width, hidden, activation: activations[i % 3] };
            // Every form where that is quick to compile, each by turns where it is not.
            let forms = CHOICE.of_case(gpu, variant, &shape, i == 0, 2 * i);
            let of_form = |form| case((rows, width, hidden), shape.activation, lanes, form, storage);
            forms.into_iter().map(of_form).collect::<Vec<_>>()
        };
        shapes.into_iter().enumerate().flat_map(of_shape)
    };
    storages.flat_map(cases).collect()
}

fn case(
    (rows, width, hidden): (u32, u32, u32),
    activation: Activation,
    lanes: u32,
    form: Form,
    storage: Storage,
) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + width + hidden));
    let (x, residual) = (random.floats((rows * width) as usize), random.floats((rows * width) as usize));
    let (weight1, bias1) = (random.floats((hidden * width) as usize), random.floats(hidden as usize));
    let (weight2, bias2) = (random.floats((hidden * width) as usize), random.floats(width as usize));
    let ((weight1, stored1), (weight2, stored2)) = (stored(weight1, storage), stored(weight2, storage));
    let expected = reference(&x, &residual, [&weight1, &bias1, &weight2, &bias2], activation);
    let record = move |plan: &mut Plan, named: &Named| {
        let kernel = FeedForward {
            x: named.view("x")?,
            residual: named.view("residual")?,
            weight1: named.view("weight1")?,
            bias1: named.view("bias1")?,
            weight2: named.view("weight2")?,
            bias2: named.view("bias2")?,
            y: named.view("y")?,
        };
        kernel.record_form(plan, &FeedForwardShape { rows: rows.into(), width, hidden, activation }, lanes, &form)
    };
    let tolerance = 1e-6 * (1.0 + f64::from(hidden + width).sqrt() / 4.0);
    Case {
        name: format!(
            "({rows}, {width}, {hidden}) {activation:?}{}",
            if storage == Storage::Half { " f16 weights" } else { "" }
        ),
        inputs: vec![
            ("x", x.into()),
            ("residual", residual.into()),
            ("weight1", stored1),
            ("bias1", bias1.into()),
            ("weight2", stored2),
            ("bias2", bias2.into()),
        ],
        outputs: vec![("y", Expected::Near { values: expected, tolerance })],
        record: Box::new(record),
    }
    .of_form(&form)
}
