//! Layer normalisation over rows of width C, forward and backward.
//!
//! ```text
//! forward           y[r, c]   = x̂[r, c] γ[c] + β[c]       x̂[r, c] = (x[r, c] − mean_r) · rstd_r
//!                   mean_r    = Σ_c x[r, c] / C            rstd_r  = ( Σ_c (x[r, c] − mean_r)² / C + 1e-5 )^(−1/2)
//! input gradient    d_x[r, c] = rstd_r ( g_c − Σ_j g_j / C − x̂[r, c] Σ_j g_j x̂[r, j] / C ) + extra[r, c]
//!                   g_c       = d_y[r, c] γ[c]
//! scale and shift   d_γ[c]    = Σ_r d_y[r, c] x̂[r, c]     d_β[c]  = Σ_r d_y[r, c]
//! ```
//!
//! Ba, Kiros & Hinton, arXiv:1607.06450, with PyTorch's biased variance and ε.

use super::choice::{Choice, Form, Forms, rows_class, width_class};
use super::linear::{GradientInto, GradientSum, Variant, block_rows, block_rows_of, blocks};
use super::{Case, Entry, Expected, Named, RandomInputs, kernel};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, LiveRows, Plan, Rows, View};

static FORWARD: Kernel = kernel!("norm_forward");
static FORWARD_PRIVATE: Kernel = kernel!("norm_forward_private");
static BACKWARD: Kernel = kernel!("norm_backward");
static BACKWARD_PRIVATE: Kernel = kernel!("norm_backward_private");
static GRADIENT: Kernel = kernel!("norm_gradient");

pub(super) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "y = (x − mean) · rstd · γ + β", cases: forward_cases };
pub(super) const FORWARD_PRIVATE_ENTRY: Entry = Entry {
    kernel: &FORWARD_PRIVATE,
    summary: "the same for any width, without subgroups",
    cases: forward_private_cases,
};
pub(super) const BACKWARD_ENTRY: Entry =
    Entry { kernel: &BACKWARD, summary: "d_x = rstd (g − mean(g) − x̂ mean(g x̂)) + e", cases: backward_cases };
pub(super) const BACKWARD_PRIVATE_ENTRY: Entry = Entry {
    kernel: &BACKWARD_PRIVATE,
    summary: "the same for any width, without subgroups",
    cases: backward_private_cases,
};
pub(super) const GRADIENT_ENTRY: Entry =
    Entry { kernel: &GRADIENT, summary: "d_γ = Σ d_y x̂, d_β = Σ d_y, by blocks of rows", cases: gradient_cases };

/// What keeps 1/√variance finite; PyTorch's default.
pub const EPSILON: f64 = 1e-5;

/// Shape of every kernel of this family.
#[derive(Debug, Clone)]
pub struct NormShape {
    /// Rows.
    pub rows: Rows,
    /// Width C of a row, at least 1.
    pub width: u32,
}

impl NormShape {
    /// `rows` rows of `width`.
    pub fn new(rows: impl Into<Rows>, width: u32) -> Self {
        Self { rows: rows.into(), width }
    }

    fn blocks(&self) -> u32 {
        blocks(&self.rows)
    }

    /// Floats of scratch that [`NormGradient`] needs.
    pub fn part_elements(&self) -> u64 {
        2 * u64::from(self.blocks()) * u64::from(self.width)
    }

    fn elements(&self) -> u64 {
        u64::from(self.rows.most) * u64::from(self.width)
    }

