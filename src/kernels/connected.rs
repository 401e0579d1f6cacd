//! Configurations that moves lead to from distinct samples, for wave functions whose ratios need a whole pass over each:
//! which there are, their spins, and the ratios of their amplitudes.
//!
//! Only the GPU knows which moves hold. `connected_count`, `connected_offsets` and `connected_list` make a list of the pairs
//! (item, move) that do, sample by sample and move by move, and count them; passes over the list have live rows.

use super::energy::NEG_LARGE;
use super::rows::Window;
use super::{Case, Entry, Expected, Named, RandomInputs, kernel};
use crate::error::Result;
use crate::gpu::{Bind, Cost, Gpu, Kernel, Launch, LiveRows, Param, Plan, Rows, View};

static COUNT: Kernel = kernel!("connected_count");
static OFFSETS: Kernel = kernel!("connected_offsets");
static LIST: Kernel = kernel!("connected_list");
static SPINS: Kernel = kernel!("connected_spins");
static RATIO: Kernel = kernel!("connected_ratio");

pub(super) const COUNT_ENTRY: Entry =
    Entry { kernel: &COUNT, summary: "how many moves of each sample hold", cases: count_cases };
pub(super) const OFFSETS_ENTRY: Entry =
    Entry { kernel: &OFFSETS, summary: "where their list of each sample begins", cases: offsets_cases };
pub(super) const LIST_ENTRY: Entry =
    Entry { kernel: &LIST, summary: "pairs of a sample and a move that holds", cases: list_cases };
pub(super) const SPINS_ENTRY: Entry =
    Entry { kernel: &SPINS, summary: "spins of samples after moves as rows", cases: spins_cases };
pub(super) const RATIO_ENTRY: Entry =
    Entry { kernel: &RATIO, summary: "complex log ψ'/ψ of the pairs", cases: ratio_cases };

/// The Hamiltonian's moves over samples.
#[derive(Debug, Clone)]
pub struct Connected {
    /// (B, T) u32
    pub tokens: View,
    /// (B) u32: sample of each distinct sample
    pub sample_of: View,
    /// (moves) of four u32: first patch, mask, second patch or `u32::MAX`, mask
    pub moves: View,
    /// (moves) of two u32: not read, condition
    pub starts: View,
    /// How many moves.
    pub count: u32,
}

/// The list of pairs that hold, and the scratch of making it.
#[derive(Debug, Clone)]
pub struct ConnectedList {
    /// (items) u32
    pub counts: View,
    /// (items) u32
    pub offsets: View,
    /// (items · moves) of two u32: item, move
    pub pairs: View,
    /// (1) u32: how many; a word of the plan's counters, so that grids can follow it
    pub total: View,
}

impl Connected {
    fn bindings(&self, window: &Window) -> [Bind<'_>; 4] {
        let (b, t, moves) = (u64::from(window.samples), u64::from(window.patches), u64::from(self.count));
        [
            Bind { name: "tokens", view: &self.tokens, elements: b * t },
            Bind { name: "sample_of", view: &self.sample_of, elements: b },
            Bind { name: "moves", view: &self.moves, elements: 4 * moves },
            Bind { name: "starts", view: &self.starts, elements: 2 * moves },
        ]
    }

    fn params(&self, window: &Window, first_item: u32) -> [(&'static str, Param); 6] {
        [
            ("items", window.most.into()),
            ("moves", self.count.into()),
            ("patches", window.patches.into()),
            ("first", window.first.into()),
            ("samples", window.samples.into()),
            ("first_item", first_item.into()),
        ]
    }

    fn text(&self, window: &Window) -> String {
        format!("({}, {})", window.most, self.count)
    }

    /// Records the list of the pairs of a window that hold, and `ratio` (B, moves, 2) of those that do not.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn list(&self, plan: &mut Plan, window: &Window, list: &ConnectedList, ratio: &View) -> Result<()> {
        self.record_counts(plan, window, &list.counts)?;
        let items = u64::from(window.most);
        plan.launch(&Launch {
            kernel: &OFFSETS,
            spec: &[],
            bindings: &[
                Bind { name: "counts", view: &list.counts, elements: items },
                Bind { name: "offsets", view: &list.offsets, elements: items },
                Bind { name: "total", view: &list.total, elements: 1 },
            ],
            params: &[("items", window.most.into())],
            groups: crate::gpu::Groups::Fixed(1),
            cost: Cost { flops: 0.0, bytes: 8.0 * items as f64 },
            shape: self.text(window),
        })?;
        self.record_pairs(plan, window, list, ratio)
    }

