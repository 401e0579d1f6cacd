//! Test cases of [`crate::kernels::vmc::enumerated`].

use crate::gpu::{DynamicRows, Gpu, Plan};
use crate::kernels::nn::categorical::philox;
use crate::kernels::rbm::sweep::Stream;
use crate::kernels::vmc::energy::NEG_LARGE;
use crate::kernels::vmc::enumerated::{
    BLOCKS, CUMULATIVE, DRAW, EnumeratedCumulative, EnumeratedDraw, EnumeratedRatio, EnumeratedShape, GATHER, NONE,
    RATIO, RowsGather,
};
use crate::kernels::vmc::rows::Window;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const CUMULATIVE_ENTRY: Entry = Entry {
    kernel: &CUMULATIVE,
    summary: "cumulative probabilities of enumerated configurations",
    cases: cumulative_cases,
};
pub(crate) const DRAW_ENTRY: Entry =
    Entry { kernel: &DRAW, summary: "independent draws of enumerated configurations", cases: draw_cases };
pub(crate) const GATHER_ENTRY: Entry =
    Entry { kernel: &GATHER, summary: "rows of a table, selected by an index", cases: gather_cases };
pub(crate) const RATIO_ENTRY: Entry = Entry {
    kernel: &RATIO,
    summary: "log ψ'/ψ of connected configurations, looked up among enumerated ones",
    cases: ratio_cases,
};

/// Samples per block.
fn block_of(configurations: u32) -> usize {
    configurations.div_ceil(BLOCKS) as usize
}

fn cumulative_cases(_: &Gpu) -> Vec<Case> {
    [(1, 2.0), (255, 2.0), (257, 0.5), (822, 1.3), (20_000, 2.0)].into_iter().map(cumulative_case).collect()
}

fn cumulative_case((configurations, power): (u32, f32)) -> Case {
    let mut random = RandomInputs::new(configurations.into());
    let log_p: Vec<f32> = random.floats(configurations as usize).iter().map(|x| 8.0 * x - 3.0).collect();
    let log_members: Vec<f32> =
        random.integers(configurations as usize, 16).iter().map(|m| (*m as f32 + 1.0).ln()).collect();
    let logarithm = |(p, m): (&f32, &f32)| 0.5 * f64::from(power) * f64::from(*p) + f64::from(*m);
    let logarithms: Vec<f64> = log_p.iter().zip(&log_members).map(logarithm).collect();
    let top = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut cumulative, mut totals) = (Vec::new(), Vec::new());
    for block in logarithms.chunks(block_of(configurations)) {
        let sums = block.iter().scan(0.0, |sum, logarithm| {
            *sum += (logarithm - top).exp();
            Some(*sum)
        });
        cumulative.extend(sums);
        totals.push(totals.last().copied().unwrap_or(0.0) + cumulative.last().copied().unwrap_or(0.0));
    }
    totals.resize(BLOCKS as usize, totals.last().copied().unwrap_or(0.0));
    Case {
        name: format!("{configurations} configurations, power {power}"),
        inputs: vec![
            ("log_p", log_p.into()),
            ("log_members", log_members.into()),
            ("step", vec![1, 2, 3, 4, 5, power.to_bits(), 0, 0].into()),
        ],
        outputs: vec![
            ("cumulative", Expected::Near { values: cumulative, tolerance: 1e-5 }),
            ("totals", Expected::Near { values: totals, tolerance: 1e-5 }),
        ],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            EnumeratedCumulative::from_case(buffers)?.record(plan, configurations)
        }),
    }
}

fn draw_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1), (64, 3), (65, 257), (500, 822), (70_000, 20_000)].into_iter().map(draw_case).collect()
}

/// Every third configuration has weight 0 and is never drawn.
fn draw_case((samples, configurations): (u32, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(samples + configurations));
    let weights: Vec<f32> = random
        .floats(configurations as usize)
        .iter()
        .enumerate()
        .map(|(i, x)| if i % 3 == 1 { 0.0 } else { x.abs() + 1e-3 })
        .collect();
    let block = block_of(configurations);
    let (mut cumulative, mut totals) = (Vec::<f32>::new(), Vec::<f32>::new());
    for weights in weights.chunks(block) {
        cumulative.extend(weights.iter().scan(0f32, |sum, weight| {
            *sum += weight;
            Some(*sum)
        }));
        totals.push(totals.last().copied().unwrap_or(0.0) + cumulative.last().copied().unwrap_or(0.0));
    }
    totals.resize(BLOCKS as usize, totals.last().copied().unwrap_or(0.0));
    let step = [11, 12, 13, 14, 15, 16, 0, 0];
    let index = (0..samples).map(|b| {
        let words = philox([b, 0, step[2], Stream::Sample as u32], [step[0], step[1]]);
        let level = |word: u32, total: f32| (1.0 - (word >> 8) as f32 / (1 << 24) as f32) * total;
        let of_totals = level(words[0], totals[BLOCKS as usize - 1]);
        let first = totals.partition_point(|total| *total < of_totals) * block;
        let of_block = &cumulative[first..(first + block).min(cumulative.len())];
        let wanted = level(words[1], of_block[of_block.len() - 1]);
        let index = first + of_block.partition_point(|sum| *sum < wanted);
        assert!(weights[index] > 0.0);
        index as u32
    });
    let index = index.collect();
    Case {
        name: format!("{samples} samples of {configurations} configurations"),
        inputs: vec![("cumulative", cumulative.into()), ("totals", totals.into()), ("step", step.to_vec().into())],
        outputs: vec![("index", Expected::Exactly(index))],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            EnumeratedDraw::from_case(buffers)?.record(plan, samples, configurations)
        }),
    }
}

