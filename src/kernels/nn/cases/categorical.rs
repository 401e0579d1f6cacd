//! Test cases of [`crate::kernels::nn::categorical`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::nn::cases::embed::random_rows;
use crate::kernels::nn::categorical::{
    BACKWARD, CategoricalBackward, CategoricalForward, CategoricalSample, CategoricalSampleShape, CategoricalShape,
    FORWARD, SAMPLE, draw_reference, forward_reference, log_p_reference, log_sum_exp, philox,
};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const FORWARD_ENTRY: Entry =
    Entry { kernel: &FORWARD, summary: "log P(target) = logits[target] − lse", cases: forward_cases };
pub(crate) const SAMPLE_ENTRY: Entry =
    Entry { kernel: &SAMPLE, summary: "samples a patch by Philox and inverse transform sampling", cases: sample_cases };
pub(crate) const BACKWARD_ENTRY: Entry =
    Entry { kernel: &BACKWARD, summary: "d_logits = d_log_p ([v = target] − P(v))", cases: backward_cases };

const SHAPES: [(u32, u32); 6] = [(1, 16), (64, 16), (63, 8), (65, 4096), (257, 16), (70_000, 2)];
/// Shapes in a sector: rows, outcomes, patches, occupied sites.
const SECTORS: [(u32, u32, u32, u32); 5] =
    [(1, 16, 1, 2), (64, 16, 4, 8), (63, 8, 5, 3), (65, 4096, 3, 18), (70_000, 2, 7, 3)];

/// Absolute error that WGSL allows the logarithm of a number from 0.5 to 2.
const LOG_ERROR: f64 = 1.0 / (1 << 21) as f64;

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
    let log_p: Vec<f64> = log_p.iter().map(|p| f64::from(*p)).collect();
    let largest = log_p.iter().fold(f64::MIN_POSITIVE, |largest, p| largest.max(p.abs()));
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
            ("log_p", Expected::Near { values: log_p, tolerance: 1e-6 + LOG_ERROR / largest }),
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
