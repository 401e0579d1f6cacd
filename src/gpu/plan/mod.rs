//! Plans: lists of dispatches, recorded and checked once, replayed every step.
//!
//! Recording compiles the kernel, checks names, sizes, alignment, aliasing and limits, writes the runtime parameters
//! into a uniform page and creates the bind group. Replaying sets pipelines and bind groups and cannot fail.
//!
//! A range holds the elements that the kernel accesses, rounded up to whole 32-bit words, and at least one element of
//! the array in the WGSL source: 16 bytes for an array of vec4s. Buffers of this crate are multiples of 16 bytes.
//! [`Plan::launch`] returns an error with the required number of bytes for smaller ranges.
//!
//! Compiled kernels are cached on the device. Launches with equal parameters share one block of a uniform page; a step
//! of 29,000 launches has a single page of 64 KiB. Replaying the 152 launches of a step of 16 sites on the
//! software driver takes less than a millisecond of host time.

use std::collections::HashMap;
use std::sync::Arc;

mod bind;
mod pieces;
#[cfg(not(target_arch = "wasm32"))]
mod profile;
mod slices;
mod stopwatch;

pub use bind::Bind;
pub(crate) use bind::bind;
pub(crate) use pieces::Pace;
#[cfg(not(target_arch = "wasm32"))]
pub use profile::{Profile, ProfileRow, Timing};
pub(crate) use slices::{Frame, Position, Slices};
pub use stopwatch::Clock;
pub(crate) use stopwatch::Stopwatch;

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::shader::rewrite::TEXTURES;
use crate::gpu::shader::{Access, CompiledKernel, Param, Reflection};
use crate::gpu::{Buffer, DType, Gpu, Kernel, KernelSource, View};

/// Number of rows known only to the GPU: `clamp(live[0] − first, 0, capacity)` items of `rows_per_item` rows each,
/// restricted to a window that starts at row `skip` and has at most `limit` rows.
#[derive(Debug, Clone)]
pub struct DynamicRows {
    /// The counter, one u32 written by an earlier launch.
    pub live: View,
    /// First item of the window of this launch.
    pub first: u32,
    /// Maximum number of items in the window.
    pub capacity: u32,
    /// Rows per item.
    pub rows_per_item: u32,
    /// `rows_per_item` of the finer pass whose rows these are a coarser division of, otherwise the same as
    /// `rows_per_item`. Blocks of sums over rows have equally many items in both passes.
    pub finest_per_item: u32,
    /// Rows skipped at the start.
    pub skip: u32,
    /// Maximum number of rows.
    pub limit: u32,
    /// Whether each item is a separate block of sums over rows.
    pub apart: bool,
}

impl DynamicRows {
    /// All rows of the items `first .. first + capacity` that `live` counts.
    pub fn new(live: View, first: u32, capacity: u32, rows_per_item: u32) -> Self {
        Self {
            live,
            first,
            capacity,
            rows_per_item,
            finest_per_item: rows_per_item,
            skip: 0,
            limit: u32::MAX,
            apart: false,
        }
    }

    /// The same rows with one block of sums per item.
    pub fn apart(self) -> Self {
        Self { apart: true, ..self }
    }
}

/// Number of rows of a launch: fixed, or a window of a count computed on the GPU.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Number of rows that buffers must hold.
    pub capacity: u32,
    /// Source of the actual number of rows, if it is dynamic.
    pub live: Option<DynamicRows>,
}

impl From<u32> for Rows {
    fn from(rows: u32) -> Self {
        Self { capacity: rows, live: None }
    }
}

impl From<DynamicRows> for Rows {
    fn from(live: DynamicRows) -> Self {
        let all = live.capacity.saturating_mul(live.rows_per_item);
        Self { capacity: all.saturating_sub(live.skip).min(live.limit), live: Some(live) }
    }
}

impl Rows {
    /// Grid with `groups_per_block` workgroups per `rows_per_block` rows.
    pub fn groups(&self, rows_per_block: u32, groups_per_block: u64) -> Groups {
        match &self.live {
            None => Groups::Fixed(u64::from(self.capacity).div_ceil(u64::from(rows_per_block)) * groups_per_block),
            Some(live) => {
                Groups::Indirect { rows: live.clone(), rows_per_block, groups_per_block: groups_per_block as u32 }
            }
        }
    }