    fn params(&self) -> [(&'static str, crate::gpu::Param); 2] {
        [("rows", self.rows.most.into()), ("width", self.width.into())]
    }

    fn cost(&self, flops: f64, arrays: u64) -> Cost {
        let extra = 2 * u64::from(self.rows.most) + 2 * u64::from(self.width);
        Cost { flops: flops * self.elements() as f64, bytes: 4.0 * (arrays * self.elements() + extra) as f64 }
    }

    fn text(&self) -> String {
        format!("({}, {})", self.rows.most, self.width)
    }
}

/// Rows that four lanes share: more save loads of the scale, fewer keep a GPU full. The order of sums is the same.
fn team_rows(gpu: &Gpu) -> u32 {
    if gpu.is_software() { 4 } else { 1 }
}

const TEAMS_PER_WORKGROUP: u32 = 16;

/// A lane on its own adds in another order than a team.
const FORMS: &[Form] =
    &[Form::subgroup("rows1", 1, 1), Form::subgroup("rows4", 4, 1), Form::private("private", 1).order(1)];

const fn choice(kernel: &'static str) -> Choice<NormShape> {
    Choice {
        forms: Forms { kernel, least_lanes: 4, all: FORMS },
        class: |shape| format!("{}, {}", width_class(shape.width), rows_class(&shape.rows)),
        rule: |gpu, shape| match Variant::choose(gpu, &[shape.width]) {
            Variant::Subgroup => (Variant::Subgroup, team_rows(gpu), 1),
            Variant::Private | Variant::Shared | Variant::Panel => (Variant::Private, 1, 1),
        },
        needs: |_, shape, form| {
            (form.variant == Variant::Subgroup && !shape.width.is_multiple_of(4))
                .then(|| format!("a width that is a multiple of 4, got {}", shape.width))
        },
    }
}

pub(super) static FORWARD_CHOICE: Choice<NormShape> = choice("norm_forward");
pub(super) static BACKWARD_CHOICE: Choice<NormShape> = choice("norm_backward");

/// y = norm(x), see the module's page. `x` already holds the sum with the residual.
#[derive(Debug, Clone)]
pub struct NormForward {
    /// (rows, C)
    pub x: View,
    /// γ (C)
    pub gamma: View,
    /// β (C)
    pub beta: View,
    /// (rows, C)
    pub y: View,
    /// (rows, 2): mean and 1/√(variance + ε), for the backward kernels
    pub stats: View,
}

impl NormForward {
    /// Records the kernel, in the form that is best for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &NormShape) -> Result<()> {
        let form = FORWARD_CHOICE.take(plan.gpu(), shape)?;
        self.record_form(plan, shape, form)
    }

    fn record_form(&self, plan: &mut Plan, shape: &NormShape, form: &Form) -> Result<()> {
        let width = u64::from(shape.width);
        let (kernel, spec, groups) = match form.variant {
            Variant::Subgroup => {
                (&FORWARD, vec![("ROWS", form.tile)], shape.rows.groups(TEAMS_PER_WORKGROUP * form.tile, 1))
            }
            Variant::Private | Variant::Shared | Variant::Panel => {
                (&FORWARD_PRIVATE, Vec::new(), shape.rows.groups(64, 1))
            }
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &[
                Bind { name: "x", view: &self.x, elements: shape.elements() },
                Bind { name: "gamma", view: &self.gamma, elements: width },
                Bind { name: "beta", view: &self.beta, elements: width },
                Bind { name: "y", view: &self.y, elements: shape.elements() },
                Bind { name: "stats", view: &self.stats, elements: 2 * u64::from(shape.rows.most) },
            ],
            params: &shape.params(),
            groups,
            cost: shape.cost(8.0, 2),
            shape: shape.text(),
        })
    }
}

/// d_x of a norm, see the module's page.
#[derive(Debug, Clone)]
pub struct NormBackward {
    /// (rows, C), what the forward pass normalised
    pub x: View,
    /// (rows, 2) from the forward pass
    pub stats: View,
    /// γ (C)
    pub gamma: View,
    /// (rows, C)
    pub d_y: View,
    /// (rows, C), added: the gradient that goes round the norm
    pub extra: Option<View>,
    /// (rows, C)
    pub d_x: View,
}