    fn record_counts(&self, plan: &mut Plan, window: &Window, counts: &View) -> Result<()> {
        let (live, first_item, _) = window.items.counter(plan.gpu())?;
        let items = u64::from(window.most);
        let mut bindings = self.bindings(window).to_vec();
        bindings.push(Bind { name: "live", view: &live, elements: 1 });
        bindings.push(Bind { name: "counts", view: counts, elements: items });
        plan.launch(&Launch {
            kernel: &COUNT,
            spec: &[],
            bindings: &bindings,
            params: &self.params(window, first_item),
            groups: Rows::from(window.most).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 12.0 * (items * u64::from(self.count)) as f64 },
            shape: self.text(window),
        })
    }

    fn record_pairs(&self, plan: &mut Plan, window: &Window, list: &ConnectedList, ratio: &View) -> Result<()> {
        let (live, first_item, _) = window.items.counter(plan.gpu())?;
        let (items, moves) = (u64::from(window.most), u64::from(self.count));
        let mut bindings = self.bindings(window).to_vec();
        bindings.extend([
            Bind { name: "offsets", view: &list.offsets, elements: items },
            Bind { name: "live", view: &live, elements: 1 },
            Bind { name: "pairs", view: &list.pairs, elements: 2 * items * moves },
            Bind { name: "ratio", view: ratio, elements: 2 * u64::from(window.samples) * moves },
        ]);
        plan.launch(&Launch {
            kernel: &LIST,
            spec: &[],
            bindings: &bindings,
            params: &self.params(window, first_item),
            groups: window.items.groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 20.0 * (items * moves) as f64 },
            shape: self.text(window),
        })
    }

    /// Records the spins (rows, N) of the pairs from `first` on, N = T·`sites_per_patch`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn spins(
        &self,
        plan: &mut Plan,
        window: &Window,
        pairs: &View,
        (rows, first): (&Rows, u32),
        sites_per_patch: u32,
        spins: &View,
    ) -> Result<()> {
        let sites = window.patches * sites_per_patch;
        let (count, n) = (u64::from(rows.most), u64::from(sites));
        let [tokens, sample_of, moves, _] = self.bindings(window);
        plan.launch(&Launch {
            kernel: &SPINS,
            spec: &[],
            bindings: &[
                tokens,
                sample_of,
                moves,
                Bind { name: "pairs", view: pairs, elements: 2 * (u64::from(first) + count) },
                Bind { name: "spins", view: spins, elements: count * n },
            ],
            params: &[
                ("rows", rows.most.into()),
                ("sites", sites.into()),
                ("sites_per_patch", sites_per_patch.into()),
                ("patches", window.patches.into()),
                ("first", first.into()),
                ("samples", window.samples.into()),
                ("moves", self.count.into()),
            ],
            groups: rows.times(sites).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 8.0 * (count * n) as f64 },
            shape: format!("({count}, {n})"),
        })
    }
}

/// Complex ratios of pairs.
#[derive(Debug, Clone)]
pub struct ConnectedRatio {
    /// The list's pairs.
    pub pairs: View,
    /// The list's total.
    pub total: View,
    /// (B) u32
    pub sample_of: View,
    /// (rows) log ψ² and (rows) phase after the moves
    pub moved: [View; 2],
    /// (B) log ψ² and (B) phase of the samples
    pub own: [View; 2],
    /// (B, moves, 2)
    pub ratio: View,
}