    /// Whether both are all rows of the same items, so that either both are empty or neither.
    pub(crate) fn same_items(&self, other: &Self) -> bool {
        match (&self.live, &other.live) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                let items = |rows: &DynamicRows| (rows.live.offset(), rows.first, rows.capacity);
                let all = |rows: &DynamicRows| rows.skip == 0 && rows.limit == u32::MAX;
                a.live.wgpu() == b.live.wgpu() && items(a) == items(b) && all(a) && all(b)
            }
            _ => false,
        }
    }

    /// Grid of `groups` workgroups that share all rows. It is empty if a dynamic number of rows is zero.
    pub(crate) fn groups_of_all(&self, groups: u64) -> Groups {
        match self.live {
            None => Groups::Fixed(groups),
            Some(_) => self.groups(u32::MAX, groups),
        }
    }

    /// The rows from `skip` on, at most `limit` of them.
    pub fn window(&self, skip: u32, limit: u32) -> Self {
        match &self.live {
            None => Self::from(self.capacity.saturating_sub(skip).min(limit)),
            Some(live) => {
                let limit = limit.min(live.limit.saturating_sub(skip));
                DynamicRows { skip: live.skip + skip, limit, ..live.clone() }.into()
            }
        }
    }

    /// The same items with `factor` times as many rows each, for example one row per head or per element.
    pub fn times(&self, factor: u32) -> Self {
        match &self.live {
            None => Self::from(self.capacity * factor),
            Some(live) => DynamicRows {
                rows_per_item: live.rows_per_item * factor,
                finest_per_item: live.finest_per_item * factor,
                skip: live.skip * factor,
                limit: live.limit.saturating_mul(factor),
                ..live.clone()
            }
            .into(),
        }
    }

    /// The same items with `divisor` rows merged into one: the samples if these rows are the patches of samples. A
    /// window starts and ends at multiples of `divisor`.
    pub fn items(&self, divisor: u32) -> Self {
        match &self.live {
            None => Self::from(self.capacity / divisor),
            Some(live) => DynamicRows {
                rows_per_item: live.rows_per_item / divisor,
                skip: live.skip / divisor,
                limit: if live.limit == u32::MAX { u32::MAX } else { live.limit / divisor },
                ..live.clone()
            }
            .into(),
        }
    }

    /// Counter to bind for kernels that sum over rows, with its first item and rows per item.
    ///
    /// # Errors
    /// As [`Gpu::upload`].
    pub(crate) fn counter(&self, gpu: &Gpu) -> Result<(View, u32, u32)> {
        match &self.live {
            None => Ok((gpu.unlimited()?, 0, 1)),
            Some(live) => Ok((live.live.clone(), live.first, live.rows_per_item)),
        }
    }
}

/// Number of workgroups of a launch.
#[derive(Debug, Clone)]
pub enum Groups {
    /// Known when the plan is recorded, with one index: x + y · (groups in x). More than fit into x are folded into y.
    Fixed(u64),
    /// The grid (x, y, z).
    Grid([u32; 3]),
    /// ⌈rows / rows_per_block⌉ · groups_per_block, with the number of rows from the counter.
    Indirect {
        /// The rows.
        rows: DynamicRows,
        /// Rows per block.
        rows_per_block: u32,
        /// Workgroups per block of rows.
        groups_per_block: u32,
    },
}

impl Groups {
    /// Number of workgroups if a dynamic number of rows is at its capacity.
    pub(in crate::gpu) fn capacity(&self) -> u64 {
        match self {
            Self::Fixed(groups) => *groups,
            Self::Grid(sides) => sides.iter().map(|side| u64::from(*side)).product(),
            Self::Indirect { rows, rows_per_block, groups_per_block } => {
                let rows = u64::from(Rows::from(rows.clone()).capacity);
                rows.div_ceil(u64::from(*rows_per_block)) * u64::from(*groups_per_block)
            }
        }
    }
}

/// Arithmetic and memory traffic of a launch, for profiles and benchmarks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts as two.
    pub flops: f64,
    /// Minimum number of bytes read and written, each counted once.
    pub bytes: f64,
}

impl std::ops::Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}