impl NormBackward {
    /// Records the kernel, in the form that is best for its shape.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &NormShape) -> Result<()> {
        let form = BACKWARD_CHOICE.take(plan.gpu(), shape)?;
        self.record_form(plan, shape, form)
    }

    fn record_form(&self, plan: &mut Plan, shape: &NormShape, form: &Form) -> Result<()> {
        let mut spec = vec![("EXTRA", u32::from(self.extra.is_some()))];
        let (kernel, groups) = match form.variant {
            Variant::Subgroup => {
                spec.push(("ROWS", form.tile));
                (&BACKWARD, shape.rows.groups(TEAMS_PER_WORKGROUP * form.tile, 1))
            }
            Variant::Private | Variant::Shared | Variant::Panel => (&BACKWARD_PRIVATE, shape.rows.groups(64, 1)),
        };
        plan.launch(&Launch {
            kernel,
            spec: &spec,
            bindings: &[
                Bind { name: "x", view: &self.x, elements: shape.elements() },
                Bind { name: "stats", view: &self.stats, elements: 2 * u64::from(shape.rows.most) },
                Bind { name: "gamma", view: &self.gamma, elements: u64::from(shape.width) },
                Bind { name: "d_y", view: &self.d_y, elements: shape.elements() },
                Bind { name: "extra", view: self.extra.as_ref().unwrap_or(&self.x), elements: shape.elements() },
                Bind { name: "d_x", view: &self.d_x, elements: shape.elements() },
            ],
            params: &shape.params(),
            groups,
            cost: shape.cost(14.0, 3 + u64::from(self.extra.is_some())),
            shape: shape.text(),
        })
    }
}

/// d_γ and d_β of a norm, see the module's page.
#[derive(Debug, Clone)]
pub struct NormGradient {
    /// (rows, C), what the forward pass normalised
    pub x: View,
    /// (rows, 2) from the forward pass
    pub stats: View,
    /// (rows, C)
    pub d_y: View,
    /// Scratch of [`NormShape::part_elements`] floats.
    pub part: View,
    /// (C)
    pub d_gamma: View,
    /// (C)
    pub d_beta: View,
}

impl NormGradient {
    /// Records the partial sums and their sum.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &NormShape, into: GradientInto<'_>) -> Result<()> {
        let sum = GradientSum { part: self.part.clone(), d_weight: self.d_gamma.clone(), d_bias: self.d_beta.clone() };
        sum.record(plan, (&shape.rows, [shape.width; 2]), into, &|plan, part| self.record_blocks(plan, shape, part))
    }

    fn record_blocks(&self, plan: &mut Plan, shape: &NormShape, part: &View) -> Result<()> {
        let (counter, first_item, rows_per_item) = shape.rows.counter(plan.gpu())?;
        let [rows, width] = shape.params();
        let columns = u64::from(shape.blocks()) * u64::from(shape.width);
        plan.launch(&Launch {
            kernel: &GRADIENT,
            spec: &[],
            bindings: &[
                Bind { name: "x", view: &self.x, elements: shape.elements() },
                Bind { name: "stats", view: &self.stats, elements: 2 * u64::from(shape.rows.most) },
                Bind { name: "d_y", view: &self.d_y, elements: shape.elements() },
                Bind { name: "live", view: &counter, elements: 1 },
                Bind { name: "part", view: part, elements: shape.part_elements() },
            ],
            params: &[
                rows,
                width,
                ("blocks", shape.blocks().into()),
                ("block_rows", block_rows_of(&shape.rows).into()),
                ("first_item", first_item.into()),
                ("rows_per_item", rows_per_item.into()),
            ],
            groups: shape.rows.groups_of_all(columns.div_ceil(64)),
            cost: shape.cost(5.0, 2),
            shape: shape.text(),
        })
    }
}

/// y (rows, C) and stats (rows, 2) in f64; C is the length of `gamma`.
pub fn forward_reference(x: &[f64], gamma: &[f64], beta: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let width = gamma.len();
    let (mut y, mut stats) = (Vec::with_capacity(x.len()), Vec::new());
    for row in x.chunks(width) {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
        let rstd = 1.0 / (variance + EPSILON).sqrt();
        y.extend(row.iter().zip(gamma).zip(beta).map(|((v, gamma), beta)| (v - mean) * rstd * gamma + beta));
        stats.extend([mean, rstd]);
    }
    (y, stats)
}

/// d_x (rows, C) in f64, without `extra`.
pub fn backward_reference(x: &[f64], stats: &[f64], gamma: &[f64], d_y: &[f64]) -> Vec<f64> {
    let width = gamma.len();
    let mut d_x = Vec::with_capacity(x.len());
    for ((row, stats), d_y) in x.chunks(width).zip(stats.chunks(2)).zip(d_y.chunks(width)) {
        let normal: Vec<f64> = row.iter().map(|v| (v - stats[0]) * stats[1]).collect();
        let g: Vec<f64> = d_y.iter().zip(gamma).map(|(d, gamma)| d * gamma).collect();
        let mean_g = g.iter().sum::<f64>() / width as f64;
        let mean_g_normal = g.iter().zip(&normal).map(|(g, n)| g * n).sum::<f64>() / width as f64;
        d_x.extend(g.iter().zip(&normal).map(|(g, n)| stats[1] * (g - mean_g - n * mean_g_normal)));
    }
    d_x
}

