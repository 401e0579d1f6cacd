//! Parameter update: gradient norm, acceptance of the step, and Adam.
//!
//! ```text
//! norm = √Σ g²        scale = min(1, clip / norm)        accept = norm, Ē and s² are finite
//! m ← β₁ m + (1 − β₁) g      v ← β₂ v + (1 − β₂) g²      θ ← θ − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)
//! ```
//!
//! Source: Kingma & Ba, arXiv:1412.6980, algorithm 1. A rejected step changes neither parameters nor moments.
//!
//! The step count t is kept on the GPU: a rejected step must not count, and a rejection reaches the host too late.

use crate::error::Result;
use crate::gpu::{Cost, Gpu, Groups, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static SQUARE: Kernel = kernel!("nn", "gradient_square");
static DECIDE: Kernel = kernel!("nn", "gradient_decide");
static ADAM: Kernel = kernel!("nn", "adam");

pub(crate) const SQUARE_ENTRY: Entry = Entry { kernel: &SQUARE, summary: "Σ g² over blocks", cases: square_cases };
pub(crate) const DECIDE_ENTRY: Entry =
    Entry { kernel: &DECIDE, summary: "norm, clipping, accept or reject", cases: decide_cases };
pub(crate) const ADAM_ENTRY: Entry = Entry { kernel: &ADAM, summary: "Adam on all parameters", cases: adam_cases };

/// Elements per block of the sum of squares.
const BLOCK: u32 = 4096;

/// Decay rates and ε of Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamRates {
    /// β₁
    pub beta1: f32,
    /// β₂
    pub beta2: f32,
    /// ε
    pub epsilon: f32,
}

impl Default for AdamRates {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

record! {
    /// Adam update of all parameters.
    #[derive(Debug, Clone)]
    pub struct Adam {
        /// (elements)
        pub gradient: View,
        /// Scratch of [`Adam::part_elements`] floats.
        pub part: View,
        /// (9, 2): mean and variance of the energy first
        pub statistics: View,
        /// (8): β₁ᵗ, β₂ᵗ, scale, accept, norm, t, 0, 0; initially 1, 1, 0, 0, 0, 0, 0, 0
        pub state: View,
        /// (4) u32: seed (2), step number, learning rate (bits of an f32)
        pub step: View,
        /// (elements)
        pub parameters: View,
        /// (elements): first moments m
        pub m: View,
        /// (elements): second moments v
        pub v: View,
    }
}

impl Adam {
    /// Number of scratch floats for `elements` parameters.
    pub fn part_elements(elements: u32) -> u64 {
        u64::from(elements.div_ceil(BLOCK))
    }

    /// Records the gradient norm, the acceptance and the update. `clip` is the maximum gradient norm.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, elements: u32, clip: Option<f32>, rates: AdamRates) -> Result<()> {
        self.record_square(plan, elements)?;
        self.record_decide(plan, elements, clip, rates)?;
        self.record_update(plan, elements, rates)
    }

    fn record_square(&self, plan: &mut Plan, elements: u32) -> Result<()> {
        record_square(plan, [&self.gradient, &self.part], elements)
    }

    fn record_decide(&self, plan: &mut Plan, elements: u32, clip: Option<f32>, rates: AdamRates) -> Result<()> {
        let blocks = elements.div_ceil(BLOCK);
        plan.launch(&Launch {
            kernel: &DECIDE,
            spec: &[],
            bindings: &bind!(self.part[blocks.into()], self.statistics[2], self.state[8]),
            params: &[
                ("blocks", blocks.into()),
                ("clip", clip.unwrap_or(0.0).into()),
                ("beta1", rates.beta1.into()),
                ("beta2", rates.beta2.into()),
            ],
            groups: Groups::Fixed(1),
            cost: Cost { flops: f64::from(blocks), bytes: 4.0 * f64::from(blocks) },
            shape: format!("({blocks})"),
        })
    }

    fn record_update(&self, plan: &mut Plan, elements: u32, rates: AdamRates) -> Result<()> {
        plan.launch(&Launch {
            kernel: &ADAM,
            spec: &[],
            bindings: &bind!(
                self.gradient[elements.into()],
                self.state[8],
                self.step[4],
                self.parameters[elements.into()],
                self.m[elements.into()],
                self.v[elements.into()]
            ),
            params: &[
                ("elements", elements.into()),
                ("beta1", rates.beta1.into()),
                ("beta2", rates.beta2.into()),
                ("epsilon", rates.epsilon.into()),
            ],
            groups: Rows::from(elements).groups(64, 1),
            cost: Cost { flops: 12.0 * f64::from(elements), bytes: 28.0 * f64::from(elements) },
            shape: format!("({elements})"),
        })
    }
}

/// Records the sums of squares over blocks of `of` (elements) into `part` ([`Adam::part_elements`]).
pub(crate) fn record_square(plan: &mut Plan, [of, part]: [&View; 2], elements: u32) -> Result<()> {
    let blocks = elements.div_ceil(BLOCK);
    plan.launch(&Launch {
        kernel: &SQUARE,
        spec: &[],
        bindings: &bind!(gradient = of[elements.into()], part[blocks.into()]),
        params: &[("elements", elements.into()), ("blocks", blocks.into())],
        groups: Groups::Fixed(blocks.into()),
        cost: Cost { flops: 2.0 * f64::from(elements), bytes: 4.0 * f64::from(elements) },
        shape: format!("({elements})"),
    })
}