impl ConnectedRatio {
    /// Records the ratios of the pairs from `first` on, of `samples` samples with `moves` moves.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, (rows, first): (&Rows, u32), samples: u32, moves: u32) -> Result<()> {
        let (count, b) = (u64::from(rows.most), u64::from(samples));
        plan.launch(&Launch {
            kernel: &RATIO,
            spec: &[],
            bindings: &[
                Bind { name: "pairs", view: &self.pairs, elements: 2 * (u64::from(first) + count) },
                Bind { name: "sample_of", view: &self.sample_of, elements: b },
                Bind { name: "moved_log_p", view: &self.moved[0], elements: count },
                Bind { name: "moved_phase", view: &self.moved[1], elements: count },
                Bind { name: "log_p", view: &self.own[0], elements: b },
                Bind { name: "phase", view: &self.own[1], elements: b },
                Bind { name: "total", view: &self.total, elements: 1 },
                Bind { name: "ratio", view: &self.ratio, elements: 2 * b * u64::from(moves) },
            ],
            params: &[("rows", rows.most.into()), ("first", first.into()), ("moves", moves.into())],
            groups: rows.groups(64, 1),
            cost: Cost { flops: 8.0 * count as f64, bytes: 32.0 * count as f64 },
            shape: format!("({count})"),
        })
    }
}

/// Samples with moves, of which a window is taken.
struct Example {
    samples: u32,
    patches: u32,
    first: u32,
    /// Items of the window that are live.
    live: u32,
    most: u32,
    tokens: Vec<u32>,
    sample_of: Vec<u32>,
    moves: Vec<[u32; 4]>,
    starts: Vec<[u32; 2]>,
}

const SITES_PER_PATCH: u32 = 3;

/// Samples, patches, first item, live items, items at most.
const EXAMPLES: [[u32; 5]; 5] =
    [[1, 1, 0, 1, 1], [9, 4, 2, 5, 7], [64, 5, 0, 64, 64], [70, 3, 3, 0, 60], [66_000, 2, 10, 65_800, 65_990]];

impl Example {
    fn new([samples, patches, first, live, most]: [u32; 5]) -> Self {
        let mut random = RandomInputs::new(u64::from(samples + patches));
        let tokens = random.integers((samples * patches) as usize, 1 << SITES_PER_PATCH);
        let sample_of = random.integers(samples as usize, samples);
        // Every patch has a flip, an exchange inside it and one with the last patch that always or perhaps holds.
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
        Self { samples, patches, first, live, most, tokens, sample_of, moves, starts }
    }

    fn sample(&self, item: u32) -> &[u32] {
        &self.tokens[(self.sample_of[item as usize] * self.patches) as usize..][..self.patches as usize]
    }

    fn holds(&self, item: u32, m: usize) -> bool {
        let ([first, mask, second, other], tokens) = (self.moves[m], self.sample(item));
        let is_set = |patch: u32, mask: u32| tokens[patch as usize] & mask != 0;
        self.starts[m][1] != 1 || is_set(first, mask) != is_set(second, other)
    }

    /// The live items' pairs that hold.
    fn pairs(&self) -> Vec<[u32; 2]> {
        let of_item = |item| (0..self.moves.len()).filter(move |m| self.holds(item, *m)).map(move |m| [item, m as u32]);
        (self.first..self.first + self.live).flat_map(of_item).collect()
    }

    fn counts(&self) -> Vec<u32> {
        let count = |item| (0..self.moves.len()).filter(|m| self.holds(item, *m)).count() as u32;
        (0..self.most).map(|u| if u < self.live { count(self.first + u) } else { 0 }).collect()
    }

    fn inputs(&self) -> Vec<(&'static str, super::Values)> {
        vec![
            ("tokens", self.tokens.clone().into()),
            ("sample_of", self.sample_of.clone().into()),
            ("moves", self.moves.concat().into()),
            ("starts", self.starts.concat().into()),
            ("live", vec![self.first + self.live, 0].into()),
        ]
    }

