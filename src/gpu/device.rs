//! Adapters, and the device that owns all buffers, kernels and plans.
//!
//! Copies to and from the device go in pieces of at most 1 MiB, and the host waits for the device before more than 1
//! MiB is in flight. Uncaptured device errors, a lost device and failed allocations do not panic: the next wait returns
//! them as errors. A device of the caller keeps its own handlers.
//!
//! Bounds and loop checks cost 17 to 40 % in hot loops. The shaders of this crate are validated and index within the
//! ranges that plans check, so the checks are omitted. [`GpuOptions::checked_shaders`] enables them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::adapter;
use super::buffer::View;
use super::plan::Pace;
use super::planning::Ledger;
use super::shader::CompiledKernel;
use super::tuning::Preference;
use super::tuning::Tuning;
use super::{robustness, texels};
use crate::error::{Error, ErrorKind, Result};

/// Options for opening an adapter.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// Index as printed by `ketformer devices`, or a case-insensitive part of the name of one adapter. A number is
    /// always an index. `None`: the environment variable `KETFORMER_ADAPTER` if set, or the name in wgpu's
    /// `WGPU_ADAPTER_NAME` if set, otherwise the best adapter (discrete before integrated before software).
    pub adapter: Option<String>,
    /// Whether to keep the bounds and loop checks that WebGPU requires. They cost 17 to 40 % in hot loops. The shaders
    /// of this crate pass validation without them, so they are off by default.
    pub checked_shaders: bool,
    /// Whether to open a Vulkan device on Linux without the bounds checks of buffer accesses by the driver, which wgpu
    /// always enables. They cost instructions on some drivers: Mesa's compiler for NVIDIA needs 1.5 to 3.2 times as many
    /// with them, AMD's as many. The time on a GPU has not been measured. Excludes `checked_shaders`, which rely on the
    /// driver. The environment variable `KETFORMER_UNCHECKED_BUFFERS=1` enables it too.
    pub unchecked_buffers: bool,
    /// Whether to open the device with WebGPU's default limits and without optional features such as subgroups and f16:
    /// what every browser offers. The environment variable `KETFORMER_WEBGPU_DEFAULTS=1` enables it too.
    pub webgpu_defaults: bool,
    /// Whether to use the default variant of every kernel, regardless of the results of `ketformer tune` on this
    /// adapter.
    pub ignore_tuning: bool,
    /// Whether to enable cooperative matrices (tensor cores), an experimental wgpu feature, if the adapter supports
    /// them for 16-bit floats. The environment variable `KETFORMER_COOPERATIVE_MATRIX=1` enables them too.
    pub cooperative_matrix: bool,
}

/// An opened device with its queue. Cheap to clone; all clones share one device.
#[derive(Clone)]
pub struct Gpu {
    pub(super) inner: Arc<GpuInner>,
    /// The adapter as kernel selection and checks see it.
    pub(super) facts: Arc<Facts>,
    pub(super) preference: Arc<Preference>,
    /// Allocations of a dry run; `None` if buffers are created.
    pub(super) ledger: Option<Arc<Ledger>>,
}

pub(super) struct GpuInner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pub(super) modes: Modes,
    allocated: Arc<AtomicU64>,
    aliased: Arc<AtomicU64>,
    pub(super) staged: AtomicU64,
    failure: Arc<Mutex<Option<Error>>>,
    /// Message of the driver about the loss of the device. Not set on a device of the caller.
    pub(super) lost: Arc<OnceLock<String>>,
    unlimited: OnceLock<View>,
    pub(super) waits: AtomicU64,
    /// Speed, for the size of submissions.
    pub(super) pace: Pace,
    kernels: Mutex<HashMap<KernelKey, Arc<CompiledKernel>>>,
    /// Bindings that can be read as textures, by kernel.
    texel_bindings: Mutex<HashMap<&'static str, Arc<[&'static str]>>>,
}

/// What kernel selection and checks depend on.
#[derive(Clone)]
pub(super) struct Facts {
    pub info: wgpu::AdapterInfo,
    pub limits: wgpu::Limits,
    pub features: wgpu::Features,
}

impl Facts {
    fn of(device: &wgpu::Device) -> Self {
        Self { info: device.adapter_info(), limits: device.limits(), features: device.features() }
    }
}

