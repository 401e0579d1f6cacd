//! Device layer: wgpu buffers, kernels and plans, independent of physics and models.
//!
//! [`Gpu`] is an adapter with its device, its queue and a cache of compiled kernels. [`Buffer`] is device memory, and
//! [`View`] is a labeled range of it. [`Kernel`] is a WGSL source whose bindings are found by reflection. [`Plan`] is a
//! list of dispatches, recorded once and replayed every step. [`Tuning`] holds the kernel variants that were measured
//! to be faster than the defaults on an adapter.

mod adapter;
mod bind;
mod buffer;
mod compile;
mod device;
mod download;
mod dtype;
mod handle;
mod loss;
mod pieces;
mod plan;
mod planning;
mod preference;
#[cfg(not(target_arch = "wasm32"))]
mod profile;
mod rewrite;
mod ring;
mod robustness;
mod shader;
mod slices;
mod staging;
mod texels;
mod tuning;
#[cfg(not(target_arch = "wasm32"))]
mod tuning_file;
mod waiting;

#[cfg(not(target_arch = "wasm32"))]
pub use adapter::adapters;
pub use adapter::{AdapterSummary, no_adapter};
pub use bind::Bind;
pub(crate) use bind::bind;
pub use buffer::{Buffer, View};
pub use device::{Gpu, GpuOptions};
pub(crate) use download::Download;
pub use dtype::DType;
pub(crate) use pieces::Pace;
pub(crate) use plan::WRITE_INDIRECT_ARGS;
pub use plan::{Cost, DynamicRows, Groups, Launch, Plan, Rows};
pub(crate) use planning::Allocations;
pub use planning::{GpuFigures, PlannedLaunch};
pub use preference::VariantSelection;
#[cfg(not(target_arch = "wasm32"))]
pub use profile::{Clock, Profile, ProfileRow, Timing};
pub(crate) use ring::{Arrived, StepRing};
pub use shader::{Access, Kernel, KernelSource, Param, Reflection, Shader, SpecConstant};
pub(crate) use slices::{Frame, Position, Slices};
pub(crate) use staging::Staging;
pub use tuning::{TunedVariant, Tuning};
