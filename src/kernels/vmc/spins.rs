//! Configurations as rows of spins, the input of networks that read a complete configuration.
//!
//! ```text
//! s_i = 2 n_i − 1        site i = t·P + element, in patch order
//! ```
//!
//! A row (N) of a configuration is also the rows (T, P) of its patches.

use super::rows::Window;
use crate::error::Result;
use crate::gpu::{Cost, Gpu, Kernel, Launch, Plan, View, bind};
use crate::kernels::{Case, CaseBuffers, Entry, Expected, RandomInputs, kernel, record};

static SPINS: Kernel = kernel!("vmc", "rows_spins");

pub(crate) const ENTRY: Entry = Entry { kernel: &SPINS, summary: "spins of samples as rows", cases };

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

fn cases(_: &Gpu) -> Vec<Case> {
    let shapes = [(1, 1, 1, 0, 1), (9, 4, 3, 2, 5), (100, 1, 7, 0, 100), (35_000, 2, 2, 10, 34_990)];
    shapes.into_iter().flat_map(|shape| [case(shape, false), case(shape, true)]).collect()
}

fn case((samples, patches, p, first, most): (u32, u32, u32, u32, u32), picked: bool) -> Case {
    let mut random = RandomInputs::new(u64::from(samples));
    let tokens = random.integers((samples * patches) as usize, 1 << p);
    let sample_of = random.integers(samples as usize, samples);
    let of = |row: u32| if picked { sample_of[(first + row) as usize] } else { first + row };
    let t = patches as usize;
    let expected = (0..most).flat_map(|row| spins_reference(&tokens[of(row) as usize * t..][..t], p)).collect();
    let record = move |plan: &mut Plan, buffers: &CaseBuffers| {
        let mut spins = RowsSpins::from_case(buffers)?;
        spins.sample_of = spins.sample_of.filter(|_| picked);
        spins.record(plan, &Window { items: most.into(), first, capacity: most, samples, patches }, p)
    };
    Case {
        name: format!("({samples}, {patches}) of {p} from {first}, picked {picked}"),
        inputs: vec![("tokens", tokens.into()), ("sample_of", sample_of.into())],
        outputs: vec![("spins", Expected::Near { values: expected, tolerance: 1e-7 })],
        record: Box::new(record),
    }
}
