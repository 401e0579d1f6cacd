//! The budget of `--memory` is not exceeded, as counted by wgpu's allocator. If it is too small, the error names a
//! sufficient one.

use ketformer::gpu::Gpu;
use ketformer::model::{Lptf, Metropolis, Model, Proposal, Ptf, Rbm, Rnn, Subsampler, Vit};
use ketformer::physics::{Lattice, Patch, Rydberg};
use ketformer::vmc::{TrainConfig, Trainer};
use ketformer::{Error, ErrorKind, Result};

/// Maximum size of the trainers in these tests: drivers that compute on the CPU may not have more memory.
const MOST: u64 = 2 << 30;
/// Fraction of a budget by which wgpu's memory blocks may exceed it: buffers of two to four MiB do not share a block of
/// four.
const BLOCK_TOLERANCE: f64 = 0.15;

fn gpu() -> Gpu {
    Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")
}

fn trainer(gpu: &Gpu, model: &dyn Model, side: usize, samples: usize, memory: u64) -> Result<Trainer> {
    let config = TrainConfig { samples, memory: Some(memory), ..TrainConfig::default() };
    Trainer::new(gpu, &Lattice::square(side, side), &Rydberg::default(), model, config)
}

/// Budget in bytes that the error for a smaller one suggests.
fn remedy(error: &Error) -> u64 {
    assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
    let text = error.to_string();
    let number = text.split("TrainConfig::memory=").nth(1).and_then(|text| text.split("MiB").next());
    let mebibytes: u64 = number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no remedy: {text}"));
    mebibytes << 20
}

/// Bytes of all buffers on the device, this crate's and wgpu's, and of the memory blocks that contain them.
fn taken(gpu: &Gpu) -> Option<[u64; 2]> {
    let report = gpu.device().generate_allocator_report()?;
    // Buffers with separate allocations are not in wgpu's report.
    Some([report.total_allocated_bytes, report.total_reserved_bytes].map(|bytes| bytes + gpu.aliased()))
}

fn check(gpu: &Gpu, name: &str, memory: u64) {
    let counted = gpu.allocated();
    assert!(counted <= memory, "{name}: {counted} of {memory} bytes");
    // Vulkan and DX12 report it; Metal does not.
    if let Some([allocated, reserved]) = taken(gpu) {
        println!("{name}: {counted} counted, {allocated} allocated, {reserved} reserved of {memory}");
        assert!(counted <= allocated && allocated <= memory, "{name}: {allocated} bytes are allocated of {memory}");
        // Both counts agree: wgpu's also includes its internal buffers of half a MiB and pending copies.
        assert!(allocated - counted <= 4 << 20, "{name}: {counted} bytes are counted, {allocated} are allocated");
        let limit = (memory as f64 * (1.0 + BLOCK_TOLERANCE)) as u64;
        assert!(reserved <= limit, "{name}: {reserved} bytes are reserved of {memory}");
    }
}

/// Wave function with the sides of lattices and the numbers of samples to test.
struct Row {
    name: &'static str,
    model: Box<dyn Model>,
    sides: &'static [usize],
    samples: &'static [usize],
}

fn rows() -> Vec<Row> {
    let row = |name, model, sides, samples| Row { name, model, sides, samples };
    let lptf = Lptf {
        transformer: Ptf { width: 32, feed_forward: 64, patch: Patch::Block([4, 4]), ..Ptf::default() },
        subsampler: Subsampler::Rnn(Rnn { width: 32, patch: Patch::Block([2, 2]), ..Rnn::default() }),
    };
    let flips = Metropolis { proposal: Proposal::Flip, ..Vit::default_sampling() };
    let vit = Vit { width: 24, heads: 4, layers: 2, sampling: flips, ..Vit::default() };
    let (sides, samples): (&[usize], &[usize]) = (&[4, 8, 12, 16], &[64, 256, 1024, 4096]);
    vec![
        row("small", Box::new(Ptf { width: 32, feed_forward: 64, ..Ptf::default() }), sides, samples),
        row("default", Box::<Ptf>::default(), sides, samples),
        row("rnn", Box::new(Rnn { width: 32, ..Rnn::default() }), &[4, 8], &[64, 1024]),
        row("lptf", Box::new(lptf), &[4, 8], &[64, 1024]),
        row("rbm", Box::<Rbm>::default(), &[4, 16], &[64, 4096]),
        row("vit", Box::new(vit), &[4, 8], &[64, 1024]),
    ]
}

#[test]
fn a_budget_is_kept_at_every_size() {
    for Row { name, model, sides, samples } in rows() {
        let gpu = gpu();
        for (&side, &samples) in sides.iter().flat_map(|side| samples.iter().map(move |samples| (side, samples))) {
            let new = |memory| trainer(&gpu, &*model, side, samples, memory);
            let least = remedy(&new(0).err().expect("nothing fits into no memory"));
            assert!(new(least - (1 << 20)).is_err(), "{name}: {least} is the stated minimum, but less does too");
            for memory in [least, least + least / 3, 3 * least].into_iter().filter(|memory| *memory <= MOST) {
                let trainer = new(memory).unwrap_or_else(|error| panic!("{name}: {memory} bytes: {error}"));
                let chunks = trainer.chunks();
                check(&gpu, &format!("{name}, {} sites, {samples} samples {chunks:?}", side * side), memory);
                drop(trainer);
                // Dropped buffers are freed at the next wait for the device.
                gpu.wait(None).unwrap();
            }
        }
    }
}

#[test]
fn a_budget_is_kept_while_steps_run() {
    let gpu = gpu();
    for Row { name, model, .. } in rows() {
        let new = |memory| trainer(&gpu, &*model, 4, 100, memory);
        let least = remedy(&new(0).err().expect("nothing fits into no memory"));
        let mut trainer = new(least).unwrap();
        for report in trainer.steps(3) {
            report.unwrap();
            check(&gpu, name, least);
        }
        // Weights are transferred through a separate window, whatever their size.
        let weights = trainer.weights().unwrap();
        check(&gpu, name, least);
        trainer.set_weights(&weights).unwrap();
        check(&gpu, name, least);
        drop(trainer);
        gpu.wait(None).unwrap();
    }
}
