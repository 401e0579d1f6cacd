//! Configurations as rows of spins, the input of networks that read a complete configuration.
//!
//! ```text
//! s_i = 2 n_i − 1        site i = t·P + element, in patch order
//! ```
//!
//! A row (N) of a configuration is also the rows (T, P) of its patches.

use super::rows::Window;
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static SPINS: Kernel = kernel!("vmc", "rows_spins");

record! {
    /// Spins of samples as rows.
    #[derive(Debug, Clone)]
    pub struct RowsSpins {
        /// (B, T) u32
        pub tokens: View,
        /// (B) u32: sample of each row; `None` if row r is sample `first` + r
        pub sample_of: Option<View>,
        /// (rows, N)
        pub spins: View,
    }
}

impl RowsSpins {
    /// Records the spins of a window of samples, N = T·`sites_per_patch`.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, window: &Window, sites_per_patch: u32) -> Result<()> {
        let sites = window.patches * sites_per_patch;
        let (b, t, n) = (u64::from(window.samples), u64::from(window.patches), u64::from(sites));
        let rows = u64::from(window.capacity);
        // Placeholder for an absent binding.
        let sample_of = self.sample_of.as_ref().unwrap_or(&self.tokens);
        plan.launch(&Launch {
            kernel: &SPINS,
            spec: &[],
            bindings: &bind!(self.tokens[b * t], sample_of[b], self.spins[rows * n]),
            params: &[
                ("rows", window.capacity.into()),
                ("sites", sites.into()),
                ("sites_per_patch", sites_per_patch.into()),
                ("patches", window.patches.into()),
                ("first", window.first.into()),
                ("samples", window.samples.into()),
                ("picked", u32::from(self.sample_of.is_some()).into()),
            ],
            groups: window.items.times(sites).groups(64, 1),
            cost: Cost { flops: 0.0, bytes: 4.0 * (rows * (n + t)) as f64 },
            shape: format!("({rows}, {n})"),
        })
    }
}

/// Spins of a configuration of tokens.
pub fn spins_reference(tokens: &[u32], sites_per_patch: u32) -> Vec<f64> {
    let bits = tokens.iter().flat_map(|token| (0..sites_per_patch).map(move |e| token >> e & 1));
    bits.map(|bit| if bit == 1 { 1.0 } else { -1.0 }).collect()
}
