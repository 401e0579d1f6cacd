//! Categorical head over the 2^P outcomes of a patch: log-probability, sampling and gradient.
//!
//! ```text
//! log P(target) = logits[target] − log Σ_v exp(logits[v])
//! d_logits[v]   = d_log_p ( [v = target] − exp(logits[v] − lse) )
//! ```
//!
//! A sector is the set of configurations with E occupied sites. Outcomes from which the sector can no longer be reached
//! are excluded from the sum, so that Σ P = 1 within the sector (as in arXiv:2002.02973, section III.C). With n sites
//! occupied before patch t, an outcome v is allowed if
//!
//! ```text
//! n + |v| ≤ E        E − n − |v| ≤ P (T − 1 − t)
//! ```
//!
//! Excluded outcomes have log P = [`NEG_LARGE`], so that log P of a configuration outside the sector is at most that.
//! Sampling uses Philox4x32-10 (Salmon et al., SC'11) with the seed as key and (sample, patch, step) as counter, so
//! that a draw depends on nothing else.

use super::embed::random_rows;
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Param, Plan, Rows, View, bind};
use crate::kernels::vmc::energy::NEG_LARGE;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static FORWARD: Kernel = kernel!("nn", "categorical_forward");
static SAMPLE: Kernel = kernel!("nn", "categorical_sample");
static BACKWARD: Kernel = kernel!("nn", "categorical_backward");

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "log P(target) = logits[target] − lse", cases: forward_cases };
pub(crate) const SAMPLE_ENTRY: Entry =
    Entry { kernel: &SAMPLE, summary: "samples a patch by Philox and inverse transform sampling", cases: sample_cases };
pub(crate) const BACKWARD_ENTRY: Entry =
    Entry { kernel: &BACKWARD, summary: "d_logits = d_log_p ([v = target] − P(v))", cases: backward_cases };

/// Outcomes of a categorical head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CategoricalShape {
    /// V = 2^P
    pub outcomes: u32,
    /// T
    pub patches: u32,
    /// E, the number of occupied sites; `None` if all configurations are allowed.
    pub excitations: Option<u32>,
}

/// Shader value of `excitations` without a sector.
const EVERY_SECTOR: u32 = u32::MAX;

impl CategoricalShape {
    /// P
    fn sites_per_patch(&self) -> u32 {
        self.outcomes.ilog2()
    }

    fn params(&self) -> [(&'static str, Param); 4] {
        [
            ("outcomes", self.outcomes.into()),
            ("patches", self.patches.into()),
            ("sites_per_patch", self.sites_per_patch().into()),
            ("excitations", self.excitations.unwrap_or(EVERY_SECTOR).into()),
        ]
    }

    /// Minimum and maximum number of sites that an allowed outcome at `position` occupies, with `before` sites occupied
    /// before it.
    fn room(&self, position: u32, before: u32) -> [u32; 2] {
        let Some(excitations) = self.excitations else { return [0, u32::MAX] };
        let most = excitations.saturating_sub(before);
        let later = self.sites_per_patch() * (self.patches - 1 - position);
        [most.saturating_sub(later).min(self.sites_per_patch()), most]
    }

    /// Logits of a row (token, position, target, occupied), −∞ for excluded outcomes.
    fn masked(&self, row: &[u32], logits: &[f32]) -> Vec<f32> {
        let [least, most] = self.room(row[1], row[3]);
        let allowed = |v: usize| (least..=most).contains(&v.count_ones());
        logits.iter().enumerate().map(|(v, logit)| if allowed(v) { *logit } else { f32::NEG_INFINITY }).collect()
    }
}

record! {
    /// Log-probabilities of the targets.
    #[derive(Debug, Clone)]
    pub struct CategoricalForward {
        /// (rows) of four u32: token, position, target, occupied
        pub rows: View,
        /// (rows, V)
        pub logits: View,
        /// (rows)
        pub log_p: View,
        /// (rows)
        pub lse: View,
    }
}

impl CategoricalForward {
    /// Records the log-probabilities of `rows` rows.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, shape: &CategoricalShape) -> Result<()> {
        let (count, v) = (u64::from(rows.capacity), u64::from(shape.outcomes));
        plan.launch(&Launch {
            kernel: &FORWARD,
            spec: &[],
            bindings: &bind!(self.rows[4 * count], self.logits[count * v], self.log_p[count], self.lse[count]),
            params: &[&[("rows", rows.capacity.into())], &shape.params()[..]].concat(),
            groups: rows.groups(64, 1),
            cost: Cost { flops: (3 * count * v) as f64, bytes: 4.0 * (count * (v + 6)) as f64 },
            shape: format!("({count}, {v})"),
        })
    }
}