/// d_γ (C) and d_β (C) in f64 over all rows of `x`.
pub fn gradient_reference(x: &[f64], stats: &[f64], d_y: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut d_gamma, mut d_beta) = (vec![0.0; width], vec![0.0; width]);
    for ((row, stats), d_y) in x.chunks(width).zip(stats.chunks(2)).zip(d_y.chunks(width)) {
        for c in 0..width {
            d_gamma[c] += d_y[c] * (row[c] - stats[0]) * stats[1];
            d_beta[c] += d_y[c];
        }
    }
    (d_gamma, d_beta)
}

/// Inputs of a case, as the kernel and as the reference see them.
struct Inputs {
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    d_y: Vec<f32>,
    extra: Vec<f32>,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn inputs(rows: u32, width: u32) -> Inputs {
    let mut random = RandomInputs::new(u64::from(rows * 31 + width));
    let (elements, columns) = ((rows * width) as usize, width as usize);
    let mut x = random.floats(elements);
    // Means far from zero, where E[x²] − E[x]² would cancel.
    for (row, values) in x.chunks_mut(columns).enumerate() {
        values.iter_mut().for_each(|v| *v += (row % 7) as f32 * 10.0);
    }
    let (gamma, beta) = (random.floats(columns), random.floats(columns));
    Inputs { x, gamma, beta, d_y: random.floats(elements), extra: random.floats(elements) }
}

/// Widths of one: x − mean is 0 there and rstd is 316, so that a tolerance relative to y would say nothing else.
const PRIVATE_SHAPES: [(u32, u32); 6] = [(1, 1), (1, 7), (64, 33), (65, 5), (131, 128), (70_000, 3)];
const SUBGROUP_SHAPES: [(u32, u32); 8] =
    [(1, 4), (3, 8), (16, 16), (17, 20), (63, 32), (65, 132), (129, 1024), (70_000, 8)];

/// Cases of one choice: small shapes in every form, large ones in each by turns.
fn cases_of(gpu: &Gpu, choice: &Choice<NormShape>, variant: Variant, case: fn(Form, (u32, u32)) -> Case) -> Vec<Case> {
    let shapes: &[(u32, u32)] = match variant {
        Variant::Subgroup => &SUBGROUP_SHAPES,
        Variant::Private | Variant::Shared | Variant::Panel => &PRIVATE_SHAPES,
    };
    let cases = |(i, (rows, width)): (usize, &(u32, u32))| {
        let forms = choice.of_case(gpu, variant, &NormShape::new(*rows, *width), *rows < 100, i);
        forms.into_iter().map(|form| case(form, (*rows, *width))).collect::<Vec<_>>()
    };
    shapes.iter().enumerate().flat_map(cases).collect()
}

fn forward_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &FORWARD_CHOICE, Variant::Subgroup, forward_case)
}

fn forward_private_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &FORWARD_CHOICE, Variant::Private, forward_case)
}

fn forward_case(form: Form, (rows, width): (u32, u32)) -> Case {
    let Inputs { x, gamma, beta, .. } = inputs(rows, width);
    let (y, stats) = forward_reference(&wide(&x), &wide(&gamma), &wide(&beta));
    let record = move |plan: &mut Plan, named: &Named| {
        let norm = NormForward {
            x: named.view("x")?,
            gamma: named.view("gamma")?,
            beta: named.view("beta")?,
            y: named.view("y")?,
            stats: named.view("stats")?,
        };
        norm.record_form(plan, &NormShape::new(rows, width), &form)
    };
    Case {
        name: format!("({rows}, {width})"),
        inputs: vec![("x", x.into()), ("gamma", gamma.into()), ("beta", beta.into())],
        // x is rounded to 60 · 6e-8 and divided by a deviation of about 0.6; narrow rows can have much smaller ones.
        outputs: vec![
            ("y", Expected::Near { values: y, tolerance: if width < 16 { 1e-3 } else { 3e-5 } }),
            ("stats", Expected::Near { values: stats, tolerance: if width < 16 { 1e-3 } else { 2e-6 } }),
        ],
        record: Box::new(record),
    }
    .of_form(&form)
}

