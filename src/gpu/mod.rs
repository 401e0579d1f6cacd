//! ROOM 1, the device: knows wgpu and nothing of physics or models.
//!
//! [`Gpu`] is an adapter, its device and queue, and a cache of compiled kernels. [`Buffer`] is memory on it and
//! [`View`] a labelled range of one. [`Kernel`] is a WGSL text whose bindings are reflected, never restated. [`Plan`]
//! is a list of dispatches recorded once and replayed every step. [`Tuning`] is what was measured to be faster here than
//! the kernels' own choices.

mod buffer;
mod device;
mod plan;
mod preference;
mod profile;
mod rewrite;
mod shader;
mod texels;
mod tuning;

pub use buffer::{Buffer, Storage, View};
pub use device::{AdapterSummary, Gpu, GpuOptions, adapters};
pub(crate) use plan::GRID_RESOLVE;
pub use plan::{Bind, Cost, Groups, Launch, LiveRows, Plan, Rows};
pub use preference::Asked;
pub use profile::{Clock, Profile, ProfileRow, Timing};
pub use shader::{Access, Kernel, Param, Reflection, Shader, SpecConstant};
pub use tuning::{Preferred, Tuning};
