//! Test cases of [`crate::kernels::vmc::connected`].

use crate::error::Result;
use crate::gpu::{DynamicRows, Gpu, Plan, Rows, View};
use crate::kernels::vmc::connected::{COUNT, Connected, ConnectedList, ConnectedRatio, LIST, OFFSETS, RATIO, SPINS};
use crate::kernels::vmc::energy::NEG_LARGE;
use crate::kernels::vmc::rows::Window;
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs};

pub(crate) const COUNT_ENTRY: Entry =
    Entry { kernel: &COUNT, summary: "number of connected configurations of each sample", cases: count_cases };
pub(crate) const OFFSETS_ENTRY: Entry =
    Entry { kernel: &OFFSETS, summary: "offsets in the list of connected configurations", cases: offsets_cases };
pub(crate) const LIST_ENTRY: Entry =
    Entry { kernel: &LIST, summary: "list of connected configurations: pairs of sample and move", cases: list_cases };
pub(crate) const SPINS_ENTRY: Entry =
    Entry { kernel: &SPINS, summary: "spins of connected configurations as rows", cases: spins_cases };
pub(crate) const RATIO_ENTRY: Entry =
    Entry { kernel: &RATIO, summary: "complex log ψ'/ψ of connected configurations", cases: ratio_cases };

/// Samples and off-diagonal terms, with a window of the samples.
struct Example {
    samples: u32,
    patches: u32,
    first: u32,
    /// Dynamic number of items of the window.
    live: u32,
    capacity: u32,
    tokens: Vec<u32>,
    sample_of: Vec<u32>,
    moves: Vec<[u32; 4]>,
    starts: Vec<[u32; 2]>,
}

const SITES_PER_PATCH: u32 = 3;

/// Samples, patches, first item, dynamic number of items, capacity.
const EXAMPLES: [[u32; 5]; 5] =
    [[1, 1, 0, 1, 1], [9, 4, 2, 5, 7], [64, 5, 0, 64, 64], [70, 3, 3, 0, 60], [66_000, 2, 10, 65_800, 65_990]];

impl Example {
    fn new([samples, patches, first, live, most]: [u32; 5]) -> Self {
        let mut random = RandomInputs::new(u64::from(samples + patches));
        let tokens = random.integers((samples * patches) as usize, 1 << SITES_PER_PATCH);
        let sample_of = random.integers(samples as usize, samples);
        // Each patch has a flip, a conditional exchange within the patch, and two changes with the last patch: one
        // conditional, one unconditional.
        let of_patch = |t: u32| {
            let last = patches - 1;
            [
                ([t, 1, u32::MAX, 0], [t, 0]),
                ([t, 1, t, 2], [t, 1]),
                ([t, 4, last, 2], [t, 1]),
                ([t, 2, last, 1], [t, 0]),
            ]
        };
        let (moves, starts) = (0..patches).flat_map(of_patch).unzip();
        Self { samples, patches, first, live, capacity: most, tokens, sample_of, moves, starts }
    }

    fn sample(&self, item: u32) -> &[u32] {
        &self.tokens[(self.sample_of[item as usize] * self.patches) as usize..][..self.patches as usize]
    }

    fn holds(&self, item: u32, m: usize) -> bool {
        let ([first, mask, second, other], tokens) = (self.moves[m], self.sample(item));
        let is_set = |patch: u32, mask: u32| tokens[patch as usize] & mask != 0;
        self.starts[m][1] != 1 || is_set(first, mask) != is_set(second, other)
    }

    /// Pairs of the counted items whose condition holds.
    fn pairs(&self) -> Vec<[u32; 2]> {
        let of_item = |item| (0..self.moves.len()).filter(move |m| self.holds(item, *m)).map(move |m| [item, m as u32]);
        (self.first..self.first + self.live).flat_map(of_item).collect()
    }

    fn counts(&self) -> Vec<u32> {
        let count = |item| (0..self.moves.len()).filter(|m| self.holds(item, *m)).count() as u32;
        (0..self.capacity).map(|u| if u < self.live { count(self.first + u) } else { 0 }).collect()
    }

    fn inputs(&self) -> Vec<(&'static str, crate::kernels::Values)> {
        vec![
            ("tokens", self.tokens.clone().into()),
            ("sample_of", self.sample_of.clone().into()),
            ("moves", self.moves.concat().into()),
            ("starts", self.starts.concat().into()),
            ("live", vec![self.first + self.live, 0].into()),
        ]
    }

