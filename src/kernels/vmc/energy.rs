//! Local energies of deduplicated samples, their statistics, and the weights of the energy gradient.
//!
//! ```text
//! log ψ(σ')/ψ(σ) = ½ ( logits_i[σ'_i] − logits_i[σ_i] + Σ_{p>i} (log P'(p) − log P(p)) )     i = first changed patch
//! E(σ)           = constant + Σ_q n_q (field_q + Σ_{q'>q} V_qq' n_q') + Σ_m amplitude_m ψ(σ_m)/ψ(σ)
//! Ē, s²          = mean and unbiased variance over the B samples
//! ∂⟨H⟩/∂log P(σ) = Re (E(σ) − Ē) / B        ∂⟨H⟩/∂phase(σ) = 2 Im (E(σ) − Ē) / B
//! ```
//!
//! Sites are in patch order, q = t·P + j. A wave function is real and positive, ψ = √P, with one part per ratio, or
//! complex, log ψ = ½ log P + i·phase, with two parts. Sources of estimator and gradient: arXiv:2306.03921, section 2,
//! and for the complex form arXiv:2310.05715.
//!
//! A ratio is a sum of differences of logarithms, so that a small ratio of two small probabilities loses no digits, and
//! stays a logarithm until the last factor. For a complex wave function, `amplitude_ratio` also runs over the phases.
//! Mean and variance add all B samples in a fixed order, each through its deduplicated configuration, so that their
//! bits do not depend on deduplication.

use super::rows::Window;
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Groups, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static RATIO: Kernel = kernel!("vmc", "amplitude_ratio");
static SITES: Kernel = kernel!("vmc", "energy_sites");
static LOCAL: Kernel = kernel!("vmc", "energy_local");
static STATISTICS: Kernel = kernel!("vmc", "statistics");
static WEIGHTS: Kernel = kernel!("vmc", "energy_gradient_weights");

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

/// Number of columns of a sample's values: Re E, M, |M|, M², staggered, |staggered|, staggered², σˣ, Im E.
pub const COLUMNS: u32 = 9;
/// Column of Im E.
pub const IMAGINARY: usize = 8;
/// Logarithm that represents an amplitude of zero.
pub const NEG_LARGE: f32 = -1e30;

record! {
    /// log ψ(σ')/ψ(σ) of the connected configurations of a window, or with phases in place of logits and log P, the
    /// phase of the ratio.
    #[derive(Debug, Clone)]
    pub struct AmplitudeRatio {
        /// (B, T) u32
        pub tokens: View,
        /// (B) u32
        pub sample_of: View,
        /// (B, T, V)
        pub logits: View,
        /// (B, T)
        pub log_p: View,
        /// (items·R)
        pub row_log_p: View,
        /// (M) of four u32: first patch, mask, second patch, mask
        pub moves: View,
        /// (M) of two u32: first row within an item, condition
        pub starts: View,
        /// (B, M, parts)
        pub ratio: View,
    }
}

/// Shape of an [`AmplitudeRatio`].
#[derive(Debug, Clone)]
pub struct ConnectedShape {
    /// Window of deduplicated samples.
    pub window: Window,
    /// M, off-diagonal terms
    pub moves: u32,
    /// R, suffix rows per item
    pub rows_per_item: u32,
    /// V
    pub outcomes: u32,
    /// 0: logarithms, 1: phases.
    pub part: u32,
    /// Number of parts of a ratio.
    pub parts: u32,
}