record! {
    /// Sampling of one patch of every sample.
    #[derive(Debug, Clone)]
    pub struct CategoricalSample {
        /// (B, T, V)
        pub logits: View,
        /// (4) u32: seed (2), step number, learning rate
        pub step: View,
        /// (B, T) u32
        pub tokens: View,
        /// (B, T)
        pub log_p: View,
        /// (B) of four u32: token, position, 0, occupied
        pub rows: View,
    }
}

/// Shape of a [`CategoricalSample`].
#[derive(Debug, Clone, Copy)]
pub struct CategoricalSampleShape {
    /// B
    pub samples: u32,
    /// Outcomes to draw from.
    pub head: CategoricalShape,
    /// Patch to draw.
    pub patch: u32,
    /// Index of the first sample, so that chunks of one batch use different random numbers.
    pub first_sample: u32,
    /// Whether to use the fixed outcomes in `tokens` instead of sampling.
    pub given: bool,
}

impl CategoricalSample {
    /// Records the sampling.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &CategoricalSampleShape) -> Result<()> {
        let head = &shape.head;
        let (b, t, v) = (u64::from(shape.samples), u64::from(head.patches), u64::from(head.outcomes));
        let own = [
            ("samples", shape.samples.into()),
            ("position", shape.patch.into()),
            ("first_sample", shape.first_sample.into()),
            ("given", u32::from(shape.given).into()),
        ];
        plan.launch(&Launch {
            kernel: &SAMPLE,
            spec: &[],
            bindings: &bind!(
                self.logits[b * t * v],
                self.step[4],
                self.tokens[b * t],
                self.log_p[b * t],
                self.rows[4 * b]
            ),
            params: &[own, head.params()].concat(),
            groups: Rows::from(shape.samples).groups(64, 1),
            cost: Cost { flops: (5 * b * v) as f64, bytes: 4.0 * (b * (v + 6)) as f64 },
            shape: format!("({b}, {t}, {v})"),
        })
    }
}

record! {
    /// Gradient of the logits, computed in place.
    #[derive(Debug, Clone)]
    pub struct CategoricalBackward {
        /// (rows) of four u32: token, position, target, occupied
        pub rows: View,
        /// (rows)
        pub lse: View,
        /// (samples)
        pub d_log_p: View,
        /// (rows, V): logits, overwritten with d_logits
        pub logits: View,
    }
}

impl CategoricalBackward {
    /// Records the gradient. Row r belongs to sample `first_sample` + r / T.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, rows: &Rows, shape: &CategoricalShape, first_sample: u32) -> Result<()> {
        let (count, v) = (u64::from(rows.capacity), u64::from(shape.outcomes));
        let samples = u64::from(first_sample) + count.div_ceil(u64::from(shape.patches));
        let own = [("rows", rows.capacity.into()), ("first_sample", first_sample.into())];
        plan.launch(&Launch {
            kernel: &BACKWARD,
            spec: &[],
            bindings: &bind!(self.rows[4 * count], self.lse[count], self.d_log_p[samples], self.logits[count * v]),
            params: &[&own[..], &shape.params()].concat(),
            groups: rows.groups(64, 1),
            cost: Cost { flops: (3 * count * v) as f64, bytes: 4.0 * (count * (2 * v + 5)) as f64 },
            shape: format!("({count}, {v})"),
        })
    }
}

/// Philox4x32-10: four u32 for a counter and a key, identical to those of the shader.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let multiply = |a: u32, b: u32| {
        let product = u64::from(a) * u64::from(b);
        ((product >> 32) as u32, product as u32)
    };
    for _ in 0..10 {
        let (p, q) = (multiply(0xd251_1f53, counter[0]), multiply(0xcd9e_8d57, counter[2]));
        counter = [q.0 ^ counter[1] ^ key[0], q.1, p.0 ^ counter[3] ^ key[1], p.1];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

/// log Σ exp of a row in f64.
pub fn log_sum_exp(row: &[f32]) -> f64 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(top) + row.iter().map(|l| (f64::from(*l) - f64::from(top)).exp()).sum::<f64>().ln()
}

/// log P of an outcome with logit `logit`, at least [`NEG_LARGE`].
fn log_p_reference(logit: f32, lse: f64) -> f64 {
    (f64::from(logit) - lse).max(NEG_LARGE.into())
}

/// (log_p, lse) of each row in f64.
pub fn forward_reference(rows: &[u32], logits: &[f32], shape: &CategoricalShape) -> (Vec<f64>, Vec<f64>) {
    let of_row = |(row, logits): (&[u32], &[f32])| {
        let logits = shape.masked(row, logits);
        let lse = log_sum_exp(&logits);
        (log_p_reference(logits[row[2] as usize], lse), lse)
    };
    rows.chunks(4).zip(logits.chunks(shape.outcomes as usize)).map(of_row).unzip()
}

