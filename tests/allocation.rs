//! A training step creates no buffer on the GPU, and allocates on the host only what wgpu needs to encode and submit
//! it, which does not grow.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};

use ketformer::gpu::Gpu;
use ketformer::model::Ptf;
use ketformer::physics::{Lattice, Patch, Rydberg};
use ketformer::vmc::{Schedule, TrainConfig, Trainer};

/// Counts the allocations of each thread separately, because the test harness has other threads.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static MADE: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// Whether allocations are traced. Off while a trace is captured.
    static TRACING: Cell<bool> = const { Cell::new(false) };
    static TRACES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note(grown: i64) {
    MADE.set(MADE.get() + 1);
    LIVE.set(LIVE.get() + grown);
    if TRACING.replace(false) {
        let trace = Backtrace::force_capture().to_string();
        TRACES.with_borrow_mut(|traces| traces.push(trace));
        TRACING.set(true);
    }
}

// SAFETY: every request is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's request, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as i64);
        // SAFETY: the caller's request, unchanged.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as i64 - layout.size() as i64);
        // SAFETY: the caller's request, unchanged.
        unsafe { System.realloc(memory, layout, size) }
    }
}

fn trainer(gpu: &Gpu) -> Trainer {
    let ptf = Ptf { patch: Patch::Block([2, 2]), width: 16, heads: 4, feed_forward: 32, ..Ptf::default() };
    let schedule = Schedule::Cosine { steps: 1000 };
    let config = TrainConfig { samples: 64, schedule, warmup: 5, clip: Some(1.0), ..TrainConfig::default() };
    Trainer::new(gpu, &Lattice::square(4, 4), &Rydberg::default(), &ptf, config).unwrap()
}

fn gpu() -> Gpu {
    Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")
}

fn step(trainer: &mut Trainer) {
    let report = trainer.steps(2).next().unwrap().unwrap();
    assert!(report.accepted && report.energy.is_finite(), "{report:?}");
}

/// Names, sizes and offsets of all buffers of the device, including wgpu's.
fn buffers(gpu: &Gpu) -> Option<Vec<(String, u64, u64)>> {
    let report = gpu.device().generate_allocator_report()?;
    let mut all: Vec<_> = report.allocations.into_iter().map(|a| (a.name, a.size, a.offset)).collect();
    all.sort();
    Some(all)
}

#[test]
fn a_step_makes_no_buffer() {
    let gpu = gpu();
    let mut trainer = trainer(&gpu);
    (0..3).for_each(|_| step(&mut trainer));
    let (counted, aliased, reported) = (gpu.allocated(), gpu.aliased(), buffers(&gpu));
    for _ in 0..40 {
        // A step is still in flight after each of these, so that buffers that it creates would be counted.
        step(&mut trainer);
        assert_eq!((gpu.allocated(), gpu.aliased()), (counted, aliased));
        assert_eq!(buffers(&gpu), reported);
    }
    // Not every backend has this report; Vulkan does. It includes writes through the queue, which steps avoid.
    if let Some(reported) = reported {
        assert!(reported.iter().any(|(name, ..)| name.starts_with("ketformer")), "{reported:?}");
        let buffer = gpu.buffer("written", 4).unwrap();
        buffer.write(&gpu, &[1u32; 4]).unwrap();
        // Buffers that textures alias have separate allocations.
        let more = buffers(&gpu).unwrap().len() + usize::from(gpu.aliased() > aliased);
        assert_eq!(more, reported.len() + 2, "a buffer and wgpu's staging buffer for it");
    }
}

#[test]
fn what_a_step_allocates_on_the_host_does_not_grow() {
    let gpu = gpu();
    let mut trainer = trainer(&gpu);
    // A multiple of the number of staging buffers, in which the states of wgpu repeat.
    let mut counts = [0; 48];
    (0..16).for_each(|_| step(&mut trainer));
    let live = LIVE.get();
    for count in &mut counts {
        let before = MADE.get();
        step(&mut trainer);
        *count = MADE.get() - before;
    }
    let left = LIVE.get() - live;
    println!("{counts:?}");
    assert_eq!(left, 0, "bytes are left after 48 steps");
    assert!(counts[0] > 0, "wgpu allocates for every submission, and nothing was counted");
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*most <= least + least / 4, "steps do not allocate the same number of times: {counts:?}");
}

/// Crate and function that make an allocation: the innermost frame of this crate or of wgpu's crates. A function that was
/// inlined is known by its file, another one by its name.
fn maker(trace: &str) -> String {
    let mut lines = trace.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some((_, name)) = line.split_once(": ") else { continue };
        let file = lines.next_if(|next| next.starts_with("at ")).unwrap_or_default();
        let of_file = match file.split_once("/registry/src/") {
            Some((_, path)) => path.split('/').nth(1),
            None => file.starts_with("at ./src/").then_some("ketformer"),
        };
        let of_name = name.trim_start_matches('<').split("::").next().unwrap_or_default();
        let found = of_file.unwrap_or(of_name);
        if ["ketformer", "wgpu", "naga", "gpu_allocator", "gpu-allocator"].iter().any(|known| found.starts_with(known))
        {
            return format!("{found}: {name}");
        }
    }
    trace.into()
}

/// Functions that allocate during `run`.
fn makers(run: impl FnOnce()) -> Vec<String> {
    TRACING.set(true);
    run();
    TRACING.set(false);
    TRACES.take().iter().map(|trace| maker(trace)).collect()
}

#[test]
fn nothing_that_a_step_allocates_on_the_host_is_ours() {
    let gpu = gpu();
    let mut trainer = trainer(&gpu);
    (0..16).for_each(|_| step(&mut trainer));
    let of_step = makers(|| step(&mut trainer));
    assert!(!of_step.is_empty(), "wgpu allocates for every submission, and nothing was traced");
    let foreign = |maker: &&String| maker.starts_with("wgpu");
    let ours: Vec<&String> = of_step.iter().filter(|maker| !foreign(maker)).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    // Allocations of this crate are detected if there are any.
    let of_weights = makers(|| drop(trainer.weights()));
    assert!(of_weights.iter().any(|maker| maker.starts_with("ketformer: ")), "{of_weights:#?}");
}
