//! Benchmark of attention kernels, those of this crate and third-party ones: one correctness check, alternating runs, and
//! rows that compare across machines.
//!
//! [`Arena`] runs [`Candidate`]s on an [`AttentionProblem`]: kernels of this crate, of a WGSL file (its contract is
//! [`contract`]), and launches of an application. Inputs are redrawn on the device for every timed pass
//! ([`crate::kernels::attention::inputs`]), outputs are filled with NaN before every run, and after it inputs, outputs and
//! sampled rows are checked; see docs/benchmarking.md. Kernels of files run with all checks of WebGPU.
//!
//! ```no_run
//! use ketformer::arena::{Arena, ArenaConfig, AttentionProblem, Candidate, ForeignKernel, Limits};
//! # fn main() -> ketformer::Result<()> {
//! let gpu = ketformer::Gpu::new()?;
//! let problem = AttentionProblem::parse("4x12x1024x64")?;
//! let mut arena = Arena::new(&gpu, ArenaConfig::new(&gpu), Limits::default());
//! let candidates = [Candidate::General, Candidate::Foreign(ForeignKernel::naive())];
//! for row in arena.run(&problem, &candidates, &mut |_| ())? {
//!     println!("{} {} {:?} ms", row.kernel, row.status, row.median_ms);
//! }
//! # Ok(()) }
//! ```

mod candidate;
pub mod contract;
mod environment;
mod gate;
mod limits;
mod probe;
mod problem;
mod race;
mod reference;
mod row;
mod scan;

pub use candidate::{AttentionBuffers, Candidate, RecordAttention};
pub use contract::ForeignKernel;
pub use environment::{Environment, commit};
pub use limits::{Limits, OperationCost};
pub(crate) use probe::{FIRST_STEPS, calibrated_steps, probe_lanes};
pub use problem::{AttentionProblem, Mask, Pass, Suite};
pub use race::{Arena, ArenaConfig, Event};
pub use row::{BenchRow, Status};