/// Returns the outcome of one draw with the uniform number `u` in [0, 1), in f64.
pub fn draw_reference(logits: &[f32], u: f64) -> usize {
    let lse = log_sum_exp(logits);
    let mut partial = 0.0;
    for (v, logit) in logits.iter().enumerate() {
        partial += (f64::from(*logit) - lse).exp();
        if partial > u {
            return v;
        }
    }
    logits.iter().rposition(|logit| *logit > f32::NEG_INFINITY).unwrap_or(0)
}

const SHAPES: [(u32, u32); 6] = [(1, 16), (64, 16), (63, 8), (65, 4096), (257, 16), (70_000, 2)];
/// Shapes in a sector: rows, outcomes, patches, occupied sites.
const SECTORS: [(u32, u32, u32, u32); 5] =
    [(1, 16, 1, 2), (64, 16, 4, 8), (63, 8, 5, 3), (65, 4096, 3, 18), (70_000, 2, 7, 3)];

/// Random row metadata. In a sector, the number of sites occupied before is random and can exceed E.
fn described(random: &mut RandomInputs, rows: u32, shape: &CategoricalShape) -> Vec<u32> {
    let sites = shape.sites_per_patch();
    let mut described = random_rows(random, rows as usize, shape.patches, sites);
    if shape.excitations.is_some() {
        let before = random.integers(rows as usize, shape.patches * sites + 1);
        described.chunks_mut(4).zip(before).for_each(|(row, before)| row[3] = before);
    }
    described
}

/// Number of rows and shape of each case.
fn shapes(patches: u32) -> impl Iterator<Item = (u32, CategoricalShape)> {
    let every = SHAPES.map(|(rows, outcomes)| (rows, CategoricalShape { outcomes, patches, excitations: None }));
    let sectors = SECTORS.map(|(rows, outcomes, patches, excitations)| {
        (rows, CategoricalShape { outcomes, patches, excitations: Some(excitations) })
    });
    every.into_iter().chain(sectors)
}

fn logits(random: &mut RandomInputs, count: usize) -> Vec<f32> {
    random.floats(count).into_iter().map(|x| 3.0 * x).collect()
}

fn forward_cases(_: &Gpu) -> Vec<Case> {
    let shifted = CategoricalShape { outcomes: 16, patches: 4, excitations: None };
    shapes(4).map(|(rows, shape)| forward_case(rows, shape, 0.0)).chain([forward_case(33, shifted, 3e4)]).collect()
}

/// `shift` is added to all logits, which must neither change log_p nor overflow.
fn forward_case(rows: u32, shape: CategoricalShape, shift: f32) -> Case {
    let outcomes = shape.outcomes;
    let mut random = RandomInputs::new(u64::from(rows * 7 + outcomes));
    let row_meta = described(&mut random, rows, &shape);
    let logits: Vec<f32> = logits(&mut random, (rows * outcomes) as usize).iter().map(|l| l + shift).collect();
    let (log_p, lse) = forward_reference(&row_meta, &logits, &shape);
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let head = CategoricalForward::from_case(buffers)?;
        head.record(plan, &rows.into(), &shape)
    };
    let tolerance = if shift == 0.0 { 1e-6 } else { 1e-3 };
    Case {
        name: format!("{rows} rows of {shape:?} + {shift}"),
        inputs: vec![("rows", row_meta.into()), ("logits", logits.into())],
        outputs: vec![
            ("log_p", Expected::Near { values: log_p, tolerance }),
            ("lse", Expected::Near { values: lse, tolerance: 1e-6 }),
        ],
        record: Box::new(record),
    }
}

fn sample_cases(_: &Gpu) -> Vec<Case> {
    let every = [(1, 2, 1, 0), (64, 16, 4, 2), (65, 16, 4, 3), (129, 4096, 2, 0), (70_000, 4, 1, 0)];
    let sectors = [(64, 16, 4, 0, 8), (65, 16, 4, 2, 7), (129, 4096, 2, 1, 12), (70_000, 2, 5, 3, 2)];
    let every = every.map(|(samples, outcomes, patches, patch)| {
        (samples, patch, CategoricalShape { outcomes, patches, excitations: None })
    });
    let sectors = sectors.map(|(samples, outcomes, patches, patch, excitations)| {
        (samples, patch, CategoricalShape { outcomes, patches, excitations: Some(excitations) })
    });
    let given = [every[1], sectors[1]].map(|case| sample_case(case, true));
    every.into_iter().chain(sectors).map(|case| sample_case(case, false)).chain(given).collect()
}