impl AmplitudeRatio {
    /// Records the ratios.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &ConnectedShape) -> Result<()> {
        let window = &shape.window;
        let (b, t, m) = (u64::from(window.samples), u64::from(window.patches), u64::from(shape.moves));
        let items = u64::from(window.capacity);
        plan.launch(&Launch {
            kernel: &RATIO,
            spec: &[],
            bindings: &bind!(
                self.tokens[b * t],
                self.sample_of[b],
                self.logits[b * t * u64::from(shape.outcomes)],
                self.log_p[b * t],
                self.row_log_p[items * u64::from(shape.rows_per_item)],
                self.moves[4 * m],
                self.starts[2 * m],
                self.ratio[b * m * u64::from(shape.parts)]
            ),
            params: &[
                ("items", window.capacity.into()),
                ("moves", shape.moves.into()),
                ("rows_per_item", shape.rows_per_item.into()),
                ("patches", window.patches.into()),
                ("outcomes", shape.outcomes.into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
                ("part", shape.part.into()),
                ("parts", shape.parts.into()),
            ],
            groups: window.items.times(shape.moves).groups(64, 1),
            cost: Cost { flops: (items * m * t) as f64, bytes: 4.0 * (items * (m * (t + 8))) as f64 },
            shape: format!("({items}, {m})"),
        })
    }
}

record! {
    /// Diagonal energies of the sites of a window.
    #[derive(Debug, Clone)]
    pub struct EnergySites {
        /// (B, T) u32
        pub tokens: View,
        /// (B) u32
        pub sample_of: View,
        /// (N + 1) of two words: first pair (u32), field (f32)
        pub sites: View,
        /// (pairs) of two words: other site as t·32 + j (u32), value (f32)
        pub pairs: View,
        /// (items, N)
        pub site_energy: View,
    }
}

/// Shape of [`EnergySites`] and [`EnergyLocal`].
#[derive(Debug, Clone)]
pub struct EnergyShape {
    /// Window of deduplicated samples.
    pub window: Window,
    /// N
    pub sites: u32,
    /// P
    pub sites_per_patch: u32,
    /// Number of pair terms of the Hamiltonian.
    pub pairs: u32,
    /// M, off-diagonal terms
    pub moves: u32,
    /// Number of parts of a ratio: 1 if the wave function is real, otherwise 2.
    pub parts: u32,
    /// Constant term of the Hamiltonian.
    pub constant: f32,
    /// Sum of the staggered signs of all sites.
    pub sign_sum: f32,
}

impl EnergySites {
    /// Records the site energies.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EnergyShape) -> Result<()> {
        let window = &shape.window;
        let (b, t, n) = (u64::from(window.samples), u64::from(window.patches), u64::from(shape.sites));
        let (items, pairs) = (u64::from(window.capacity), u64::from(shape.pairs));
        plan.launch(&Launch {
            kernel: &SITES,
            spec: &[],
            bindings: &bind!(
                self.tokens[b * t],
                self.sample_of[b],
                self.sites[2 * (n + 1)],
                self.pairs[2 * pairs],
                self.site_energy[items * n]
            ),
            params: &[
                ("items", window.capacity.into()),
                ("sites", shape.sites.into()),
                ("sites_per_patch", shape.sites_per_patch.into()),
                ("patches", window.patches.into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
            ],
            groups: window.items.times(shape.sites).groups(64, 1),
            cost: Cost { flops: (items * (n + pairs)) as f64, bytes: 4.0 * (items * (n + t) + 2 * pairs) as f64 },
            shape: format!("({items}, {n})"),
        })
    }
}

record! {
    /// Local energies and observables of a window.
    #[derive(Debug, Clone)]
    pub struct EnergyLocal {
        /// (B, T) u32
        pub tokens: View,
        /// (B) u32
        pub sample_of: View,
        /// (items, N)
        pub site_energy: View,
        /// (B, M, parts)
        pub ratio: View,
        /// (M) of two floats: amplitude; 1 if the move flips a single site, otherwise 0
        pub amplitudes: View,
        /// (T) u32: bits of the sites with positive staggered sign
        pub signs: View,
        /// (B, [`COLUMNS`])
        pub values: View,
    }
}

