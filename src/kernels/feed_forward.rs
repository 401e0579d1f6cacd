//! The feed-forward part of a transformer block in one kernel, for passes that need no gradient.
//!
//! ```text
//! y[r] = x[r] + W2 · act(W1 · x[r] + b1) + b2
//! ```
//!
//! The hidden layer of width F is never written: with the usual F of 2048 it is most of a pass's traffic and memory.

use super::linear::{Activation, Direction, LinearShape, Variant, product_reference};
use super::narrow::{has_half, stored};
use super::{Case, Entry, Expected, Named, RandomInputs, kernel};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, Plan, Rows, Storage, View};

static FEED_FORWARD: Kernel = kernel!("feed_forward");

pub(super) const ENTRY: Entry =
    Entry { kernel: &FEED_FORWARD, summary: "y = x + W2 act(W1 x + b1) + b2, hidden layer on chip", cases };

/// The feed-forward part, see the module's page.
#[derive(Debug, Clone)]
pub struct FeedForward {
    /// (rows, C)
    pub x: View,
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

/// Loop iterations of an invocation at most: Mesa's lavapipe 22.3 silently ends a shader after 65,535.
const MAX_ITERATIONS: u64 = 60_000;

/// Lanes of the adapter's subgroups, where the kernel can run: subgroups, and widths that fill at least half of a
/// subgroup's columns, fit into its registers and keep its loops short enough.
pub fn lanes(gpu: &Gpu, width: u32, hidden: u32) -> Option<u32> {
    match Variant::choose(gpu, &[width, hidden]) {
        Variant::Subgroup(lanes) if width >= 2 * lanes && width <= MAX_TILES * 4 * lanes => {
            let blocks = u64::from(hidden.div_ceil(4 * lanes));
            let iterations = blocks * (1 + u64::from(width.div_ceil(4)) + u64::from(lanes));
            (iterations <= MAX_ITERATIONS).then_some(lanes)
        }
        _ => None,
    }
}

impl FeedForward {
    /// Records the kernel with subgroups of `lanes` lanes, see [`lanes`].
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &FeedForwardShape, lanes: u32) -> Result<()> {
        let tiles = shape.width.div_ceil(4 * lanes).next_power_of_two();
        // Rows in registers save loads; more of them cost compile time, which grows with rows × tiles.
        let tile_rows = if plan.gpu().is_software() && tiles == 1 { 32 } else { 16 };
        self.record_tile(plan, shape, lanes, tile_rows)
    }

    fn record_tile(&self, plan: &mut Plan, shape: &FeedForwardShape, lanes: u32, tile_rows: u32) -> Result<()> {
        let (rows, c, f) = (u64::from(shape.rows.most), u64::from(shape.width), u64::from(shape.hidden));
        let subgroups = if plan.gpu().is_software() { 1 } else { 4 };
        plan.launch(&Launch {
            kernel: &FEED_FORWARD,
            spec: &[
                ("LANES", lanes),
                ("SUBGROUPS", subgroups),
                ("ROWS", tile_rows),
                ("TILES", shape.width.div_ceil(4 * lanes).next_power_of_two()),
                ("ACTIVATION", shape.activation as u32),
                ("WEIGHT_BITS", self.weight1.storage().bits()),
            ],
            bindings: &[
                Bind { name: "x", view: &self.x, elements: rows * c },
                Bind { name: "weight1", view: &self.weight1, elements: f * c },
                Bind { name: "bias1", view: &self.bias1, elements: f },
                Bind { name: "weight2", view: &self.weight2, elements: c * f },
                Bind { name: "bias2", view: &self.bias2, elements: c },
                Bind { name: "y", view: &self.y, elements: rows * c },
            ],
            params: &[("rows", shape.rows.most.into()), ("width", shape.width.into()), ("hidden", shape.hidden.into())],
            groups: shape.rows.groups(tile_rows * subgroups, 1),
            cost: Cost {
                flops: (4 * rows * c * f) as f64,
                bytes: (8 * rows * c + self.weight1.storage().bytes() * 2 * c * f) as f64,
            },
            shape: format!("({rows}, {c}, {f})"),
        })
    }
}

/// y (rows, C) in f64.
pub fn reference(x: &[f32], [weight1, bias1, weight2, bias2]: [&[f32]; 4], activation: Activation) -> Vec<f64> {
    let (c, f) = (bias2.len() as u32, bias1.len() as u32);
    let rows = x.len() as u32 / c;
    let shape =
        |inner, columns| LinearShape { direction: Direction::Forward, ..LinearShape::forward(rows, inner, columns) };
    let hidden = product_reference(x, weight1, Some(bias1), &shape(c, f));
    let hidden: Vec<f32> = hidden.iter().map(|h| activation.value(*h) as f32).collect();
    let out = product_reference(&hidden, weight2, Some(bias2), &shape(f, c));
    out.iter().zip(x).map(|(y, x)| y + f64::from(*x)).collect()
}

fn cases(gpu: &Gpu) -> Vec<Case> {
    let Variant::Subgroup(lanes) = Variant::choose(gpu, &[]) else { return Vec::new() };
    let shapes = [(1, 32, 64, 16), (33, 36, 36, 16), (31, 20, 2048, 32), (130, 128, 96, 16), (70_000, 16, 4, 16)];
    let activations = [Activation::Relu, Activation::Gelu, Activation::Tanh];
    let storages = [Storage::Word, Storage::Half];
    storages
        .into_iter()
        .filter(|storage| *storage == Storage::Word || has_half(gpu))
        .flat_map(|storage| shapes.into_iter().enumerate().map(move |(i, shape)| (i, shape, storage)))
        .filter(|(_, (_, width, ..), _)| *width <= MAX_TILES * 4 * lanes)
        .map(|(i, shape, storage)| case(shape, activations[i % 3], lanes, storage))
        .collect()
}

fn case(
    (rows, width, hidden, tile_rows): (u32, u32, u32, u32),
    activation: Activation,
    lanes: u32,
    storage: Storage,
) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + width + hidden));
    let x = random.floats((rows * width) as usize);
    let (weight1, bias1) = (random.floats((hidden * width) as usize), random.floats(hidden as usize));
    let (weight2, bias2) = (random.floats((hidden * width) as usize), random.floats(width as usize));
    let ((weight1, stored1), (weight2, stored2)) = (stored(weight1, storage), stored(weight2, storage));
    let expected = reference(&x, [&weight1, &bias1, &weight2, &bias2], activation);
    let record = move |plan: &mut Plan, named: &Named| {
        let kernel = FeedForward {
            x: named.view("x")?,
            weight1: named.view("weight1")?,
            bias1: named.view("bias1")?,
            weight2: named.view("weight2")?,
            bias2: named.view("bias2")?,
            y: named.view("y")?,
        };
        kernel.record_tile(plan, &FeedForwardShape { rows: rows.into(), width, hidden, activation }, lanes, tile_rows)
    };
    let tolerance = 1e-6 * (1.0 + f64::from(hidden + width).sqrt() / 4.0);
    Case {
        name: format!(
            "({rows}, {width}, {hidden}) {activation:?} tile {tile_rows}{}",
            if storage == Storage::Half { " f16 weights" } else { "" }
        ),
        inputs: vec![
            ("x", x.into()),
            ("weight1", stored1),
            ("bias1", bias1.into()),
            ("weight2", stored2),
            ("bias2", bias2.into()),
        ],
        outputs: vec![("y", Expected::Near { values: expected, tolerance })],
        record: Box::new(record),
    }
}