/// Description of one dispatch.
pub struct Launch<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Spec constants to replace.
    pub spec: &'a [(&'a str, u32)],
    /// Every binding of the kernel, by name.
    pub bindings: &'a [Bind<'a>],
    /// Every member of the kernel's `params`, by name.
    pub params: &'a [(&'a str, Param)],
    /// Number of workgroups.
    pub groups: Groups,
    /// Arithmetic and memory traffic.
    pub cost: Cost,
    /// The shape, for error messages.
    pub shape: String,
}

pub(in crate::gpu) enum Grid {
    Fixed([u32; 3]),
    Indirect { offset: u64 },
}

pub(in crate::gpu) struct Dispatch {
    pub label: &'static str,
    pub scope: &'static str,
    pub compiled: Arc<CompiledKernel>,
    pub bind_group: wgpu::BindGroup,
    pub grid: Grid,
    pub cost: Cost,
    /// Number of executions per replay.
    pub times: u32,
    pub shape: String,
    /// Number of workgroups, at the capacity of dynamic rows.
    pub workgroups: u64,
    /// Whether a replay in pieces does not stop before it.
    pub together: bool,
}

/// A range of dispatches that a replay runs several times in a row.
#[derive(Clone, Copy)]
pub(in crate::gpu) struct Repeat {
    pub first: usize,
    pub end: usize,
    pub times: u32,
}

impl Dispatch {
    /// Cost of all repetitions.
    pub(in crate::gpu) fn whole_cost(&self) -> Cost {
        let times = f64::from(self.times);
        Cost { flops: times * self.cost.flops, bytes: times * self.cost.bytes }
    }
}

/// Size in bytes of a uniform page, which holds parameter blocks.
const PAGE_BYTES: u64 = 64 * 1024;
/// Maximum number of indirect grids of a plan.
const LIVE_GRIDS: u64 = 16384;
/// Initial capacity for indirect grids of a plan, doubled when it is full.
const FIRST_LIVE_GRIDS: u64 = 256;
/// Words of a grid description: first, capacity, rows per item, rows per block, groups per block, counter, skip, limit.
const LIVE_WORDS: usize = 8;

/// The only kernel of this module. Its formula is in the WGSL source.
pub(crate) static WRITE_INDIRECT_ARGS: Kernel = Kernel::trusted(KernelSource {
    name: "write_indirect_args",
    source: include_str!("../../../shaders/device/write_indirect_args.wgsl"),
    shared: &[],
});

struct Live {
    counters: View,
    descriptions: Buffer,
    grids: Buffer,
    /// Host copy of `descriptions`.
    words: Vec<[u32; LIVE_WORDS]>,
    /// Indices of the dispatches that compute grids from descriptions.
    resolving: Vec<usize>,
}

impl Live {
    fn new(gpu: &Gpu, counters: &View, room: u64) -> Result<Self> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::INDIRECT | wgpu::BufferUsages::COPY_DST;
        Ok(Self {
            counters: counters.clone(),
            descriptions: gpu.buffer("ketformer.grids.descriptions", room * LIVE_WORDS as u64)?,
            grids: gpu.buffer_of_usage("ketformer.grids", room * 4, usage)?,
            words: Vec::new(),
            resolving: Vec::new(),
        })
    }

    /// Capacity in grids.
    fn room(&self) -> u64 {
        self.grids.bytes() / 16
    }

    /// Writes the words of all descriptions from `first` on.
    fn write(&self, gpu: &Gpu, first: usize) -> Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.words[first..]);
        gpu.write(self.descriptions.wgpu(), (first * 4 * LIVE_WORDS) as u64, bytes)
    }
}

/// A list of dispatches. See the module documentation.
pub struct Plan {
    gpu: Gpu,
    pub(in crate::gpu) dispatches: Vec<Dispatch>,
    pub(in crate::gpu) repeats: Vec<Repeat>,
    scope: &'static str,
    /// Whether launches recorded from here on are kept together.
    pub(in crate::gpu) together: bool,
    pages: Vec<Buffer>,
    /// Page and offset of each parameter block. Most launches of a plan share theirs with others.
    blocks: HashMap<Vec<u8>, (usize, u64)>,
    page_used: u64,
    tables: HashMap<Vec<u32>, Buffer>,
    /// By label and number of elements.
    scratch: HashMap<(&'static str, u64), Buffer>,
    live: Option<Live>,
    held: Vec<View>,
}

/// (x, y, 1) with x·y ≥ groups and both within the adapter's limit. Kernels invert it with `grid_index`.
fn fold(groups: u64, limit: u32) -> Option<[u32; 3]> {
    let limit = u64::from(limit);
    let y = groups.div_ceil(limit).max(1);
    (y <= limit).then(|| [groups.div_ceil(y) as u32, y as u32, 1])
}

impl Plan {
    /// Creates an empty plan on `gpu`.
    pub fn new(gpu: &Gpu) -> Self {
        Self {
            gpu: gpu.clone(),
            dispatches: Vec::new(),
            repeats: Vec::new(),
            scope: "",
            together: false,
            pages: Vec::new(),
            blocks: HashMap::new(),
            page_used: PAGE_BYTES,
            tables: HashMap::new(),
            scratch: HashMap::new(),
            live: None,
            held: Vec::new(),
        }
    }

