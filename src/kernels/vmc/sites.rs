//! Occupations of sites, their means and their connected correlations over the samples of a batch, for views that an
//! application draws.
//!
//! ```text
//! density_i      = ⟨n_i⟩
//! correlation_ij = ⟨n_i n_j⟩ − ⟨n_i⟩⟨n_j⟩
//! ```
//!
//! Sums over samples are counts of the bits of words, 32 samples each, and therefore exact.

use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Param, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static OCCUPATIONS: Kernel = kernel!("vmc", "site_occupations");
pub(super) static WORDS: Kernel = kernel!("vmc", "site_words");
pub(super) static CORRELATIONS: Kernel = kernel!("vmc", "site_correlations");

/// Sizes of a batch of configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SitesShape {
    /// B
    pub samples: u32,
    /// N
    pub sites: u32,
}

impl SitesShape {
    /// Number of words of a site.
    pub fn words(&self) -> u32 {
        self.samples.div_ceil(32)
    }

    fn text(&self) -> String {
        format!("({}, {})", self.samples, self.sites)
    }
}

record! {
    /// Occupations of samples in site order.
    #[derive(Debug, Clone)]
    pub struct SiteOccupations {
        /// (B, T) u32
        pub tokens: View,
        /// (N) u32: 32 · patch + bit of each site
        pub places: View,
        /// (B, N) u32
        pub occupations: View,
    }
}

impl SiteOccupations {
    /// Records the occupations of samples of `patches` patches.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: SitesShape, patches: u32) -> Result<()> {
        let [b, n, t] = [shape.samples, shape.sites, patches].map(u64::from);
        plan.launch(&Launch {
            kernel: &OCCUPATIONS,
            spec: &[],
            bindings: &bind!(self.tokens[b * t], self.places[n], self.occupations[b * n]),
            params: &[("samples", shape.samples.into()), ("sites", shape.sites.into()), ("patches", patches.into())],
            groups: Rows::from(shape.samples).times(shape.sites).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * (b * (t + n) + n) as f64 },
            shape: shape.text(),
        })
    }
}

record! {
    /// Occupations of 32 samples in the bits of a word.
    #[derive(Debug, Clone)]
    pub struct SiteWords {
        /// (B, N) u32
        pub occupations: View,
        /// (W, N) u32, W = ⌈B / 32⌉
        pub words: View,
    }
}

impl SiteWords {
    /// Records the words.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: SitesShape) -> Result<()> {
        let [b, n, w] = [shape.samples, shape.sites, shape.words()].map(u64::from);
        plan.launch(&Launch {
            kernel: &WORDS,
            spec: &[],
            bindings: &bind!(self.occupations[b * n], self.words[w * n]),
            params: &[("samples", shape.samples.into()), ("sites", shape.sites.into())],
            groups: Rows::from(shape.words()).times(shape.sites).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * ((b + w) * n) as f64 },
            shape: shape.text(),
        })
    }
}

record! {
    /// Mean occupations and connected correlations.
    #[derive(Debug, Clone)]
    pub struct SiteCorrelations {
        /// (W, N) u32
        pub words: View,
        /// (N)
        pub density: View,
        /// (N, N)
        pub correlation: View,
    }
}

impl SiteCorrelations {
    /// Records the means over all samples.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, shape: SitesShape) -> Result<()> {
        let [n, w] = [shape.sites, shape.words()].map(u64::from);
        plan.launch(&Launch {
            kernel: &CORRELATIONS,
            spec: &[],
            bindings: &bind!(self.words[w * n], self.density[n], self.correlation[n * n]),
            params: &[
                ("sites", shape.sites.into()),
                ("words", shape.words().into()),
                ("share", Param::F32((1.0 / f64::from(shape.samples)) as f32)),
            ],
            groups: Rows::from(shape.sites).times(shape.sites).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * (w * n + n + n * n) as f64 },
            shape: shape.text(),
        })
    }
}

/// Reference in f64 of (B, N) occupations: densities (N), then connected correlations (N, N).
pub fn correlations_reference(occupations: &[u32], sites: usize) -> (Vec<f64>, Vec<f64>) {
    let samples = occupations.len() / sites;
    let mean = |of: &dyn Fn(&[u32]) -> u32| {
        occupations.chunks(sites).map(|row| f64::from(of(row))).sum::<f64>() / samples as f64
    };
    let density: Vec<f64> = (0..sites).map(|i| mean(&|row| row[i])).collect();
    let pair = |i: usize, j: usize| mean(&|row| row[i] * row[j]) - density[i] * density[j];
    let correlation = (0..sites * sites).map(|at| pair(at / sites, at % sites)).collect();
    (density, correlation)
}