    fn name(&self) -> String {
        format!("{} of {} items of {} patches, {} moves", self.live, self.most, self.patches, self.moves.len())
    }

    fn window(&self, live: View) -> Window {
        let items = LiveRows::new(live, self.first, self.most, 1).into();
        Window { items, first: self.first, most: self.most, samples: self.samples, patches: self.patches }
    }

    fn connected(named: &Named, count: u32) -> Result<Connected> {
        let (tokens, sample_of) = (named.view("tokens")?, named.view("sample_of")?);
        Ok(Connected { tokens, sample_of, moves: named.view("moves")?, starts: named.view("starts")?, count })
    }

    /// A case that runs `record` with the moves and the window.
    fn case(
        self,
        more: Vec<(&'static str, super::Values)>,
        outputs: Vec<(&'static str, Expected)>,
        record: impl Fn(&mut Plan, &Named, Connected, Window) -> Result<()> + 'static,
    ) -> Case {
        let (mut inputs, name, count) = (self.inputs(), self.name(), self.moves.len() as u32);
        inputs.extend(more);
        let record = move |plan: &mut Plan, named: &Named| {
            let live = named.view("live")?;
            plan.resolve_grids(&live)?;
            record(plan, named, Self::connected(named, count)?, self.window(live))
        };
        Case { name, inputs, outputs, record: Box::new(record) }
    }
}

fn count_cases(_: &Gpu) -> Vec<Case> {
    let case = |sizes| {
        let example = Example::new(sizes);
        let counts = example.counts();
        example.case(Vec::new(), vec![("counts", Expected::Exactly(counts))], |plan, named, connected, window| {
            connected.record_counts(plan, &window, &named.view("counts")?)
        })
    };
    EXAMPLES.into_iter().map(case).collect()
}

/// Offsets are only made on the way to a list, and so are their cases.
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
            ("pairs", vec![0u32; (2 * example.most * moves) as usize].into()),
            ("ratio", vec![0f32; of_ratio].into()),
        ];
        example.case(scratch, outputs, |plan, named, connected, window| {
            let [counts, offsets, pairs, total] = ["counts", "offsets", "pairs", "total"].map(|name| named.view(name));
            let list = ConnectedList { counts: counts?, offsets: offsets?, pairs: pairs?, total: total? };
            connected.list(plan, &window, &list, &named.view("ratio")?)
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
    // What no pair and no ratio is written to stays as it was.
    let mut pairs = vec![7; 2 * example.most as usize * moves];
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
    example.case(inputs, outputs, |plan, named, connected, window| {
        let (offsets, pairs) = (named.view("offsets")?, named.view("pairs")?);
        let list = ConnectedList { counts: offsets.clone(), offsets, pairs, total: named.view("live")? };
        connected.record_pairs(plan, &window, &list, &named.view("ratio")?)
    })
}

/// Some pairs of an example, from `first` on.
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
            super::rbm::spins_reference(&tokens, SITES_PER_PATCH)
        };
        let bits = pairs[first as usize..].iter().flat_map(moved).map(|spin| (spin as f32).to_bits()).collect();
        let outputs = vec![("spins", Expected::Exactly(bits))];
        example.case(vec![("pairs", pairs.concat().into())], outputs, move |plan, named, connected, window| {
            let (pairs, rows) = (named.view("pairs")?, Rows::from(rows));
            connected.spins(plan, &window, &pairs, (&rows, first), SITES_PER_PATCH, &named.view("spins")?)
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
    example.case(inputs, outputs, move |plan, named, connected, _| {
        let ratio = ConnectedRatio {
            pairs: named.view("pairs")?,
            total: named.view("total")?,
            sample_of: connected.sample_of,
            moved: [named.view("moved_log_p")?, named.view("moved_phase")?],
            own: [named.view("log_p")?, named.view("phase")?],
            ratio: named.view("ratio")?,
        };
        ratio.record(plan, (&Rows::from(rows), first), samples, connected.count)
    })
}