    /// The device of the plan.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Sets the name of the part of the step that the following launches belong to, for profiles.
    pub fn scope(&mut self, name: &'static str) {
        self.scope = name;
    }

    /// Number of dispatches recorded so far.
    pub fn len(&self) -> usize {
        self.dispatches.len()
    }

    /// Whether no dispatch is recorded.
    pub fn is_empty(&self) -> bool {
        self.dispatches.is_empty()
    }

    /// Sum of the costs of all launches.
    pub fn cost(&self) -> Cost {
        self.dispatches.iter().fold(Cost::default(), |sum, d| sum + d.whole_cost())
    }

    /// Records one launch. A kernel that is not recorded by a record type of this crate is compiled with the bounds and
    /// loop checks of WebGPU, see [`Kernel`].
    ///
    /// # Errors
    /// [`ErrorKind::Adapter`] for f16 on a device without it, [`ErrorKind::Shader`] if names do not match the WGSL source,
    /// [`ErrorKind::Shape`] if a range is too small, misaligned, bound twice or of the other element type,
    /// [`ErrorKind::Memory`] if it exceeds the adapter's limits.
    pub fn launch(&mut self, launch: &Launch<'_>) -> Result<()> {
        let name = launch.kernel.name;
        if let Some(half) = launch.bindings.iter().find(|bind| bind.view.storage() == DType::F16) {
            self.gpu.require_f16(|| format!("{name}: binding `{}` (`{}`) holds", half.name, half.view.label()))?;
        }
        let textures = launch.kernel.textures(&self.gpu, launch.bindings);
        let compiled = launch.kernel.compile(&self.gpu, launch.spec, &textures)?;
        let bound = check_bindings(launch, &compiled.reflection, self.gpu.limits())?;
        let grid = match &launch.groups {
            Groups::Fixed(groups) => {
                let limit = self.gpu.limits().max_compute_workgroups_per_dimension;
                Grid::Fixed(fold(*groups, limit).ok_or_else(|| {
                    let message = format!("{name}: shape {} needs {groups} workgroups, too many", launch.shape);
                    Error::new(ErrorKind::Shape, message)
                })?)
            }
            Groups::Grid(sides) => {
                let limit = self.gpu.limits().max_compute_workgroups_per_dimension;
                if let Some(side) = sides.iter().find(|side| !(1..=limit).contains(*side)) {
                    let message = format!("{name}: a side of the grid {sides:?} is {side}, expected 1 to {limit}");
                    return Err(Error::new(ErrorKind::Shape, message));
                }
                Grid::Fixed(*sides)
            }
            Groups::Indirect { rows, rows_per_block, groups_per_block } => {
                Grid::Indirect { offset: self.live_grid(rows, *rows_per_block, *groups_per_block)? }
            }
        };
        let params = match compiled.reflection.params_binding {
            Some((number, bytes)) => {
                let block = params_block(name, &compiled.reflection, bytes, launch.params)?;
                Some((number, self.params_page(block)?, u64::from(bytes)))
            }
            None if launch.params.is_empty() => None,
            None => return Err(Error::new(ErrorKind::Shader, format!("{name}: takes no params"))),
        };
        let textures: Vec<(u32, wgpu::TextureView)> = bound
            .iter()
            .filter(|(number, _)| compiled.reflection.textures.contains(number))
            .filter_map(|(number, view)| Some((*number, view.texels(&self.gpu)?)))
            .collect();
        let mut entries: Vec<wgpu::BindGroupEntry<'_>> = bound
            .iter()
            .map(|(number, view)| wgpu::BindGroupEntry {
                binding: *number,
                resource: self.resource(view.wgpu(), view.offset(), view.bytes()),
            })
            .collect();
        entries.extend(textures.iter().map(|(number, texture)| wgpu::BindGroupEntry {
            binding: number + TEXTURES,
            resource: wgpu::BindingResource::TextureView(texture),
        }));
        if let Some((number, (page, offset), bytes)) = params {
            entries.push(wgpu::BindGroupEntry {
                binding: number,
                resource: self.resource(self.pages[page].wgpu(), offset, bytes),
            });
        }
        let descriptor = wgpu::BindGroupDescriptor { label: Some(name), layout: &compiled.layout, entries: &entries };
        let bind_group = self.gpu.guarded(name, || self.gpu.device().create_bind_group(&descriptor))?;
        self.held.extend(bound.into_iter().map(|(_, view)| view));
        self.dispatches.push(Dispatch {
            label: launch.kernel.name,
            scope: self.scope,
            compiled,
            bind_group,
            grid,
            cost: launch.cost,
            times: 1,
            shape: launch.shape.clone(),
            workgroups: launch.groups.capacity(),
            together: self.together,
        });
        Ok(())
    }