/// Whether the adapter is Chromium's software driver.
fn is_swiftshader(info: &wgpu::AdapterInfo) -> bool {
    [&info.name, &info.driver, &info.driver_info].iter().any(|text| text.to_lowercase().contains("swiftshader"))
}

/// Options of an opened device that are not features of wgpu.
#[derive(Default)]
pub(super) struct Modes {
    pub checked_shaders: bool,
    pub unchecked_buffers: bool,
    /// Side of the fragments of cooperative matrices.
    pub cooperative_matrix: Option<u32>,
    /// Whether buffers are created such that textures can alias them.
    pub aliases_buffers: bool,
    /// Options with which the device was opened; `None` for a device of the caller.
    pub options: Option<GpuOptions>,
}

/// Cache key of a compiled kernel.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct KernelKey {
    pub name: &'static str,
    pub entry: &'static str,
    /// Address and length of the source and of the shared sources, which are static.
    pub source: (usize, usize),
    pub shared: (usize, usize),
    /// Whether it has bounds and loop checks.
    pub checked: bool,
    /// The replaced constants.
    pub constants: Vec<(String, u32)>,
    /// Bindings that are read as textures.
    pub textures: Vec<String>,
}

const COOPERATIVE_ENVIRONMENT: &str = "KETFORMER_COOPERATIVE_MATRIX";
const UNCHECKED_ENVIRONMENT: &str = "KETFORMER_UNCHECKED_BUFFERS";
const DEFAULTS_ENVIRONMENT: &str = "KETFORMER_WEBGPU_DEFAULTS";

/// Block size in bytes of wgpu's memory allocator, the smallest that wgpu accepts. Larger buffers get a block of their
/// size, and mostly unused blocks do not exceed a memory budget. Steps allocate nothing, so larger blocks would save
/// nothing.
const MEMORY_BLOCKS: std::ops::Range<u64> = 4 << 20..4 << 20;

/// Maximum number of bytes in flight to or from the device.
pub(super) const STAGING_BYTES: u64 = 1 << 20;
/// Staging bytes that wgpu uses for a small write.
const COPY_ALIGNMENT: u64 = 256;

/// Optional features, requested if the adapter supports them.
const WANTED: wgpu::Features = wgpu::Features::SUBGROUP
    .union(wgpu::Features::TIMESTAMP_QUERY)
    .union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS)
    .union(wgpu::Features::SHADER_F16);

/// Whether the adapter is Mesa's software Vulkan driver.
fn is_mesa_on_cpu(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu && info.backend == wgpu::Backend::Vulkan && info.driver == "llvmpipe"
}

/// Side of the largest square 16-bit float fragments that the adapter multiplies with 32-bit accumulation.
fn cooperative_matrix(adapter: &wgpu::Adapter) -> Option<u32> {
    if !adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16) {
        return None;
    }
    let properties = adapter.cooperative_matrix_properties();
    let half = properties
        .iter()
        .filter(|p| p.ab_type == wgpu::CooperativeScalarType::F16 && p.cr_type == wgpu::CooperativeScalarType::F32);
    let square = half.filter(|p| [8, 16].contains(&p.m_size) && p.m_size == p.n_size && p.m_size == p.k_size);
    square.map(|p| p.m_size).max()
}