    fn name(&self) -> String {
        format!("{} of {} items of {} patches, {} moves", self.live, self.capacity, self.patches, self.moves.len())
    }

    fn window(&self, live: View) -> Window {
        let items = DynamicRows::new(live, self.first, self.capacity, 1).into();
        Window { items, first: self.first, capacity: self.capacity, samples: self.samples, patches: self.patches }
    }

    fn connected(buffers: &CaseBuffers, count: u32) -> Result<Connected> {
        let [tokens, sample_of, moves, starts] = buffers.views(["tokens", "sample_of", "moves", "starts"])?;
        Ok(Connected { tokens, sample_of, moves, starts, count })
    }

    /// Creates a case that runs `record` with the off-diagonal terms and the window.
    fn case(
        self,
        more: Vec<(&'static str, crate::kernels::Values)>,
        outputs: Vec<(&'static str, Expected)>,
        record: impl Fn(&mut Plan, &CaseBuffers, Connected, Window) -> Result<()> + 'static,
    ) -> Case {
        let (mut inputs, name, count) = (self.inputs(), self.name(), self.moves.len() as u32);
        inputs.extend(more);
        let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
            let live = buffers.view("live")?;
            plan.write_indirect_args(&live)?;
            record(plan, buffers, Self::connected(buffers, count)?, self.window(live))
        };
        Case { name, inputs, outputs, record: Box::new(record) }
    }
}

fn count_cases(_: &Gpu) -> Vec<Case> {
    let case = |sizes| {
        let example = Example::new(sizes);
        let counts = example.counts();
        example.case(Vec::new(), vec![("counts", Expected::Exactly(counts))], |plan, buffers, connected, window| {
            connected.record_counts(plan, &window, &buffers.view("counts")?)
        })
    };
    EXAMPLES.into_iter().map(case).collect()
}

/// Cases of the complete list, because offsets are only recorded as part of it.
fn offsets_cases(_: &Gpu) -> Vec<Case> {
    let case = |sizes| {
        let example = Example::new(sizes);
        let (counts, moves) = (example.counts(), example.moves.len() as u32);
        let offsets = counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count))).collect();
        let total = counts.iter().sum();
        let of_ratio = (2 * example.samples * moves) as usize;
        let outputs = vec![
            ("offsets", Expected::Exactly(offsets)),
            ("total", Expected::Exactly(vec![total])),
            ("counts", Expected::Exactly(counts)),
        ];
        let scratch = vec![
            ("pairs", vec![0u32; (2 * example.capacity * moves) as usize].into()),
            ("ratio", vec![0f32; of_ratio].into()),
        ];
        example.case(scratch, outputs, |plan, buffers, connected, window| {
            let list = ConnectedList::from_case(buffers)?;
            connected.list(plan, &window, &list, &buffers.view("ratio")?)
        })
    };
    EXAMPLES.into_iter().map(case).collect()
}

fn list_cases(_: &Gpu) -> Vec<Case> {
    EXAMPLES.into_iter().map(list_case).collect()
}

fn list_case(sizes: [u32; 5]) -> Case {
    let example = Example::new(sizes);
    let moves = example.moves.len();
    let counts = example.counts();
    let offsets: Vec<u32> = counts.iter().scan(0, |sum, count| Some(std::mem::replace(sum, *sum + count))).collect();
    // Elements that no pair or ratio is written to remain unchanged.
    let mut pairs = vec![7; 2 * example.capacity as usize * moves];
    let held = example.pairs().concat();
    pairs[..held.len()].copy_from_slice(&held);
    let mut ratio = vec![0.25f32; 2 * example.samples as usize * moves];
    let before = ratio.clone();
    for item in example.first..example.first + example.live {
        for m in (0..moves).filter(|m| !example.holds(item, *m)) {
            let at = 2 * (item as usize * moves + m);
            ratio[at..at + 2].copy_from_slice(&[NEG_LARGE, 0.0]);
        }
    }
    let inputs = vec![("offsets", offsets.into()), ("pairs", vec![7u32; pairs.len()].into()), ("ratio", before.into())];
    let bits = ratio.iter().map(|ratio| ratio.to_bits()).collect();
    let outputs = vec![("pairs", Expected::Exactly(pairs)), ("ratio", Expected::Exactly(bits))];
    example.case(inputs, outputs, |plan, buffers, connected, window| {
        let list = ConnectedList::from_case(&buffers.standing_in("live")?)?;
        connected.record_pairs(plan, &window, &list, &buffers.view("ratio")?)
    })
}

