//! Test cases of [`crate::kernels::vmc::energy`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::vmc::energy::{
    AmplitudeRatio, COLUMNS, Column, ConnectedShape, EnergyGradientWeights, EnergyLocal, EnergyShape, EnergySites,
    LOCAL, NEG_LARGE, RATIO, SITES, STATISTICS, Statistics, WEIGHTS, local_reference,
};
use crate::kernels::vmc::rows::Window;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const RATIO_ENTRY: Entry =
    Entry { kernel: &RATIO, summary: "log ψ(σ')/ψ(σ) of connected configurations", cases: ratio_cases };
pub(crate) const SITES_ENTRY: Entry =
    Entry { kernel: &SITES, summary: "n_q (field_q + Σ V n) of every site", cases: sites_cases };
pub(crate) const LOCAL_ENTRY: Entry =
    Entry { kernel: &LOCAL, summary: "local energy and observables", cases: local_cases };
pub(crate) const STATISTICS_ENTRY: Entry =
    Entry { kernel: &STATISTICS, summary: "mean and variance over the samples", cases: statistics_cases };
pub(crate) const WEIGHTS_ENTRY: Entry =
    Entry { kernel: &WEIGHTS, summary: "count (E − Ē) / B", cases: weights_cases };

/// Off-diagonal terms of the cases: single flips, conditional and unconditional double flips within and between
/// patches.
fn test_moves(patches: u32) -> (Vec<u32>, Vec<u32>, u32) {
    let mut moves = Vec::new();
    for i in 0..patches {
        moves.push(([i, 1, u32::MAX, 0], 0));
        moves.push(([i, 1, i, 4], 1));
        moves.push(([i, 2, i, 8], 0));
        if i + 1 < patches {
            moves.push(([i, 2, patches - 1, 8], 1));
            moves.push(([i, 4, i + 1, 2], 0));
        }
    }
    let mut row = 0;
    let mut starts = Vec::new();
    for (change, condition) in &moves {
        starts.extend([row, *condition]);
        row += patches - change[0] - 1;
    }
    (moves.iter().flat_map(|(change, _)| *change).collect(), starts, row)
}

fn ratio_cases(_: &Gpu) -> Vec<Case> {
    let real = [(1, 1, 0, 1), (7, 4, 2, 5), (700, 9, 0, 700), (9000, 4, 0, 9000)].map(|shape| (shape, [0, 1]));
    let complex = [((7, 4, 2, 5), [0, 2]), ((700, 9, 0, 700), [1, 2])];
    real.into_iter().chain(complex).map(|(shape, parts)| ratio_case(shape, parts)).collect()
}

