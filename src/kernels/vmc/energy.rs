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
use crate::gpu::{Cost, Groups, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static RATIO: Kernel = kernel!("vmc", "amplitude_ratio");
pub(super) static SITES: Kernel = kernel!("vmc", "energy_sites");
pub(super) static LOCAL: Kernel = kernel!("vmc", "energy_local");
pub(super) static STATISTICS: Kernel = kernel!("vmc", "statistics");
pub(super) static WEIGHTS: Kernel = kernel!("vmc", "energy_gradient_weights");

/// Columns of a sample's values, in the order in which `energy_local.wgsl` writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Re E(σ).
    Energy,
    /// M = Σ (2n − 1).
    Magnetization,
    /// |M|.
    AbsMagnetization,
    /// M².
    SquaredMagnetization,
    /// Σ_q sign_q (n_q − ½) / N.
    Staggered,
    /// Absolute value of [`Self::Staggered`].
    AbsStaggered,
    /// Square of [`Self::Staggered`].
    SquaredStaggered,
    /// Σ ψ(σ')/ψ(σ) / N over the moves that flip a single site, real part.
    SigmaX,
    /// Im E(σ), 0 if the wave function is real.
    ImaginaryEnergy,
}

impl Column {
    /// Value in a row of [`COLUMNS`] values.
    pub fn of(self, row: &[f32]) -> f64 {
        f64::from(row[self as usize])
    }
}

/// Number of columns of a sample's values.
pub const COLUMNS: u32 = Column::ImaginaryEnergy as u32 + 1;
/// Constants of the kernels that read or write the columns.
pub(super) const COLUMN_SPEC: [(&str, u32); 2] = [("COLUMNS", COLUMNS), ("IMAGINARY", Column::ImaginaryEnergy as u32)];
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
            spec: &[&[("PARTS", shape.parts)], &COLUMN_SPEC[..]].concat(),
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
            cost: Cost {
                flops: (items * (n + 4 * m)) as f64,
                bytes: 4.0 * (items * (n + 2 * m + t + u64::from(COLUMNS))) as f64,
            },
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
        pub dedup_of: View,
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
            spec: &COLUMN_SPEC,
            bindings: &bind!(self.values[b * columns], self.dedup_of[b], self.statistics[2 * columns]),
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
    pub dedup_of: View,
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
            spec: &[&[("PARTS", parts)], &COLUMN_SPEC[..]].concat(),
            bindings: &bind!(
                self.values[b * u64::from(COLUMNS)],
                self.dedup_of[b],
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

/// Local energy and observables of one configuration in f64, in the order of [`Column`]. A ratio is a logarithm, or a logarithm
/// and a phase if `parts` is 2.
pub(crate) fn local_reference(
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