/// Returns the pairs of an example, and the first index and the length of a chunk of them.
fn chunk(example: &Example) -> (Vec<[u32; 2]>, u32, u32) {
    let pairs = example.pairs();
    let first = (pairs.len() / 3) as u32;
    let rows = pairs.len() as u32 - first;
    (pairs, first, rows)
}

fn spins_cases(_: &Gpu) -> Vec<Case> {
    let case = |sizes| {
        let example = Example::new(sizes);
        let (pairs, first, rows) = chunk(&example);
        let moved = |[item, m]: &[u32; 2]| {
            let mut tokens = example.sample(*item).to_vec();
            let [a, mask, b, other] = example.moves[*m as usize];
            tokens[a as usize] ^= mask;
            if b != u32::MAX {
                tokens[b as usize] ^= other;
            }
            crate::kernels::vmc::spins::spins_reference(&tokens, SITES_PER_PATCH)
        };
        let bits = pairs[first as usize..].iter().flat_map(moved).map(|spin| (spin as f32).to_bits()).collect();
        let outputs = vec![("spins", Expected::Exactly(bits))];
        example.case(vec![("pairs", pairs.concat().into())], outputs, move |plan, buffers, connected, window| {
            let (pairs, rows) = (buffers.view("pairs")?, Rows::from(rows));
            connected.spins(plan, &window, &pairs, (&rows, first), SITES_PER_PATCH, &buffers.view("spins")?)
        })
    };
    EXAMPLES.into_iter().filter(|[.., live, _]| *live > 0).map(case).collect()
}

fn ratio_cases(_: &Gpu) -> Vec<Case> {
    EXAMPLES.into_iter().filter(|[.., live, _]| *live > 0).map(ratio_case).collect()
}

/// Ratios of a chunk whose last row is beyond the total.
fn ratio_case(sizes: [u32; 5]) -> Case {
    let example = Example::new(sizes);
    let (pairs, first, rows) = chunk(&example);
    let (moves, samples) = (example.moves.len(), example.samples);
    let mut random = RandomInputs::new(rows.into());
    let mut floats = |count: u32, size: f32| -> Vec<f32> {
        random.floats(count as usize).into_iter().map(|value| size * value).collect()
    };
    let (moved_log_p, moved_phase) = (floats(rows, 4.0), floats(rows, 30.0));
    let (log_p, phase) = (floats(samples, 4.0), floats(samples, 30.0));
    let mut ratio = vec![0.5f64; 2 * samples as usize * moves];
    for (row, [item, m]) in pairs[first as usize..pairs.len() - 1].iter().enumerate() {
        let (b, at) = (example.sample_of[*item as usize] as usize, 2 * (*item as usize * moves + *m as usize));
        ratio[at] = 0.5 * (f64::from(moved_log_p[row]) - f64::from(log_p[b]));
        let turn = f64::from(moved_phase[row] - phase[b]);
        ratio[at + 1] = turn - (turn / std::f64::consts::TAU).round() * std::f64::consts::TAU;
    }
    let inputs = vec![
        ("total", vec![pairs.len() as u32 - 1].into()),
        ("pairs", pairs.concat().into()),
        ("moved_log_p", moved_log_p.into()),
        ("moved_phase", moved_phase.into()),
        ("log_p", log_p.into()),
        ("phase", phase.into()),
        ("ratio", vec![0.5f32; ratio.len()].into()),
    ];
    let outputs = vec![("ratio", Expected::Near { values: ratio, tolerance: 2e-6 })];
    example.case(inputs, outputs, move |plan, buffers, connected, _| {
        let [pairs, total, ratio] = buffers.views(["pairs", "total", "ratio"])?;
        let (moved, own) = (buffers.views(["moved_log_p", "moved_phase"])?, buffers.views(["log_p", "phase"])?);
        let ratio = ConnectedRatio { pairs, total, sample_of: connected.sample_of, moved, own, ratio };
        ratio.record(plan, (&Rows::from(rows), first), samples, connected.count)
    })
}