fn ratio_case((samples, patches, first, most): (u32, u32, u32, u32), [part, parts]: [u32; 2]) -> Case {
    let outcomes = 16;
    let mut random = RandomInputs::new(u64::from(samples * patches));
    let (moves, starts, rows_per_item) = test_moves(patches);
    let count = starts.len() / 2;
    let tokens = random.integers((samples * patches) as usize, outcomes);
    let sample_of = random.integers(samples as usize, samples);
    let logits = random.floats((samples * patches * outcomes) as usize);
    let log_p = random.floats((samples * patches) as usize);
    let row_log_p = random.floats((most * rows_per_item).max(1) as usize);
    let t = patches as usize;
    // Ratios of items outside the window remain unchanged.
    let before = random.floats(samples as usize * count * parts as usize);
    let (scale, never) = if part == 0 { (0.5, f64::from(NEG_LARGE)) } else { (1.0, 0.0) };
    let mut ratio: Vec<f64> = before.iter().map(|r| f64::from(*r)).collect();
    for u in 0..most as usize {
        let item = first as usize + u;
        let b = sample_of[item] as usize;
        for m in 0..count {
            let change = &moves[4 * m..4 * m + 4];
            let i = change[0] as usize;
            let token = tokens[b * t + i];
            let same_patch = change[2] == change[0];
            let flipped = token ^ change[1] ^ if same_patch { change[3] } else { 0 };
            let mut sum = f64::from(logits[(b * t + i) * 16 + flipped as usize])
                - f64::from(logits[(b * t + i) * 16 + token as usize]);
            for p in i + 1..t {
                let row = u * rows_per_item as usize + starts[2 * m] as usize + p - i - 1;
                sum += f64::from(row_log_p[row]) - f64::from(log_p[b * t + p]);
            }
            let holds = starts[2 * m + 1] == 0
                || (token & change[1] != 0) != (tokens[b * t + change[2] as usize] & change[3] != 0);
            ratio[(item * count + m) * parts as usize + part as usize] = if holds { scale * sum } else { never };
        }
    }
    let shape = ConnectedShape {
        window: Window { items: most.into(), first, capacity: most, samples, patches },
        moves: count as u32,
        rows_per_item,
        outcomes,
        part,
        parts,
    };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let kernel = AmplitudeRatio::from_case(buffers)?;
        kernel.record(plan, &shape)
    };
    Case {
        name: format!("({samples}, {patches}), {count} moves from {first}, part {part} of {parts}"),
        inputs: vec![
            ("tokens", tokens.into()),
            ("sample_of", sample_of.into()),
            ("logits", logits.into()),
            ("log_p", log_p.into()),
            ("row_log_p", row_log_p.into()),
            ("moves", moves.into()),
            ("starts", starts.into()),
            ("ratio", before.into()),
        ],
        outputs: vec![("ratio", Expected::Near { values: ratio, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}

fn sites_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1, 1, 0), (5, 4, 4, 1), (70, 7, 3, 0), (9000, 2, 4, 0)].into_iter().map(sites_case).collect()
}

fn sites_case((samples, patches, p, first): (u32, u32, u32, u32)) -> Case {
    let most = samples - first;
    let sites = patches * p;
    let mut random = RandomInputs::new(u64::from(samples * sites));
    let tokens = random.integers((samples * patches) as usize, 1 << p);
    let sample_of = random.integers(samples as usize, samples);
    let field = random.floats(sites as usize);
    let (mut table, mut pairs): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut couplings = Vec::new();
    for q in 0..sites {
        table.extend([pairs.len() as u32 / 2, field[q as usize].to_bits()]);
        for other in q + 1..sites {
            let value = random.floats(1)[0];
            pairs.extend([(other / p) << 5 | (other % p), value.to_bits()]);
            couplings.push((q, other, f64::from(value)));
        }
    }
    table.extend([pairs.len() as u32 / 2, 0]);
    pairs.extend([0, 0]);
    let mut expected = Vec::new();
    for u in 0..most {
        let b = sample_of[(first + u) as usize];
        let n = |q: u32| f64::from(tokens[(b * patches + q / p) as usize] >> (q % p) & 1);
        let mut energies: Vec<f64> = (0..sites).map(|q| n(q) * f64::from(field[q as usize])).collect();
        couplings.iter().for_each(|(q, other, value)| energies[*q as usize] += n(*q) * n(*other) * value);
        expected.extend(energies);
    }
    let shape = EnergyShape {
        window: Window { items: most.into(), first, capacity: most, samples, patches },
        sites,
        sites_per_patch: p,
        pairs: couplings.len() as u32,
        moves: 0,
        parts: 1,
        constant: 0.0,
        sign_sum: 0.0,
    };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let kernel = EnergySites::from_case(buffers)?;
        kernel.record(plan, &shape)
    };
    Case {
        name: format!("({samples}, {patches}, {p}) from {first}"),
        inputs: vec![
            ("tokens", tokens.into()),
            ("sample_of", sample_of.into()),
            ("sites", table.into()),
            ("pairs", pairs.into()),
        ],
        outputs: vec![("site_energy", Expected::Near { values: expected, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}

fn local_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 1, 0, 1.0), (5, 4, 4, 1, 3.0), (700, 7, 3, 0, 20.0), (70_000, 2, 1, 0, 1.0)];
    let complex = [((5, 4, 4, 1, 3.0), 2), ((700, 7, 3, 0, 20.0), 2)];
    shapes.map(|shape| (shape, 1)).into_iter().chain(complex).map(|(shape, parts)| local_case(shape, parts)).collect()
}