fn gather_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1, 1), (5, 3, 7), (64, 16, 40), (70_000, 2, 900)].into_iter().map(gather_case).collect()
}

fn gather_case((rows, width, table_rows): (u32, u32, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(rows + width));
    let x = random.integers((table_rows * width) as usize, u32::MAX);
    let index = random.integers(rows as usize, table_rows);
    let y = index.iter().flat_map(|r| &x[(r * width) as usize..][..width as usize]).copied().collect();
    Case {
        name: format!("({rows}, {width}) of {table_rows}"),
        inputs: vec![("x", x.into()), ("index", index.into())],
        outputs: vec![("y", Expected::Exactly(y))],
        record: Box::new(move |plan: &mut Plan, buffers: &CaseBuffers| {
            RowsGather::from_case(buffers)?.record(plan, rows, width, table_rows)
        }),
    }
}

fn ratio_cases(_: &Gpu) -> Vec<Case> {
    // Samples, first item, live items, configurations, moves, columns, part, parts.
    let shapes = [
        [1, 0, 1, 1, 1, 1, 0, 1],
        [9, 2, 7, 5, 3, 4, 0, 2],
        [9, 2, 7, 5, 3, 4, 1, 2],
        [70, 3, 60, 257, 9, 1, 1, 2],
        [66_000, 10, 65_900, 300, 2, 1, 0, 1],
    ];
    shapes.into_iter().map(ratio_case).collect()
}

fn ratio_case([samples, first, live, configurations, moves, columns, part, parts]: [u32; 8]) -> Case {
    let mut random = RandomInputs::new(u64::from(samples + moves));
    let [r, m, c] = [configurations, moves, columns].map(|size| size as usize);
    let sample_of = random.integers(samples as usize, samples);
    let index = random.integers(samples as usize, configurations);
    let connected: Vec<u32> = random
        .integers(r * m, configurations)
        .iter()
        .enumerate()
        .map(|(at, j)| if at % 4 == 1 { NONE } else { *j })
        .collect();
    let log_p: Vec<f32> = random.floats(r * c).iter().map(|x| 9.0 * x).collect();
    // Ratios of items outside the window remain unchanged.
    let before = random.floats(samples as usize * m * parts as usize);
    let mut ratio: Vec<f64> = before.iter().map(|r| f64::from(*r)).collect();
    let of = |i: usize| -> f64 { log_p[i * c..][..c].iter().map(|x| f64::from(*x)).sum() };
    for item in first..first + live {
        let i = index[sample_of[item as usize] as usize] as usize;
        for move_ in 0..m {
            let j = connected[i * m + move_];
            let difference = || of(j as usize) - of(i);
            ratio[(item as usize * m + move_) * parts as usize + part as usize] = match (j == NONE, part) {
                (true, 0) => f64::from(NEG_LARGE),
                (true, _) => 0.0,
                (false, 0) => 0.5 * difference(),
                (false, _) => difference() - std::f64::consts::TAU * (difference() / std::f64::consts::TAU).round(),
            };
        }
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let counter = buffers.view("live")?;
        plan.write_indirect_args(&counter)?;
        let items = DynamicRows::new(counter, first, live, 1).into();
        let window = Window { items, first, capacity: live, samples, patches: 1 };
        let shape = EnumeratedShape { window, configurations, moves, columns, part, parts };
        EnumeratedRatio::from_case(buffers)?.record(plan, &shape)
    };
    Case {
        name: format!("{live} items from {first}, {moves} moves among {configurations}, part {part} of {parts}"),
        inputs: vec![
            ("sample_of", sample_of.into()),
            ("index", index.into()),
            ("connected", connected.into()),
            ("log_p", log_p.into()),
            ("ratio", before.into()),
            ("live", vec![first + live, 0].into()),
        ],
        outputs: vec![("ratio", Expected::Near { values: ratio, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}
