//! Ring of the energies of the newest steps, for views that an application draws.

use super::energy::{COLUMNS, Column};
use crate::error::Result;
use crate::gpu::{Cost, Groups, Kernel, Launch, Param, Plan, View, bind};
use crate::kernels::{kernel, record};

pub(super) static HISTORY: Kernel = kernel!("vmc", "energy_history");

/// Words of an entry: step number, mean and variance of the energy, density.
pub const ENTRY_WORDS: u32 = 4;

record! {
    /// Entry of a step in a ring over the newest steps.
    #[derive(Debug, Clone)]
    pub struct EnergyHistory {
        /// ([`COLUMNS`], 2): mean and variance
        pub statistics: View,
        /// (8) u32: step number in word 2, counted from 1
        pub step: View,
        /// (entries, [`ENTRY_WORDS`]): step number, energy, variance of the energy, mean occupation
        pub history: View,
    }
}

impl EnergyHistory {
    /// Records the entry of the current step of a lattice of `sites` sites.
    ///
    /// # Errors
    /// As [`Plan::launch`].
    pub fn record(&self, plan: &mut Plan, entries: u32, sites: u32) -> Result<()> {
        plan.launch(&Launch {
            kernel: &HISTORY,
            spec: &[("MAGNETIZATION", Column::Magnetization as u32), ("IMAGINARY", Column::ImaginaryEnergy as u32)],
            bindings: &bind!(
                self.statistics[2 * u64::from(COLUMNS)],
                self.step[8],
                self.history[u64::from(entries) * u64::from(ENTRY_WORDS)]
            ),
            params: &[("entries", entries.into()), ("sites", Param::F32(sites as f32))],
            groups: Groups::Fixed(1),
            cost: Cost { flops: 4.0, bytes: 36.0 },
            shape: format!("({entries})"),
        })
    }
}