fn local_case((samples, patches, p, first, spread): (u32, u32, u32, u32, f32), parts: u32) -> Case {
    let (most, sites) = (samples - first, patches * p);
    let moves = sites + 1;
    let mut random = RandomInputs::new(u64::from(samples * sites));
    let tokens = random.integers((samples * patches) as usize, 1 << p);
    let sample_of = random.integers(samples as usize, samples);
    let site_energy = random.floats((most * sites) as usize);
    let mut ratio: Vec<f32> = random.floats((samples * moves * parts) as usize).iter().map(|r| spread * r).collect();
    if parts == 2 {
        // Phases of up to ten turns.
        ratio.iter_mut().skip(1).step_by(2).for_each(|phase| *phase *= 64.0 / spread);
    }
    // The condition of the last move never holds.
    let last = (sites * parts) as usize;
    ratio.iter_mut().skip(last).step_by((moves * parts) as usize).for_each(|r| *r = NEG_LARGE);
    let amplitudes: Vec<f32> =
        (0..moves).flat_map(|m| [-random.floats(1)[0].abs(), f32::from(u8::from(m < sites))]).collect();
    let signs = random.integers(patches as usize, 1 << p);
    let sign_of = |q: u32| signs[(q / p) as usize] >> (q % p) & 1 == 1;
    let positive: Vec<bool> = (0..sites).map(sign_of).collect();
    let sign_sum = positive.iter().map(|s| if *s { 1.0 } else { -1.0 }).sum::<f32>();
    let constant = 0.5;
    let (n, m) = (sites as usize, (moves * parts) as usize);
    let before = random.floats((samples * COLUMNS) as usize);
    let mut values: Vec<f64> = before.iter().map(|v| f64::from(*v)).collect();
    for u in 0..most as usize {
        let item = first as usize + u;
        let b = sample_of[item];
        let occupied: Vec<bool> =
            (0..sites).map(|q| tokens[(b * patches + q / p) as usize] >> (q % p) & 1 == 1).collect();
        let (energies, ratios) = (&site_energy[u * n..(u + 1) * n], &ratio[item * m..(item + 1) * m]);
        let local = local_reference(&occupied, &positive, energies, ratios, parts as usize, &amplitudes, constant);
        values[item * COLUMNS as usize..(item + 1) * COLUMNS as usize].copy_from_slice(&local);
    }
    let shape = EnergyShape {
        window: Window { items: most.into(), first, capacity: most, samples, patches },
        sites,
        sites_per_patch: p,
        pairs: 0,
        moves,
        parts,
        constant,
        sign_sum,
    };
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let kernel = EnergyLocal::from_case(buffers)?;
        kernel.record(plan, &shape)
    };
    Case {
        name: format!("({samples}, {patches}, {p}) from {first}, log ratios up to {spread}, parts {parts}"),
        inputs: vec![
            ("tokens", tokens.into()),
            ("sample_of", sample_of.into()),
            ("site_energy", site_energy.into()),
            ("ratio", ratio.into()),
            ("amplitudes", amplitudes.into()),
            ("signs", signs.into()),
            ("values", before.into()),
        ],
        outputs: vec![("values", Expected::Near { values, tolerance: 3e-6 })],
        record: Box::new(record),
    }
}

fn statistics_cases(_: &Gpu) -> Vec<Case> {
    [(1, 1), (64, 64), (65, 32), (1000, 128), (70_000, 70_000)].into_iter().map(statistics_case).collect()
}