impl EnergyLocal {
    /// Records the local energies.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: &EnergyShape) -> Result<()> {
        let window = &shape.window;
        let (b, t, n) = (u64::from(window.samples), u64::from(window.patches), u64::from(shape.sites));
        let (items, m) = (u64::from(window.capacity), u64::from(shape.moves));
        plan.launch(&Launch {
            kernel: &LOCAL,
            spec: &[("PARTS", shape.parts)],
            bindings: &bind!(
                self.tokens[b * t],
                self.sample_of[b],
                self.site_energy[items * n],
                self.ratio[b * m * u64::from(shape.parts)],
                self.amplitudes[2 * m],
                self.signs[t],
                self.values[b * u64::from(COLUMNS)]
            ),
            params: &[
                ("items", window.capacity.into()),
                ("sites", shape.sites.into()),
                ("moves", shape.moves.into()),
                ("patches", window.patches.into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
                ("constant", shape.constant.into()),
                ("sign_sum", shape.sign_sum.into()),
            ],
            groups: window.items.groups(64, 1),
            cost: Cost { flops: (items * (n + 4 * m)) as f64, bytes: 4.0 * (items * (n + 2 * m + t + 9)) as f64 },
            shape: format!("({items}, {n}, {m})"),
        })
    }
}

record! {
    /// Mean and variance of the values of the samples.
    #[derive(Debug, Clone)]
    pub struct Statistics {
        /// (B, [`COLUMNS`]), deduplicated samples first in each group
        pub values: View,
        /// (B) u32
        pub unique_of: View,
        /// ([`COLUMNS`], 2): mean, variance
        pub statistics: View,
    }
}

impl Statistics {
    /// Records the statistics of `samples` samples that are deduplicated within groups of `group_samples`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, samples: u32, group_samples: u32) -> Result<()> {
        let (b, columns) = (u64::from(samples), u64::from(COLUMNS));
        plan.launch(&Launch {
            kernel: &STATISTICS,
            spec: &[],
            bindings: &bind!(self.values[b * columns], self.unique_of[b], self.statistics[2 * columns]),
            params: &[("samples", samples.into()), ("group_samples", group_samples.into())],
            groups: Groups::Fixed(columns),
            cost: Cost { flops: (4 * b * columns) as f64, bytes: 8.0 * (b * columns) as f64 },
            shape: format!("({b}, {columns})"),
        })
    }
}

/// Weights of the energy gradient.
#[derive(Debug, Clone)]
pub struct EnergyGradientWeights {
    /// (B, [`COLUMNS`]), deduplicated samples first in each group
    pub values: View,
    /// (B) u32: deduplicated index within the group
    pub unique_of: View,
    /// (B) u32: sample index within the span
    pub sample_of: View,
    /// (B) u32: counts of the deduplicated samples of each span
    pub count: View,
    /// ([`COLUMNS`], 2)
    pub statistics: View,
    /// (B), deduplicated samples first in each span; for a complex wave function also (B) from `phase_at` onwards
    pub d_log_psi: View,
    /// First element of the weights of the phases; `None` if the wave function is real.
    pub phase_at: Option<u32>,
}

impl EnergyGradientWeights {
    /// Records the weights of `samples` samples. Energies are deduplicated within groups of `group_samples`, gradients
    /// within spans of `span_samples`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, samples: u32, group_samples: u32, span_samples: u32) -> Result<()> {
        let b = u64::from(samples);
        let phase_at = self.phase_at.unwrap_or(0);
        let parts = if self.phase_at.is_some() { 2u32 } else { 1 };
        plan.launch(&Launch {
            kernel: &WEIGHTS,
            spec: &[("PARTS", parts)],
            bindings: &bind!(
                self.values[b * u64::from(COLUMNS)],
                self.unique_of[b],
                self.sample_of[b],
                self.count[b],
                self.statistics[2 * u64::from(COLUMNS)],
                self.d_log_psi[u64::from(phase_at) + b]
            ),
            params: &[
                ("samples", samples.into()),
                ("group_samples", group_samples.into()),
                ("span_samples", span_samples.into()),
                ("phase_at", phase_at.into()),
            ],
            groups: Rows::from(samples).groups(64, 1),
            cost: Cost { flops: (3 * b) as f64, bytes: (24 * b) as f64 },
            shape: format!("({b})"),
        })
    }
}