fn sample_case((samples, patch, head): (u32, u32, CategoricalShape), given: bool) -> Case {
    let CategoricalShape { outcomes, patches, .. } = head;
    let mut random = RandomInputs::new(u64::from(samples + outcomes));
    let logits = logits(&mut random, (samples * patches * outcomes) as usize);
    let step = [0x1234_5678, 0x9abc_def0, 17, 0];
    let first_sample = 1000;
    let mut tokens = random.integers((samples * patches) as usize, outcomes);
    let mut log_p = random.floats((samples * patches) as usize);
    let before = (tokens.clone(), log_p.clone());
    let rows_before = described(&mut random, samples, &head);
    let mut rows = Vec::new();
    for (sample, before) in (0..samples).zip(rows_before.chunks(4)) {
        let at = (sample * patches + patch) as usize;
        let logits = &logits[at * outcomes as usize..(at + 1) * outcomes as usize];
        let row = &head.masked(&[0, patch, 0, before[3]], logits)[..];
        let word = philox([first_sample + sample, patch, step[2], 0], [step[0], step[1]])[0];
        let drawn = draw_reference(row, f64::from(word >> 8) / f64::from(1 << 24));
        let token = if given { tokens[at] as usize } else { drawn };
        tokens[at] = token as u32;
        log_p[at] = log_p_reference(row[token], log_sum_exp(row)) as f32;
        let last = patch + 1 == patches;
        let occupied = if head.excitations.is_some() { before[3] + token.count_ones() } else { 0 };
        rows.extend(if last { [0; 4] } else { [token as u32, patch + 1, 0, occupied] });
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let sample = CategoricalSample::from_case(buffers)?;
        sample.record(plan, &CategoricalSampleShape { samples, head, patch, first_sample, given })
    };
    Case {
        name: format!("{samples} samples of {head:?}, patch {patch}, given {given}"),
        inputs: vec![
            ("logits", logits.into()),
            ("step", step.to_vec().into()),
            ("tokens", before.0.into()),
            ("log_p", before.1.into()),
            ("rows", rows_before.into()),
        ],
        outputs: vec![
            ("tokens", Expected::Exactly(tokens)),
            ("log_p", Expected::Near { values: log_p.iter().map(|p| f64::from(*p)).collect(), tolerance: 1e-6 }),
            ("rows", Expected::Exactly(rows)),
        ],
        record: Box::new(record),
    }
}

fn backward_cases(_: &Gpu) -> Vec<Case> {
    shapes(3).map(backward_case).collect()
}

fn backward_case((rows, shape): (u32, CategoricalShape)) -> Case {
    let (CategoricalShape { outcomes, patches, .. }, first_sample) = (shape, 2);
    let mut random = RandomInputs::new(u64::from(rows + outcomes));
    let row_meta = described(&mut random, rows, &shape);
    let logits = logits(&mut random, (rows * outcomes) as usize);
    let lse: Vec<f32> = forward_reference(&row_meta, &logits, &shape).1.iter().map(|l| *l as f32).collect();
    let d_log_p = random.floats((first_sample + rows.div_ceil(patches)) as usize);
    let of_row = |(r, (row, logits)): (usize, (&[u32], &[f32]))| {
        let slope = f64::from(d_log_p[first_sample as usize + r / patches as usize]);
        let entry = |(k, logit): (usize, &f32)| match *logit {
            f32::NEG_INFINITY => 0.0,
            logit => {
                let p = (f64::from(logit) - f64::from(lse[r])).exp();
                slope * (f64::from(u8::from(row[2] as usize == k)) - p)
            }
        };
        shape.masked(row, logits).iter().enumerate().map(entry).collect::<Vec<_>>()
    };
    let rows_of = row_meta.chunks(4).zip(logits.chunks(outcomes as usize)).enumerate();
    let expected: Vec<f64> = rows_of.flat_map(of_row).collect();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let head = CategoricalBackward::from_case(buffers)?;
        head.record(plan, &rows.into(), &shape, first_sample)
    };
    Case {
        name: format!("{rows} rows of {shape:?}"),
        inputs: vec![
            ("rows", row_meta.into()),
            ("lse", lse.into()),
            ("d_log_p", d_log_p.into()),
            ("logits", logits.into()),
        ],
        outputs: vec![("logits", Expected::Near { values: expected, tolerance: 2e-6 })],
        record: Box::new(record),
    }
}

#[cfg(test)]
mod tests {
    use super::philox;

    /// Known answers published with Random123 (kat_vectors, philox4x32 with 10 rounds).
    #[test]
    fn philox_gives_the_published_words() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }
}