fn statistics_case((samples, group): (u32, u32)) -> Case {
    let mut random = RandomInputs::new(u64::from(samples));
    // Mean far larger than the spread, where a sum of squares would lose precision.
    let values: Vec<f32> = random.floats((samples * COLUMNS) as usize).iter().map(|v| 100.0 + v).collect();
    let dedup_of: Vec<u32> = (0..samples).map(|b| random.integers(1, b % group + 1)[0]).collect();
    let mut expected = Vec::new();
    for k in 0..COLUMNS {
        let value = |b: u32| f64::from(values[((b - b % group + dedup_of[b as usize]) * COLUMNS + k) as usize]);
        let mean = (0..samples).map(value).sum::<f64>() / f64::from(samples);
        let squares: f64 = (0..samples).map(|b| (value(b) - mean).powi(2)).sum();
        expected.push((mean, squares / f64::from(samples.max(2) - 1)));
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let kernel = Statistics::from_case(buffers)?;
        kernel.record(plan, samples, group)
    };
    let interleaved = expected.iter().flat_map(|(mean, variance)| [*mean, *variance]).collect();
    Case {
        name: format!("({samples}) in groups of {group}"),
        inputs: vec![("values", values.into()), ("dedup_of", dedup_of.into())],
        outputs: vec![("statistics", Expected::Near { values: interleaved, tolerance: 1e-6 })],
        record: Box::new(record),
    }
}

fn weights_cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 64, 64), (64, 64, 64), (127, 64, 128), (1000, 64, 512), (70_000, 20_032, 32_768)];
    let complex = [((127, 64, 128), Some(128)), ((1000, 64, 512), Some(1024))];
    shapes.map(|shape| (shape, None)).into_iter().chain(complex).map(|(shape, at)| weights_case(shape, at)).collect()
}

fn weights_case((samples, group, span): (u32, u32, u32), phase_at: Option<u32>) -> Case {
    let mut random = RandomInputs::new(u64::from(samples));
    let values = random.floats((samples * COLUMNS) as usize);
    let statistics = random.floats(2 * COLUMNS as usize);
    let count = random.integers(samples as usize, 9);
    // Positions within the group of a sample, and samples within the span of a position.
    let within = |b: u32, part: u32, random: &mut RandomInputs| {
        let first = b - b % part;
        random.integers(1, part.min(samples - first))[0]
    };
    let dedup_of: Vec<u32> = (0..samples).map(|b| within(b, group, &mut random)).collect();
    let sample_of: Vec<u32> = (0..samples).map(|i| within(i, span, &mut random)).collect();
    let weight = |i: u32, column: Column| {
        let b = i - i % span + sample_of[i as usize];
        let value = column.of(&values[((b - b % group + dedup_of[b as usize]) * COLUMNS) as usize..]);
        let mean = f64::from(statistics[2 * column as usize]);
        f64::from(count[i as usize]) * (value - mean) / f64::from(samples)
    };
    let mut expected: Vec<f64> = (0..samples).map(|i| weight(i, Column::Energy)).collect();
    // Elements between the two kinds of weights remain unchanged.
    let before = random.floats((phase_at.unwrap_or(0) + samples) as usize);
    if let Some(at) = phase_at {
        expected.extend(before[samples as usize..at as usize].iter().map(|v| f64::from(*v)));
        expected.extend((0..samples).map(|i| 2.0 * weight(i, Column::ImaginaryEnergy)));
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [values, dedup_of, sample_of] = buffers.views(["values", "dedup_of", "sample_of"])?;
        let [count, statistics, d_log_psi] = buffers.views(["count", "statistics", "d_log_psi"])?;
        let kernel = EnergyGradientWeights { values, dedup_of, sample_of, count, statistics, d_log_psi, phase_at };
        kernel.record(plan, samples, group, span)
    };
    Case {
        name: format!("({samples}) in groups of {group}, spans of {span}, phases {}", phase_at.is_some()),
        outputs: vec![("d_log_psi", Expected::Near { values: expected, tolerance: 1e-6 })],
        inputs: vec![
            ("values", values.into()),
            ("dedup_of", dedup_of.into()),
            ("sample_of", sample_of.into()),
            ("count", count.into()),
            ("statistics", statistics.into()),
            ("d_log_psi", before.into()),
        ],
        record: Box::new(record),
    }
}
