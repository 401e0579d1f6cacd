//! Local free energies, whose weights in the gradient are those of E − T·S.
//!
//! ```text
//! F = Σ_σ P(σ) (E(σ) + T log P(σ))        ∂F/∂log P(σ) = (E(σ) + T log P(σ) − F) / B
//! ```
//!
//! The derivative of log P itself has the mean 0, so that the local free energy takes the place of the local energy. A
//! constant in log P, as that of an unnormalized wave function, cancels. Source: Hibat-Allah, Inack, Wiersema, Melko &
//! Carrasquilla, Nat. Mach. Intell. 3, 952 (2021), arXiv:2101.10154.

use super::energy::{COLUMN_SPEC, COLUMNS};
use crate::error::Result;
use crate::gpu::{Cost, Kernel, Launch, Plan, Rows, View, bind};
use crate::kernels::{kernel, record};

pub(super) static FREE_ENERGY: Kernel = kernel!("vmc", "free_energy");

record! {
    /// Values of deduplicated samples with the local free energy in place of the local energy.
    #[derive(Debug, Clone)]
    pub struct FreeEnergy {
        /// (B, [`COLUMNS`]), deduplicated samples first in each group
        pub values: View,
        /// (B) u32: sample index of each deduplicated sample within the group
        pub sample_of: View,
        /// (B, parts): summands of log P
        pub log_p: View,
        /// (5) u32: seed (2), step number, learning rate, temperature
        pub step: View,
        /// (B, [`COLUMNS`]), as `values`
        pub free: View,
    }
}

impl FreeEnergy {
    /// Records the values of `samples` samples that are deduplicated within groups of `group_samples`, with `parts`
    /// summands of log P each.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, samples: u32, group_samples: u32, parts: u32) -> Result<()> {
        let [b, columns, t] = [samples, COLUMNS, parts].map(u64::from);
        plan.launch(&Launch {
            kernel: &FREE_ENERGY,
            spec: &COLUMN_SPEC,
            bindings: &bind!(
                self.values[b * columns],
                self.sample_of[b],
                self.log_p[b * t],
                self.step[5],
                self.free[b * columns]
            ),
            params: &[("samples", samples.into()), ("group_samples", group_samples.into()), ("parts", parts.into())],
            groups: Rows::from(samples).groups(64, 1),
            cost: Cost { flops: (b * (t + 2)) as f64, bytes: 4.0 * (b * (2 * columns + t + 1)) as f64 },
            shape: format!("({b}, {t})"),
        })
    }
}
