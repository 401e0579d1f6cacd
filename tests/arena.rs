//! Benchmark of third-party attention kernels: every kind of wrong kernel gets its status, every right one times.

use ketformer::Gpu;
use ketformer::arena::{
    Arena, ArenaConfig, AttentionProblem, BenchRow, Candidate, Event, ForeignKernel, Limits, Mask, Pass, Status,
};

fn gpu() -> Gpu {
    Gpu::new().expect("the tests need an adapter; ./setup.sh installs a software one")
}

/// Settings that take little time.
fn arena(gpu: &Gpu) -> Arena {
    let mut config = ArenaConfig::new(gpu);
    (config.runs, config.least_ms, config.flush_bytes) = (3, 0.0, 1 << 20);
    Arena::new(gpu, config, Limits::default())
}

fn example(name: &str) -> Candidate {
    let file = format!("{}/examples/kernels/{name}.wgsl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap();
    Candidate::Foreign(ForeignKernel::new(&format!("examples/kernels/{name}.wgsl"), &text))
}

fn problem(shape: &str, mask: Mask, pass: Pass) -> AttentionProblem {
    AttentionProblem { mask, pass, ..AttentionProblem::parse(shape).unwrap() }
}

fn rows(problem: &AttentionProblem, candidates: &[Candidate]) -> Vec<BenchRow> {
    let gpu = gpu();
    arena(&gpu).run(problem, candidates, &mut |_| ()).unwrap()
}

#[test]
fn right_kernels_have_times_and_the_same_bits() {
    for (shape, mask) in [("2x4x16x8", Mask::Causal), ("1x4/2x5:33x12", Mask::Causal), ("2x2x17x7", Mask::Full)] {
        for pass in [Pass::Forward, Pass::ForwardBackward] {
            let problem = problem(shape, mask, pass);
            let mut candidates = Candidate::ours(&problem);
            if problem.width.is_multiple_of(4) {
                candidates.push(Candidate::Foreign(ForeignKernel::naive()));
            }
            let mut events = Vec::new();
            let gpu = gpu();
            let rows = arena(&gpu).run(&problem, &candidates, &mut |event| {
                if let Event::Row(row) = event {
                    events.push(row.kernel.clone());
                }
            });
            let rows = rows.unwrap();
            assert_eq!(rows.len(), candidates.len());
            assert_eq!(events.len(), rows.len());
            for row in rows {
                assert_eq!(
                    (row.status, row.error.as_deref()),
                    (Status::Passed, None),
                    "{shape} {mask} {pass}: {row:?}"
                );
                assert!(row.median_ms.is_some_and(|ms| ms > 0.0) && row.cold_ms.is_some(), "{row:?}");
                assert_eq!((row.deterministic, row.repeats, row.runs >= 3), (Some(true), 10, true), "{row:?}");
                assert!(row.max_error.zip(row.tolerance).is_some_and(|(error, most)| error <= most), "{row:?}");
            }
        }
    }
}

#[test]
fn a_tiled_kernel_of_someone_else_is_right_everywhere() {
    let shapes = ["2x4/2x70x16", "1x2x65x64", "1x2/1x1:130x8", "1x1x33x256", "1x1x3x256"];
    for shape in shapes {
        for (mask, pass) in [(Mask::Causal, Pass::ForwardBackward), (Mask::Full, Pass::ForwardBackward)] {
            let problem = problem(shape, mask, pass);
            let row = rows(&problem, &[example("flash_tiled")]).remove(0);
            assert_eq!((row.status, row.error), (Status::Passed, None), "{shape} {mask} {pass}");
        }
    }
    let odd = rows(&problem("1x1x8x6", Mask::Causal, Pass::Forward), &[example("flash_tiled")]).remove(0);
    assert_eq!(odd.status, Status::Unsupported, "{odd:?}");
}

#[test]
fn every_wrong_kernel_gets_its_status_and_no_time() {
    let problem = problem("2x4/2x40x16", Mask::Causal, Pass::Forward);
    for (name, status, words) in [
        ("skips_last_key", Status::IncorrectNumerical, "`o` has an error of"),
        ("cached", Status::IncorrectNumerical, "`o` has an error of"),
        ("modifies_input", Status::ModifiedInput, "elements of `k`, which is an input, were modified"),
        ("does_not_compile", Status::CompileError, "does_not_compile.wgsl:21:"),
    ] {
        let row = rows(&problem, &[example(name)]).remove(0);
        assert_eq!(row.status, status, "{name}: {row:?}");
        assert!(row.error.as_ref().is_some_and(|error| error.contains(words)), "{name}: {row:?}");
        assert_eq!((row.median_ms, row.cold_ms, row.gflops), (None, None, None), "{name}");
    }
}

#[test]
fn a_kernel_that_a_software_driver_ends_is_not_called_wrong() {
    let gpu = gpu();
    if !gpu.is_software() || ketformer::kernels::device::probe::long_loops_end(&gpu).unwrap() {
        // On this adapter it never ends, and the program stops it: tests/program.
        return;
    }
    let row = rows(&problem("1x1x8x4", Mask::Causal, Pass::Forward), &[example("never_ends")]).remove(0);
    assert_eq!(row.status, Status::Timeout, "{row:?}");
    assert!(row.error.is_some_and(|error| error.contains("turns of loops")));
}