impl Gpu {
    /// Opens the best adapter of this machine.
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] if there is none, [`ErrorKind::Device`] if it cannot be opened.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new() -> Result<Self> {
        Self::with_options(&GpuOptions::default())
    }

    /// Opens the adapter selected by `options` and loads the results of `ketformer tune` for it. An unusable tuning
    /// file is ignored; [`Gpu::tuning_warning`] returns the reason.
    ///
    /// # Errors
    /// As [`Gpu::new`]. The error for an index or a name that is not of exactly one adapter lists the adapters.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_options(options: &GpuOptions) -> Result<Self> {
        pollster::block_on(Self::request(options))
    }

    /// As `Gpu::with_options`, without blocking: the form for a browser, where no tuning file is read.
    ///
    /// # Errors
    /// As `Gpu::with_options`.
    pub async fn request(options: &GpuOptions) -> Result<Self> {
        Self::open(&adapter::select(options.adapter.as_deref()).await?, options).await
    }

    /// Opens `adapter` with `options`, apart from the selection of the adapter.
    pub(super) async fn open(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<Self> {
        let is_set = |option: bool, variable: &str| option || std::env::var(variable).is_ok_and(|value| value == "1");
        let defaults = is_set(options.webgpu_defaults, DEFAULTS_ENVIRONMENT);
        let requested = is_set(options.cooperative_matrix, COOPERATIVE_ENVIRONMENT) && !defaults;
        let cooperative = if requested { cooperative_matrix(adapter) } else { None };
        let (required_features, required_limits) = if defaults { Default::default() } else { Self::required(adapter) };
        let mut descriptor = wgpu::DeviceDescriptor {
            label: Some("ketformer"),
            required_features,
            required_limits,
            memory_hints: wgpu::MemoryHints::Manual { suballocated_device_memory_block_size: MEMORY_BLOCKS },
            ..Default::default()
        };
        if cooperative.is_some() {
            descriptor.required_features |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            // SAFETY: the caller requested it. The kernels that use it meet the requirements of the feature: whole
            // subgroups execute every operation together, within the memory that they own.
            descriptor.experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        }
        let unchecked = is_set(options.unchecked_buffers, UNCHECKED_ENVIRONMENT);
        if unchecked && options.checked_shaders {
            let message = "GpuOptions::checked_shaders rely on the driver's bounds checks; leave unchecked_buffers out";
            return Err(Error::new(ErrorKind::Settings, message));
        }
        let (device, queue) = match unchecked {
            true => robustness::open_unchecked(adapter, &descriptor)?,
            false => adapter.request_device(&descriptor).await.map_err(|e| {
                let name = adapter.get_info().name;
                Error::new(ErrorKind::Device, format!("{name} could not be opened; try another GpuOptions::adapter"))
                    .caused_by(e)
            })?,
        };
        let facts = Facts::of(&device);
        let modes = Modes {
            checked_shaders: options.checked_shaders,
            unchecked_buffers: unchecked,
            cooperative_matrix: cooperative,
            aliases_buffers: !defaults && is_mesa_on_cpu(&facts.info) && texels::supported(&device),
            options: Some(options.clone()),
        };
        let gpu = Self::wrap(device, queue, facts, modes);
        gpu.keep_failures();
        if options.ignore_tuning {
            return Ok(gpu);
        }
        Ok(Self { preference: Arc::new(Preference::loaded(Tuning::of_this_machine(gpu.info()))), ..gpu })
    }

    /// Features and limits that a caller should request of `adapter` for [`Gpu::from_device`], in addition to its own.
    /// `Gpu::with_options` requests the same.
    ///
    /// All of them are optional: every kernel has a variant for WebGPU's default limits and no features. The features are
    /// those of the following that the adapter has, and the limits are the adapter's, so that buffers and bindings may be
    /// as large as it allows.
    ///
    /// | feature | use |
    /// |---|---|
    /// | `SUBGROUP` | faster variants |
    /// | `SHADER_F16` | buffers of [`super::DType::F16`] |
    /// | `TIMESTAMP_QUERY`, `TIMESTAMP_QUERY_INSIDE_ENCODERS` | the time on the device in profiles and frames |
    pub fn required(adapter: &wgpu::Adapter) -> (wgpu::Features, wgpu::Limits) {
        (adapter.features() & WANTED, adapter.limits())
    }

    /// Wraps a device and queue owned by the caller. Their features and limits determine which kernels are used;
    /// [`Gpu::required`] returns those to request, and WebGPU's default limits suffice. No tuning file is read, see
    /// [`Gpu::with_tuning`].
    ///
    /// **Errors.** The handlers of uncaptured errors and of the loss of the device stay the caller's and are called as
    /// usual. Functions of this crate catch the errors of their own calls in error scopes and return them. After the loss
    /// of the device they return [`ErrorKind::Device`], and [`Gpu::is_lost`] is true.
    ///
    /// **Checks.** Kernels of this crate are compiled without the bounds and loop checks of wgpu, because they index within
    /// ranges that plans check. [`Gpu::with_checked_shaders`] keeps the checks; kernels of the caller always have them.
    ///
    /// **Indirect launches.** wgpu's `InstanceFlags::VALIDATION_INDIRECT_CALL`, which is on by default, runs a small
    /// compute shader before every indirect dispatch that replaces grids beyond the limits of the device by empty ones. The
    /// grids of this crate are within the limits, which [`super::Plan::write_indirect_args`] ensures. On DX12 the flag is
    /// necessary nevertheless: without it wgpu sets `num_workgroups`, from which kernels compute their index, to 0 in
    /// indirect launches. Without the flag, use [`super::DynamicRows`] and training only on other backends.
    pub fn from_device(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        Self::wrap(device.clone(), queue.clone(), Facts::of(device), Modes::default())
    }

    /// Wraps a device as one of the adapter that `facts` describe.
    pub(super) fn wrap(device: wgpu::Device, queue: wgpu::Queue, facts: Facts, modes: Modes) -> Self {
        let inner = GpuInner {
            device,
            queue,
            modes,
            allocated: Arc::default(),
            aliased: Arc::default(),
            staged: AtomicU64::default(),
            failure: Arc::default(),
            lost: Arc::default(),
            unlimited: OnceLock::new(),
            waits: AtomicU64::new(0),
            pace: Pace::default(),
            kernels: Mutex::default(),
            texel_bindings: Mutex::default(),
        };
        Self { inner: Arc::new(inner), facts: Arc::new(facts), preference: Arc::default(), ledger: None }
    }

    /// Installs error handlers that keep the first uncaptured error for the next wait, because wgpu panics on such
    /// errors by default.
    fn keep_failures(&self) {
        let keep = |failure: &Mutex<Option<Error>>, kind, message: String| {
            if let Ok(mut slot) = failure.lock() {
                slot.get_or_insert(Error::new(kind, message));
            }
        };
        let failure = self.inner.failure.clone();
        self.inner.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| match error {
            wgpu::Error::OutOfMemory { .. } => keep(
                &failure,
                ErrorKind::Memory,
                "the GPU ran out of memory; use a smaller memory budget or fewer samples".into(),
            ),
            other => keep(&failure, ErrorKind::Device, format!("the GPU rejected a command: {other}")),
        }));
        let lost = self.inner.lost.clone();
        self.inner.device.set_device_lost_callback(move |reason, message| {
            lost.set(if message.is_empty() { format!("{reason:?}").to_lowercase() } else { message }).ok();
        });
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Name of the adapter, which browsers may hide.
    pub fn name(&self) -> &str {
        match self.facts.info.name.trim() {
            "" => "GPU of this browser",
            name => name,
        }
    }

    /// Name, driver, backend and device type of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.facts.info
    }

    /// The limits that the device was opened with.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.facts.limits
    }

    /// The features that the device was opened with.
    pub fn features(&self) -> wgpu::Features {
        self.facts.features
    }

    /// Whether the adapter is a CPU. Browsers do not say so of theirs, which is SwiftShader in Chromium.
    pub fn is_software(&self) -> bool {
        let info = self.info();
        info.device_type == wgpu::DeviceType::Cpu || is_swiftshader(info)
    }

    /// Subgroup size if the adapter has subgroups of one fixed size from 4 to 128 lanes, otherwise `None`.
    pub fn subgroup_size(&self) -> Option<u32> {
        let (low, high) = (self.facts.info.subgroup_min_size, self.facts.info.subgroup_max_size);
        let fixed = self.facts.features.contains(wgpu::Features::SUBGROUP) && low == high && (4..=128).contains(&low);
        fixed.then_some(low)
    }

    /// Minimum number of lanes of a subgroup, if the adapter has subgroups. Kernels that exchange values only within
    /// clusters of so many lanes run on subgroups of any size.
    pub fn least_subgroup_lanes(&self) -> Option<u32> {
        self.facts.features.contains(wgpu::Features::SUBGROUP).then_some(self.facts.info.subgroup_min_size)
    }

    /// Side of the square 16-bit float fragments that the device multiplies with 32-bit accumulation, if it was opened
    /// with [`GpuOptions::cooperative_matrix`] and its adapter supports them.
    pub fn cooperative_matrix(&self) -> Option<u32> {
        self.inner.modes.cooperative_matrix
    }

    /// Default memory budget of a run in bytes: 4 GiB on discrete adapters, and 1 GiB on software adapters and on those
    /// that share the machine's memory. wgpu does not report the memory of an adapter, so the default is less than such
    /// cards have.
    pub fn default_memory(&self) -> u64 {
        let gibibyte = 1 << 30;
        if self.facts.info.device_type == wgpu::DeviceType::DiscreteGpu { 4 * gibibyte } else { gibibyte }
    }

    /// Bytes in all live buffers of this crate.
    pub fn allocated(&self) -> u64 {
        self.inner.allocated.load(Ordering::Relaxed)
    }

    /// Bytes of [`Gpu::allocated`] in separate Vulkan allocations, which wgpu's allocator does not report: buffers that
    /// kernels may read as textures, on Mesa's software driver.
    pub fn aliased(&self) -> u64 {
        self.inner.aliased.load(Ordering::Relaxed)
    }

    /// Counter that includes all rows, for kernels that sum over a number of rows known to the host.
    pub(super) fn unlimited(&self) -> Result<View> {
        if let Some(view) = self.inner.unlimited.get() {
            return Ok(view.clone());
        }
        let view = self.upload("ketformer.unlimited", &[u32::MAX; 4])?.view();
        Ok(self.inner.unlimited.get_or_init(|| view).clone())
    }

    pub(super) fn allocation_counter(&self) -> &Arc<AtomicU64> {
        &self.inner.allocated
    }

    pub(super) fn aliased_counter(&self) -> &Arc<AtomicU64> {
        &self.inner.aliased
    }

    /// Whether buffers are created such that textures can alias them.
    pub(super) fn aliases_buffers(&self) -> bool {
        self.inner.modes.aliases_buffers
    }

    /// Writes into a buffer before any later submission. wgpu keeps a staging copy until the device has received the
    /// data; this function waits for the device often enough that the copies stay within [`STAGING_BYTES`].
    pub(super) fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.ledger.is_some() {
            return Ok(());
        }
        for (piece, bytes) in bytes.chunks(STAGING_BYTES as usize).enumerate() {
            let copy = (bytes.len() as u64).next_multiple_of(COPY_ALIGNMENT);
            if self.inner.staged.fetch_add(copy, Ordering::Relaxed) + copy > STAGING_BYTES {
                self.flush()?;
                self.inner.staged.store(copy, Ordering::Relaxed);
            }
            self.queue().write_buffer(buffer, offset + piece as u64 * STAGING_BYTES, bytes);
        }
        Ok(())
    }

    pub(super) fn checked_shaders(&self) -> bool {
        self.inner.modes.checked_shaders || self.preference.checked_shaders
    }

    /// Whether the device was opened without bounds checks by the driver.
    pub(super) fn unchecked_buffers(&self) -> bool {
        self.inner.modes.unchecked_buffers
    }

    /// The bindings of a kernel that can be read as textures. `find` is called once per kernel.
    pub(super) fn texel_bindings(
        &self,
        kernel: &'static str,
        find: impl FnOnce() -> Arc<[&'static str]>,
    ) -> Arc<[&'static str]> {
        match self.inner.texel_bindings.lock() {
            Ok(mut known) => known.entry(kernel).or_insert_with(find).clone(),
            Err(_) => find(),
        }
    }

    pub(super) fn compiled(
        &self,
        key: KernelKey,
        build: impl FnOnce() -> Result<CompiledKernel>,
    ) -> Result<Arc<CompiledKernel>> {
        let poisoned = || Error::new(ErrorKind::Device, "the kernel cache is poisoned by an earlier panic; restart");
        let mut kernels = self.inner.kernels.lock().map_err(|_| poisoned())?;
        if let Some(found) = kernels.get(&key) {
            return Ok(found.clone());
        }
        let built = Arc::new(build()?);
        kernels.insert(key, built.clone());
        Ok(built)
    }

    /// Reports that the device was lost, or else the first failure of the device since the last call.
    ///
    /// # Errors
    /// That failure.
    pub fn failure(&self) -> Result<()> {
        if self.inner.lost.get().is_some() {
            return Err(self.lost_error());
        }
        match self.inner.failure.lock().ok().and_then(|mut slot| slot.take()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpu").field("info", &self.facts.info).finish_non_exhaustive()
    }
}
