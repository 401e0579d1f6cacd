//! Test cases of [`crate::kernels::vmc::exclusions`].

use crate::gpu::{Gpu, Plan};
use crate::kernels::vmc::exclusions::{EXCLUDE, ExcludedRows, ExclusionShape, OutcomesExclude, exclude_reference};
use crate::kernels::vmc::rows::Window;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const ENTRY: Entry = Entry { kernel: &EXCLUDE, summary: "logits of outcomes next to occupied sites", cases };

const P: usize = 3;
const V: usize = 1 << P;

/// Pairs of each site of a chain of patches: its neighbor on the left, and a site two patches before.
fn pairs(patches: usize) -> Vec<Vec<[u32; 2]>> {
    let of_site = |(t, j): (usize, usize)| {
        let left = match j {
            0 if t == 0 => None,
            0 => Some([t as u32 - 1, 1 << (P - 1)]),
            _ => Some([t as u32, 1 << (j - 1)]),
        };
        let right = (j + 1 < P).then(|| [t as u32, 2 << j]);
        let far = (t >= 2 && j == 1).then(|| [t as u32 - 2, 0b101]);
        [left, right, far].into_iter().flatten().collect()
    };
    (0..patches).flat_map(|t| (0..P).map(move |j| (t, j))).map(of_site).collect()
}

fn cases(_: &Gpu) -> Vec<Case> {
    let drawn = [(5, 1, 0), (70, 4, 0), (70, 4, 3)].map(|(b, t, patch)| (b, t, Kind::Drawn(patch)));
    let others = [(5, 1, Kind::Samples), (70, 4, Kind::Samples), (33, 5, Kind::Connected)];
    drawn.into_iter().chain(others).map(case).collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Drawn(u32),
    Samples,
    Connected,
}

fn case((samples, patches, kind): (u32, u32, Kind)) -> Case {
    let t = patches as usize;
    let mut random = RandomInputs::new(u64::from(samples * patches));
    let tokens = random.integers(samples as usize * t, V as u32);
    let sample_of = random.integers(samples as usize, samples);
    let (first, items) = if kind == Kind::Samples { (2, samples - 3) } else { (1, samples / 2) };
    let moves: Vec<[u32; 4]> = (0..patches).map(|i| [i, 1 << (i % 3), (i + 1) % patches, 4]).collect();
    let table: Vec<[u32; 4]> =
        (0..patches).flat_map(|m| (1..patches).map(move |position| [m, position, m, 0])).collect();
    let by_site = pairs(t);
    let mut starts = vec![0u32];
    by_site.iter().for_each(|pairs| starts.push(starts[starts.len() - 1] + pairs.len() as u32));
    let flat: Vec<u32> = by_site.iter().flatten().flatten().copied().chain([0, 0]).collect();
    let window = Window { items: items.into(), first, capacity: items, samples, patches };
    // Sample, changes and position of each row that is written, with its index.
    let mut rows: Vec<(usize, Vec<u32>, usize)> = Vec::new();
    let configuration = |b: usize| tokens[b * t..(b + 1) * t].to_vec();
    let (excluded, all) = match kind {
        Kind::Drawn(patch) => {
            rows.extend((0..samples as usize).map(|b| (b * t + patch as usize, configuration(b), patch as usize)));
            (ExcludedRows::Drawn { patch, samples }, samples as usize * t)
        }
        Kind::Samples => {
            for u in 0..items as usize {
                let b = sample_of[first as usize + u] as usize;
                rows.extend((0..t).map(|position| (u * t + position, configuration(b), position)));
            }
            (ExcludedRows::Samples(window), items as usize * t)
        }
        Kind::Connected => {
            for u in 0..items as usize {
                let b = sample_of[first as usize + u] as usize;
                for (k, [_, position, m, _]) in table.iter().enumerate() {
                    let [one, mask, other, second] = moves[*m as usize];
                    let mut changed = configuration(b);
                    changed[one as usize] ^= mask;
                    changed[other as usize] ^= second;
                    rows.push((u * table.len() + k, changed, *position as usize));
                }
            }
            let (rows_per_item, moves) = (table.len() as u32, patches);
            (ExcludedRows::Connected { window, rows_per_item, moves }, items as usize * table.len())
        }
    };
    let logits = random.floats(all * V);
    let mut expected: Vec<f64> = logits.iter().map(|v| f64::from(*v)).collect();
    for (row, changed, position) in rows {
        exclude_reference(&mut expected[row * V..(row + 1) * V], &changed, position, P, &by_site);
    }
    let count = flat.len() as u32 / 2;
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let shape = ExclusionShape { patches, sites_per_patch: P as u32, outcomes: V as u32, pairs: count };
        OutcomesExclude::from_case(buffers)?.record(plan, &excluded, &shape)
    };
    let table = if table.is_empty() { vec![[0; 4]] } else { table };
    Case {
        name: format!("({samples}, {patches}) {kind:?}"),
        inputs: vec![
            ("tokens", tokens.into()),
            ("sample_of", sample_of.into()),
            ("table", table.concat().into()),
            ("moves", moves.concat().into()),
            ("starts", starts.into()),
            ("pairs", flat.into()),
            ("logits", logits.into()),
        ],
        outputs: vec![("logits", Expected::Exactly(expected.iter().map(|logit| (*logit as f32).to_bits()).collect()))],
        record: Box::new(record),
    }
}