    /// A range of a buffer as a binding; the placeholder of the buffer on a device that only plans.
    fn resource<'a>(&self, buffer: &'a wgpu::Buffer, offset: u64, bytes: u64) -> wgpu::BindingResource<'a> {
        let (offset, size) = match self.gpu.ledger.is_some() {
            true => (0, None),
            false => (offset, std::num::NonZeroU64::new(bytes)),
        };
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
    }

    /// Records launches with `record`, which are replayed `times` times in a row. All repetitions are identical: a
    /// value that differs between them, such as the index of a proposal, must be counted on the device. The host
    /// records the launches only once.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for zero times or a nested repetition; any error of `record`.
    pub fn repeat(&mut self, times: u32, record: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let first = self.dispatches.len();
        record(self)?;
        let end = self.dispatches.len();
        if times == 0 || self.repeats.iter().any(|inner| inner.end > first) {
            let message = "a plan repeats launches at least once, and repetitions do not nest";
            return Err(Error::new(ErrorKind::Shape, message));
        }
        self.dispatches[first..].iter_mut().for_each(|dispatch| dispatch.times = times);
        self.repeats.push(Repeat { first, end, times });
        Ok(())
    }

    /// Writes a parameter block into a page, unless an equal block exists, and returns its page and offset.
    fn params_page(&mut self, block: Vec<u8>) -> Result<(usize, u64)> {
        if let Some(place) = self.blocks.get(&block) {
            return Ok(*place);
        }
        let alignment = u64::from(self.gpu.limits().min_uniform_buffer_offset_alignment);
        let mut offset = self.page_used.next_multiple_of(alignment);
        if offset + block.len() as u64 > PAGE_BYTES {
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            self.pages.push(self.gpu.buffer_of_usage("ketformer.params", PAGE_BYTES / 4, usage)?);
            offset = 0;
        }
        let page = self.pages.len() - 1;
        self.gpu.write(self.pages[page].wgpu(), offset, &block)?;
        self.page_used = offset + block.len() as u64;
        self.blocks.insert(block, (page, offset));
        Ok((page, offset))
    }

    /// Returns a buffer with the words of a table. Equal tables share one.
    ///
    /// # Errors
    /// As [`Gpu::upload`].
    pub(crate) fn table(&mut self, label: &str, words: Vec<u32>) -> Result<View> {
        if let Some(buffer) = self.tables.get(&words) {
            return Ok(buffer.view());
        }
        let buffer = self.gpu.upload(label, &words)?;
        let view = buffer.view();
        self.tables.insert(words, buffer);
        Ok(view)
    }

    /// Returns a buffer of `elements` floats for what one launch writes and the next one reads. Requests of one label and
    /// size share a buffer.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub(crate) fn scratch(&mut self, label: &'static str, elements: u64) -> Result<View> {
        if let Some(buffer) = self.scratch.get(&(label, elements)) {
            return Ok(buffer.view());
        }
        let buffer = self.gpu.buffer(label, elements)?;
        let view = buffer.view();
        self.scratch.insert((label, elements), buffer);
        Ok(view)
    }

    /// Records the kernel that computes, from counters (u32s written by earlier launches), the grids of all launches
    /// with [`Groups::Indirect`] whose counter is a word of `counters`. Record it again after any later change of the
    /// counters.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the view differs from that of the first call; as [`Gpu::buffer`] and [`Plan::launch`].
    pub fn write_indirect_args(&mut self, counters: &View) -> Result<()> {
        let live = match self.live.take() {
            Some(live) => live,
            None => Live::new(&self.gpu, counters, FIRST_LIVE_GRIDS)?,
        };
        let live = self.live.insert(live);
        if live.counters.wgpu() != counters.wgpu() {
            return Err(Error::new(ErrorKind::Shape, "write_indirect_args: a plan has one buffer of counters"));
        }
        live.resolving.push(self.dispatches.len());
        self.record_resolving(counters)
    }

    /// Records the kernel over the current tables.
    fn record_resolving(&mut self, counters: &View) -> Result<()> {
        let Some(live) = &self.live else { return Ok(()) };
        let (room, descriptions, grids) = (live.room(), live.descriptions.view(), live.grids.view());
        let limit = self.gpu.limits().max_compute_workgroups_per_dimension;
        self.launch(&Launch {
            kernel: &WRITE_INDIRECT_ARGS,
            spec: &[],
            bindings: &bind!(
                live = counters[counters.bytes() / 4],
                descriptions[room * LIVE_WORDS as u64],
                grids[room * 4]
            ),
            params: &[("launches", (room as u32).into()), ("limit", limit.into())],
            groups: Groups::Fixed(room / 64),
            cost: Cost::default(),
            shape: format!("({room})"),
        })
    }

    /// Doubles the capacity for indirect grids. Launches refer to their grid by its offset, not by its buffer.
    fn grow_live_grids(&mut self) -> Result<()> {
        let Some(old) = self.live.take() else { return Ok(()) };
        let mut live = Live::new(&self.gpu, &old.counters, (2 * old.room()).min(LIVE_GRIDS))?;
        live.words = old.words;
        live.write(&self.gpu, 0)?;
        let is_old = |view: &View| [&old.descriptions, &old.grids].iter().any(|buffer| buffer.wgpu() == view.wgpu());
        self.held.retain(|view| !is_old(view));
        let counters = live.counters.clone();
        self.live = Some(live);
        for at in &old.resolving {
            self.record_resolving(&counters)?;
            if let Some(recorded) = self.dispatches.pop() {
                let Dispatch { scope, times, together, .. } = self.dispatches[*at];
                self.dispatches[*at] = Dispatch { scope, times, together, ..recorded };
            }
        }
        if let Some(live) = &mut self.live {
            live.resolving = old.resolving;
        }
        Ok(())
    }

    /// Adds the description of an indirect grid and returns the byte offset of the grid.
    fn live_grid(&mut self, rows: &DynamicRows, rows_per_block: u32, groups_per_block: u32) -> Result<u64> {
        let message = "a launch over dynamic rows needs Plan::write_indirect_args on its counter before it";
        let missing = || Error::new(ErrorKind::Shape, message);
        if self.live.as_ref().is_some_and(|live| live.words.len() as u64 == live.room() && live.room() < LIVE_GRIDS) {
            self.grow_live_grids()?;
        }
        let live = self.live.as_mut().ok_or_else(missing)?;
        let counter = rows.live.offset().checked_sub(live.counters.offset()).ok_or_else(missing)? / 4;
        if rows.live.wgpu() != live.counters.wgpu() || counter * 4 >= live.counters.bytes() {
            return Err(missing());
        }
        if live.words.len() as u64 == LIVE_GRIDS {
            let message = format!(
                "a plan holds at most {LIVE_GRIDS} indirect grids; use larger chunks, by a larger memory budget"
            );
            return Err(Error::new(ErrorKind::Memory, message));
        }
        let slot = live.words.len();
        live.words.push([
            rows.first,
            rows.capacity,
            rows.rows_per_item,
            rows_per_block,
            groups_per_block,
            counter as u32,
            rows.skip,
            rows.limit,
        ]);
        live.write(&self.gpu, slot)?;
        Ok(16 * slot as u64)
    }

    /// Encodes every dispatch into the caller's compute pass. Allocates nothing and cannot fail.
    pub fn replay(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.order().for_each(|dispatch| self.encode(pass, dispatch));
    }

    /// Dispatches in replay order.
    pub(in crate::gpu) fn order(&self) -> impl Iterator<Item = &Dispatch> {
        let all = self.dispatches.len();
        let mut at = 0;
        let end = Repeat { first: all, end: all, times: 1 };
        self.repeats.iter().copied().chain([end]).flat_map(move |repeat| {
            let plain = &self.dispatches[at..repeat.first];
            let repeated = &self.dispatches[repeat.first..repeat.end];
            at = repeat.end;
            plain.iter().chain((0..repeat.times).flat_map(move |_| repeated))
        })
    }

    pub(in crate::gpu) fn encode(&self, pass: &mut wgpu::ComputePass<'_>, dispatch: &Dispatch) {
        pass.set_pipeline(&dispatch.compiled.pipeline);
        pass.set_bind_group(0, &dispatch.bind_group, &[]);
        match (&dispatch.grid, &self.live) {
            (Grid::Fixed([x, y, z]), _) => pass.dispatch_workgroups(*x, *y, *z),
            (Grid::Indirect { offset }, Some(live)) => pass.dispatch_workgroups_indirect(live.grids.wgpu(), *offset),
            (Grid::Indirect { .. }, None) => unreachable!("live_grid creates the tables"),
        }
    }

    /// Encodes the whole plan as one pass.
    pub fn encode_pass(&self, encoder: &mut wgpu::CommandEncoder) {
        let descriptor = wgpu::ComputePassDescriptor { label: Some("ketformer.plan"), timestamp_writes: None };
        self.replay(&mut encoder.begin_compute_pass(&descriptor));
    }

    /// Replays the plan in one submission without waiting for it.
    pub fn submit(&self) -> wgpu::SubmissionIndex {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.encode_pass(&mut encoder);
        self.gpu.queue().submit([encoder.finish()])
    }
}