fn backward_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &BACKWARD_CHOICE, Variant::Subgroup, backward_case)
}

fn backward_private_cases(gpu: &Gpu) -> Vec<Case> {
    cases_of(gpu, &BACKWARD_CHOICE, Variant::Private, backward_case)
}

/// Statistics as the forward kernel would give them, rounded.
fn rounded_stats(inputs: &Inputs) -> Vec<f32> {
    let (_, stats) = forward_reference(&wide(&inputs.x), &wide(&inputs.gamma), &wide(&inputs.beta));
    stats.iter().map(|v| *v as f32).collect()
}

fn backward_case(form: Form, (rows, width): (u32, u32)) -> Case {
    let inputs = inputs(rows, width);
    let stats = rounded_stats(&inputs);
    let mut d_x = backward_reference(&wide(&inputs.x), &wide(&stats), &wide(&inputs.gamma), &wide(&inputs.d_y));
    let with_extra = !rows.is_multiple_of(2);
    if with_extra {
        d_x.iter_mut().zip(&inputs.extra).for_each(|(d_x, extra)| *d_x += f64::from(*extra));
    }
    let record = move |plan: &mut Plan, named: &Named| {
        let norm = NormBackward {
            x: named.view("x")?,
            stats: named.view("stats")?,
            gamma: named.view("gamma")?,
            d_y: named.view("d_y")?,
            extra: with_extra.then(|| named.view("extra")).transpose()?,
            d_x: named.view("d_x")?,
        };
        norm.record_form(plan, &NormShape::new(rows, width), &form)
    };
    Case {
        name: format!("({rows}, {width}) extra {with_extra}"),
        inputs: vec![
            ("x", inputs.x.into()),
            ("stats", stats.into()),
            ("gamma", inputs.gamma.into()),
            ("d_y", inputs.d_y.into()),
            ("extra", inputs.extra.into()),
        ],
        outputs: vec![("d_x", Expected::Near { values: d_x, tolerance: 3e-6 })],
        record: Box::new(record),
    }
    .of_form(&form)
}

fn gradient_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1), (3, 4), (512, 7), (513, 33), (1100, 64), (70_000, 2)].into_iter().map(gradient_case).collect()
}

/// One gradient whose last rows are beyond the live count and must not be added.
fn gradient_case((rows, width): (u32, u32)) -> Case {
    let live = rows - rows / 3;
    let inputs = inputs(rows, width);
    let stats = rounded_stats(&inputs);
    let (x, wide_stats, d_y) = (wide(&inputs.x), wide(&stats), wide(&inputs.d_y));
    let mut part = Vec::new();
    let of_block = block_rows(1);
    for block in 0..rows.div_ceil(of_block) {
        let rows = (block * of_block).min(live) as usize..((block + 1) * of_block).min(live) as usize;
        let columns = rows.start * width as usize..rows.end * width as usize;
        let stats = &wide_stats[2 * rows.start..2 * rows.end];
        let (d_gamma, d_beta) = gradient_reference(&x[columns.clone()], stats, &d_y[columns], width as usize);
        part.extend(d_gamma);
        part.extend(d_beta);
    }
    let record = move |plan: &mut Plan, named: &Named| {
        let part = named.view("part")?;
        let (d_gamma, d_beta) = (part.clone(), part.clone());
        let (x, stats, d_y) = (named.view("x")?, named.view("stats")?, named.view("d_y")?);
        let window = LiveRows::new(named.view("live")?, 5, rows, 1);
        plan.resolve_grids(&window.live)?;
        let gradient = NormGradient { x, stats, d_y, part: part.clone(), d_gamma, d_beta };
        gradient.record_blocks(plan, &NormShape::new(window, width), &part)
    };
    Case {
        name: format!("({rows}, {width}), {live} live rows"),
        inputs: vec![
            ("x", inputs.x.into()),
            ("stats", stats.into()),
            ("d_y", inputs.d_y.into()),
            ("live", vec![live + 5].into()),
        ],
        outputs: vec![("part", Expected::Near { values: part, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}