/// One Adam update in f64; `t` is the step number, counted from 1. Returns (θ, m, v).
pub fn adam_reference(
    [parameter, m, v, gradient]: [f64; 4],
    learning_rate: f64,
    t: u32,
    AdamRates { beta1, beta2, epsilon }: AdamRates,
) -> (f64, f64, f64) {
    let (beta1, beta2) = (f64::from(beta1), f64::from(beta2));
    let m = beta1 * m + (1.0 - beta1) * gradient;
    let v = beta2 * v + (1.0 - beta2) * gradient * gradient;
    let (first, second) = (m / (1.0 - beta1.powi(t as i32)), v / (1.0 - beta2.powi(t as i32)));
    (parameter - learning_rate * first / (second.sqrt() + f64::from(epsilon)), m, v)
}

fn square_cases(_: &Gpu) -> Vec<Case> {
    let case = |elements: u32| {
        let gradient = RandomInputs::new(u64::from(elements)).floats(elements as usize);
        let square = |block: &[f32]| block.iter().map(|g| f64::from(*g).powi(2)).sum();
        let part = gradient.chunks(BLOCK as usize).map(square).collect();
        Case {
            name: format!("({elements})"),
            inputs: vec![("gradient", gradient.into())],
            outputs: vec![("part", Expected::Near { values: part, tolerance: 1e-6 })],
            record: Box::new(move |plan, buffers| {
                Adam::from_case(&buffers.standing_in("part")?)?.record_square(plan, elements)
            }),
        }
    };
    [1, 64, 4095, 4096, 4097, 300_001].into_iter().map(case).collect()
}

fn decide_cases(_: &Gpu) -> Vec<Case> {
    let fine = [3.0, 1.0];
    let cases = [
        (1, None, fine, 1.0, true),
        (65, Some(0.5), fine, 1.0, true),
        (300, Some(1e9), fine, 1.0, true),
        (3, None, [f32::NAN, 1.0], 1.0, false),
        (3, None, [3.0, f32::INFINITY], 1.0, false),
        (3, None, fine, f32::NAN, false),
    ];
    cases.into_iter().map(decide_case).collect()
}

fn decide_case((blocks, clip, energy, factor, accept): (u32, Option<f32>, [f32; 2], f32, bool)) -> Case {
    let mut part: Vec<f32> =
        RandomInputs::new(u64::from(blocks)).floats(blocks as usize).iter().map(|p| p.abs()).collect();
    let norm = part.iter().map(|p| f64::from(*p)).sum::<f64>().sqrt();
    part[0] *= factor;
    let rates = AdamRates::default();
    let before = [0.81f32, 0.998, 0.25, 0.5, 7.0, 2.0, 0.0, 0.0];
    let scale = clip.map_or(1.0, |clip| (f64::from(clip) / norm).min(1.0));
    let power = |p: f32, beta: f32| f64::from(p) * if accept { f64::from(beta) } else { 1.0 };
    let mut state = vec![
        power(before[0], rates.beta1),
        power(before[1], rates.beta2),
        scale,
        f64::from(u8::from(accept)),
        norm,
        if accept { 3.0 } else { 2.0 },
        0.0,
        0.0,
    ];
    if !accept {
        // The norm of a rejected step may be non-finite; only the powers, the scale and the decision are compared.
        state.truncate(4);
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        Adam::from_case(&buffers.standing_in("part")?)?.record_decide(plan, blocks * BLOCK, clip, rates)
    };
    Case {
        name: format!("({blocks}) clip {clip:?} energy {energy:?} accept {accept}"),
        inputs: vec![("part", part.into()), ("statistics", energy.to_vec().into()), ("state", before.to_vec().into())],
        outputs: vec![("state", Expected::Near { values: state, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}

fn adam_cases(_: &Gpu) -> Vec<Case> {
    [(1, true), (63, true), (65, false), (70_001, true)].into_iter().map(adam_case).collect()
}

fn adam_case((elements, accept): (u32, bool)) -> Case {
    let mut random = RandomInputs::new(u64::from(elements));
    let count = elements as usize;
    let (parameters, gradient, first) = (random.floats(count), random.floats(count), random.floats(count));
    let second: Vec<f32> = random.floats(count).iter().map(|v| v.abs()).collect();
    let (t, scale, learning_rate) = (3, 0.5f32, 0.1f32);
    let rates = AdamRates::default();
    let powers = [f64::from(rates.beta1).powi(t), f64::from(rates.beta2).powi(t)];
    let accepted = f32::from(u8::from(accept));
    let state = vec![powers[0] as f32, powers[1] as f32, scale, accepted, 1.0, t as f32, 0.0, 0.0];
    let mut expected = [Vec::new(), Vec::new(), Vec::new()];
    for i in 0..count {
        let [theta, m, v] = [parameters[i], first[i], second[i]].map(f64::from);
        let updated = if accept {
            adam_reference([theta, m, v, f64::from(gradient[i] * scale)], f64::from(learning_rate), t as u32, rates)
        } else {
            (theta, m, v)
        };
        expected[0].push(updated.0);
        expected[1].push(updated.1);
        expected[2].push(updated.2);
    }
    let [theta, m, v] = expected.map(|values| Expected::Near { values, tolerance: 5e-6 });
    Case {
        name: format!("({elements}) accept {accept}"),
        inputs: vec![
            ("gradient", gradient.into()),
            ("state", state.into()),
            ("step", vec![0, 0, 0, learning_rate.to_bits()].into()),
            ("parameters", parameters.into()),
            ("m", first.into()),
            ("v", second.into()),
        ],
        outputs: vec![("parameters", theta), ("m", m), ("v", v)],
        record: Box::new(move |plan, buffers| {
            Adam::from_case(&buffers.standing_in("state")?)?.record_update(plan, elements, rates)
        }),
    }
}