fn params_block(name: &str, reflection: &Reflection, bytes: u32, given: &[(&str, Param)]) -> Result<Vec<u8>> {
    let error = |message: String| Error::new(ErrorKind::Shader, format!("{name}: {message}"));
    if let Some((extra, _)) = given.iter().find(|(n, _)| !reflection.params.iter().any(|(known, _, _)| known == n)) {
        return Err(error(format!("its params have no member `{extra}`")));
    }
    let mut block = vec![0u8; bytes as usize];
    for (member, offset, float) in &reflection.params {
        let found = given.iter().find(|(n, _)| n == member);
        let (_, value) = found.ok_or_else(|| error(format!("member `{member}` of its params is not given")))?;
        let raw = match (value, float) {
            (Param::U32(value), false) => value.to_le_bytes(),
            (Param::F32(value), true) => value.to_le_bytes(),
            _ => return Err(error(format!("member `{member}` of its params has the wrong number type"))),
        };
        block[*offset as usize..*offset as usize + 4].copy_from_slice(&raw);
    }
    Ok(block)
}

/// Matches the bindings of a launch to those of the kernel, checks them, and shortens each to what the kernel accesses.
fn check_bindings(launch: &Launch<'_>, reflection: &Reflection, limits: &wgpu::Limits) -> Result<Vec<(u32, View)>> {
    let name = launch.kernel.name;
    let shader_error = |message: String| Error::new(ErrorKind::Shader, format!("{name}: {message}"));
    if let Some(extra) = launch.bindings.iter().find(|b| !reflection.bindings.iter().any(|(_, n, _)| n == b.name)) {
        return Err(shader_error(format!("has no binding `{}`", extra.name)));
    }
    let mut bound: Vec<(u32, View, &str, Access)> = Vec::new();
    for (number, binding, access) in &reflection.bindings {
        let given = launch.bindings.iter().find(|b| b.name == binding);
        let given = given.ok_or_else(|| shader_error(format!("binding `{binding}` is not given")))?;
        let least = reflection.least_bytes.iter().find(|(own, _)| own == number).map_or(0, |(_, bytes)| *bytes);
        // A range is at least one element of the WGSL array, such as a vec4, and whole words.
        let touched = given.elements.saturating_mul(given.view.storage().bytes()).max(u64::from(least));
        let touched = touched.checked_next_multiple_of(4).unwrap_or(u64::MAX);
        let (needed, usage, alignment, most, remedy) = match access {
            Access::Uniform(bytes) => (
                touched.max(u64::from(*bytes)),
                wgpu::BufferUsages::UNIFORM,
                limits.min_uniform_buffer_offset_alignment,
                limits.max_uniform_buffer_binding_size,
                "declare a shorter array in the WGSL source",
            ),
            Access::Read | Access::Write => (
                touched,
                wgpu::BufferUsages::STORAGE,
                limits.min_storage_buffer_offset_alignment,
                limits.max_storage_buffer_binding_size,
                "use a smaller memory budget or fewer samples",
            ),
        };
        let held = given.view.bytes();
        let shape_error =
            |message: String| Error::new(ErrorKind::Shape, format!("{name}: binding `{binding}` {message}"));
        if held < needed || held == 0 {
            return Err(shape_error(format!(
                "(`{}`) holds {held} bytes, shape {} needs {needed}",
                given.view.label(),
                launch.shape
            )));
        }
        if !given.view.wgpu().usage().contains(usage) {
            return Err(shape_error(format!("(`{}`) needs a buffer of usage {usage:?}", given.view.label())));
        }
        if (given.view.storage() == DType::F16) != reflection.halves.contains(number) {
            let (given, expected) = match given.view.storage() {
                DType::F16 => (given.view.label(), ["f16", "f32"]),
                DType::F32 => (given.view.label(), ["f32", "f16"]),
            };
            let [held, expected] = expected;
            return Err(shape_error(format!(
                "(`{given}`) holds {held}, this launch expects {expected}; use a buffer of {expected}"
            )));
        }
        if !given.view.offset().is_multiple_of(u64::from(alignment)) {
            let offset = given.view.offset();
            return Err(shape_error(format!("starts at byte {offset}, which is not a multiple of {alignment}")));
        }
        let view = given.view.clone().cut(needed);
        if view.bytes() > most {
            let bytes = view.bytes();
            let message =
                format!("{name}: binding `{binding}` is {bytes} bytes, this adapter binds at most {most}; {remedy}");
            return Err(Error::new(ErrorKind::Memory, message));
        }
        for (_, other, other_name, other_access) in &bound {
            let written = *access == Access::Write || *other_access == Access::Write;
            // A dispatch cannot both read and write one buffer, and two written ranges must not overlap.
            let mixed = access != other_access && view.wgpu() == other.wgpu();
            if written && (mixed || view.overlaps(other)) {
                return Err(shape_error(format!(
                    "and `{other_name}` share buffer `{}`, and one is written; give each its own buffer",
                    given.view.label()
                )));
            }
        }
        bound.push((*number, view, given.name, *access));
    }
    Ok(bound.into_iter().map(|(number, view, _, _)| (number, view)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuFigures;

    /// Skipped rows, limit and capacity of dynamic rows.
    fn window(rows: &Rows) -> [u32; 3] {
        let live = rows.live.as_ref().expect("the rows are dynamic");
        [live.skip, live.limit, rows.capacity]
    }

    #[test]
    fn windows_stay_windows_of_items_and_of_finer_rows() {
        let gpu = Gpu::planning(&GpuFigures::ALL[0]).unwrap();
        let counter = gpu.buffer("counter", 4).unwrap().view();
        let rows = Rows::from(DynamicRows::new(counter, 0, 10, 12));
        assert_eq!(window(&rows), [0, u32::MAX, 120]);
        assert_eq!(window(&rows.items(4)), [0, u32::MAX, 30]);
        let part = rows.window(24, 48);
        assert_eq!(window(&part), [24, 48, 48]);
        assert_eq!(window(&part.times(3)), [72, 144, 144]);
        assert_eq!(window(&part.items(12)), [2, 4, 4]);
        assert_eq!(window(&part.times(3).items(3)), window(&part));
        // A window of a window stays inside.
        assert_eq!(window(&part.window(36, 100)), [60, 12, 12]);
        assert_eq!(window(&rows.window(108, 100)), [108, 100, 12]);
    }

    #[test]
    fn grids_fold_into_two_dimensions() {
        assert_eq!(fold(0, 10), Some([0, 1, 1]));
        assert_eq!(fold(10, 10), Some([10, 1, 1]));
        assert_eq!(fold(11, 10), Some([6, 2, 1]));
        assert_eq!(fold(100, 10), Some([10, 10, 1]));
        assert_eq!(fold(101, 10), None);
    }
}
