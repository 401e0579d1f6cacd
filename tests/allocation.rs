//! A training step allocates nothing of its own: no buffer on the GPU, and on the host only what wgpu needs to encode and
//! submit it, which does not grow.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};

use ketformer::gpu::Gpu;
use ketformer::model::Ptf;
use ketformer::physics::{Lattice, Patch, Rydberg};
use ketformer::vmc::{Schedule, TrainConfig, Trainer};

/// Counts what the thread that asks allocates; other threads of the test harness have their own counts.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static MADE: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// Whether allocations are to be traced; off while one is.
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

// SAFETY: every request goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: as asked.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as i64);
        // SAFETY: as asked.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as i64 - layout.size() as i64);
        // SAFETY: as asked.
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

/// Names, sizes and places of all buffers of the device, wgpu's own among them.
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
        // A step is still under way after each of these, so that what it made for itself would be seen.
        step(&mut trainer);
        assert_eq!((gpu.allocated(), gpu.aliased()), (counted, aliased));
        assert_eq!(buffers(&gpu), reported);
    }
    // Not every backend tells; Vulkan does. Writing through the queue, which steps avoid, is noticed.
    if let Some(reported) = reported {
        assert!(reported.iter().any(|(name, ..)| name.starts_with("ketformer")), "{reported:?}");
        let buffer = gpu.buffer("written", 4).unwrap();
        buffer.write(&gpu, &[1u32; 4]).unwrap();
        // Buffers that textures alias have allocations of their own.
        let more = buffers(&gpu).unwrap().len() + usize::from(gpu.aliased() > aliased);
        assert_eq!(more, reported.len() + 2, "a buffer and wgpu's way into it");
    }
}

#[test]
fn what_a_step_allocates_on_the_host_does_not_grow() {
    let gpu = gpu();
    let mut trainer = trainer(&gpu);
    let mut counts = [0; 50];
    (0..10).for_each(|_| step(&mut trainer));
    let live = LIVE.get();
    for count in &mut counts {
        let before = MADE.get();
        step(&mut trainer);
        *count = MADE.get() - before;
    }
    let left = LIVE.get() - live;
    println!("{counts:?}");
    assert_eq!(left, 0, "bytes are left after 50 steps");
    assert!(counts[0] > 0, "wgpu allocates for every submission, and nothing was counted");
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*most <= least + least / 4, "steps do not allocate alike: {counts:?}");
}

/// The function in which an allocation is made: the innermost one of this crate or of wgpu's.
fn maker(trace: &str) -> &str {
    let functions = trace.lines().filter_map(|line| line.trim().split_once(": ").map(|(_, name)| name));
    let crates = ["ketformer::", "wgpu", "naga::", "gpu_allocator::"];
    let of_interest = |name: &&str| crates.iter().any(|known| name.trim_start_matches('<').starts_with(known));
    functions.into_iter().find(of_interest).unwrap_or(trace)
}

/// The functions that allocate while `run` runs.
fn makers(run: impl FnOnce()) -> Vec<String> {
    TRACING.set(true);
    run();
    TRACING.set(false);
    TRACES.take().iter().map(|trace| maker(trace).to_string()).collect()
}

#[test]
fn nothing_that_a_step_allocates_on_the_host_is_ours() {
    let gpu = gpu();
    let mut trainer = trainer(&gpu);
    (0..10).for_each(|_| step(&mut trainer));
    let of_step = makers(|| step(&mut trainer));
    assert!(!of_step.is_empty(), "wgpu allocates for every submission, and nothing was traced");
    let foreign = |maker: &&String| maker.trim_start_matches('<').starts_with("wgpu");
    let ours: Vec<&String> = of_step.iter().filter(|maker| !foreign(maker)).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    // What is ours is seen where there is any.
    let of_weights = makers(|| drop(trainer.weights()));
    assert!(of_weights.iter().any(|maker| maker.contains("ketformer")), "{of_weights:#?}");
}
