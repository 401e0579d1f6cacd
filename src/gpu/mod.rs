//! Device layer: wgpu buffers, kernels and plans, independent of physics and models.
//!
//! [`Gpu`] is an adapter with its device, its queue and a cache of compiled kernels. [`Buffer`] is device memory, and
//! [`View`] is a labeled range of it. [`Kernel`] is a WGSL source whose bindings are found by reflection. [`Plan`] is a
//! list of dispatches, recorded once and replayed every step. [`Tuning`] holds the kernel variants that were measured
//! to be faster than the defaults on an adapter.

mod adapter;
mod buffer;
mod device;
mod dtype;
mod handle;
mod loss;
mod plan;
mod planning;
mod robustness;
mod shader;
mod texels;
mod transfer;
mod tuning;
mod waiting;

#[cfg(not(target_arch = "wasm32"))]
pub use adapter::adapters;
pub use adapter::{AdapterSummary, no_adapter};
pub use buffer::{Buffer, View};
pub use device::{Gpu, GpuOptions};
pub use dtype::DType;
pub use plan::{Bind, Clock, Cost, DynamicRows, Groups, Launch, Plan, Rows};
pub(crate) use plan::{Frame, Pace, Position, Slices, Stopwatch, WRITE_INDIRECT_ARGS, bind};
#[cfg(not(target_arch = "wasm32"))]
pub use plan::{Profile, ProfileRow, Timing};
pub(crate) use planning::Allocations;
pub use planning::{GpuFigures, PlannedLaunch};
pub(crate) use shader::capabilities as kernel_capabilities;
pub use shader::{Access, Kernel, KernelSource, Param, Reflection, Shader, SpecConstant};
pub(crate) use transfer::{Arrived, Download, Staging, StepRing};
pub use tuning::{TunedVariant, Tuning, VariantSelection};