/// Local energy and observables of one configuration in f64: `COLUMNS` values. A ratio is a logarithm, or a logarithm
/// and a phase if `parts` is 2.
pub fn local_reference(
    occupied: &[bool],
    signs: &[bool],
    site_energy: &[f32],
    ratio: &[f32],
    parts: usize,
    amplitudes: &[f32],
    constant: f32,
) -> Vec<f64> {
    let sites = occupied.len() as f64;
    let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let diagonal: f64 = wide(site_energy).iter().sum::<f64>() + f64::from(constant);
    let weight = |r: &[f64]| {
        let phase = r.get(1).copied().unwrap_or(0.0);
        [r[0].exp() * phase.cos(), r[0].exp() * phase.sin()]
    };
    let weights: Vec<[f64; 2]> = wide(ratio).chunks(parts).map(weight).collect();
    let amplitudes: Vec<[f64; 2]> = amplitudes.chunks(2).map(|a| [f64::from(a[0]), f64::from(a[1])]).collect();
    let sum = |part: usize, of: usize| weights.iter().zip(&amplitudes).map(|(w, a)| w[part] * a[of]).sum::<f64>();
    let magnetization: f64 = occupied.iter().map(|n| if *n { 1.0 } else { -1.0 }).sum();
    let of_site = |(n, sign): (&bool, &bool)| if n == sign { 0.5 } else { -0.5 };
    let staggered: f64 = occupied.iter().zip(signs).map(of_site).sum::<f64>() / sites;
    vec![
        diagonal + sum(0, 0),
        magnetization,
        magnetization.abs(),
        magnetization * magnetization,
        staggered,
        staggered.abs(),
        staggered * staggered,
        sum(0, 1) / sites,
        sum(1, 0),
    ]
}

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
        // Phases of a few turns. For much larger ones, f32 has no significant digits left.
        ratio.iter_mut().skip(1).step_by(2).for_each(|phase| *phase *= 4.0 / spread);
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
    let unique_of: Vec<u32> = (0..samples).map(|b| random.integers(1, b % group + 1)[0]).collect();
    let mut expected = Vec::new();
    for k in 0..COLUMNS {
        let value = |b: u32| f64::from(values[((b - b % group + unique_of[b as usize]) * COLUMNS + k) as usize]);
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
        inputs: vec![("values", values.into()), ("unique_of", unique_of.into())],
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
    let unique_of: Vec<u32> = (0..samples).map(|b| within(b, group, &mut random)).collect();
    let sample_of: Vec<u32> = (0..samples).map(|i| within(i, span, &mut random)).collect();
    let weight = |i: u32, column: usize| {
        let b = i - i % span + sample_of[i as usize];
        let value = values[((b - b % group + unique_of[b as usize]) * COLUMNS) as usize + column];
        f64::from(count[i as usize]) * (f64::from(value) - f64::from(statistics[2 * column])) / f64::from(samples)
    };
    let mut expected: Vec<f64> = (0..samples).map(|i| weight(i, 0)).collect();
    // Elements between the two kinds of weights remain unchanged.
    let before = random.floats((phase_at.unwrap_or(0) + samples) as usize);
    if let Some(at) = phase_at {
        expected.extend(before[samples as usize..at as usize].iter().map(|v| f64::from(*v)));
        expected.extend((0..samples).map(|i| 2.0 * weight(i, IMAGINARY)));
    }
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let [values, unique_of, sample_of] = buffers.views(["values", "unique_of", "sample_of"])?;
        let [count, statistics, d_log_psi] = buffers.views(["count", "statistics", "d_log_psi"])?;
        let kernel = EnergyGradientWeights { values, unique_of, sample_of, count, statistics, d_log_psi, phase_at };
        kernel.record(plan, samples, group, span)
    };
    Case {
        name: format!("({samples}) in groups of {group}, spans of {span}, phases {}", phase_at.is_some()),
        outputs: vec![("d_log_psi", Expected::Near { values: expected, tolerance: 1e-6 })],
        inputs: vec![
            ("values", values.into()),
            ("unique_of", unique_of.into()),
            ("sample_of", sample_of.into()),
            ("count", count.into()),
            ("statistics", statistics.into()),
            ("d_log_psi", before.into()),
        ],
        record: Box::new(record),
    }
}
