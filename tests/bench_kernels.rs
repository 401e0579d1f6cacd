//! Third-party kernels: those of `ketformer bench attention --kernel` in processes of their own, each with its status, and
//! those of an application.

mod program;

use std::fs;
use std::path::Path;

use ketformer::bench::{Bench, BenchConfig, BenchShape, RowKey, Status};
use ketformer::gpu::{Bind, Cost, Groups, Kernel, Launch, Plan};
use ketformer::kernels::{Comparison, Expected};
use program::{end, program};
use tempfile::TempDir;

fn example(name: &str) -> String {
    format!("{}/examples/kernels/{name}.wgsl", env!("CARGO_MANIFEST_DIR"))
}

/// Rows that `bench attention` with these words writes, and its exit code.
fn rows(folder: &Path, words: &str, threads: &str) -> (Vec<serde_json::Value>, Option<i32>) {
    let line = format!("bench attention {words} --runs 3 --min-time 0 --quiet --json rows.json");
    let mut command = program(folder, &line);
    command.env("LP_NUM_THREADS", threads);
    let ended = end(command);
    assert!(folder.join("rows.json").is_file(), "{line}: {}", ended.stderr);
    let text = fs::read_to_string(folder.join("rows.json")).unwrap();
    fs::remove_file(folder.join("rows.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    (json["rows"].as_array().unwrap().clone(), ended.code)
}

#[test]
fn every_kernel_gets_its_row_whatever_the_others_do() {
    let folder = TempDir::new().unwrap();
    // Drivers of CPUs end long loops. A grid without end is beyond them.
    let never_ends = fs::read_to_string(example("never_ends")).unwrap();
    let grid = "// grid: 65535, 65535, 1";
    let endless = never_ends.replace("// grid: (S + 63) / 64, H, B", grid).replace("if (id.x >= S) { return; }", "");
    assert!(endless.contains(grid) && !endless.contains("return"));
    fs::write(folder.path().join("endless.wgsl"), endless).unwrap();
    let expected = [
        ("skips_last_key", "INCORRECT_NUMERICAL"),
        ("endless", "TIMEOUT"),
        ("cached", "INCORRECT_NUMERICAL"),
        ("modifies_input", "MODIFIED_INPUT"),
        ("never_ends", "TIMEOUT"),
        ("does_not_compile", "COMPILE_ERROR"),
        ("naive", "PASSED"),
        ("flash_tiled", "PASSED"),
    ];
    let file = |name: &str| if name == "endless" { "endless.wgsl".into() } else { example(name) };
    let kernels: Vec<String> = expected.iter().map(|(name, _)| format!("--kernel {}", file(name))).collect();
    let words = format!("{} --shape 1x2x8x4 --pass forward --timeout 4", kernels.join(" "));
    let (rows, code) = rows(folder.path(), &words, "0");
    assert_eq!(code, Some(1), "some failed");
    let statuses: Vec<(&str, &str)> =
        rows.iter().map(|row| (row["kernel"].as_str().unwrap(), row["status"].as_str().unwrap())).collect();
    assert_eq!(statuses[..expected.len()], expected);
    assert_eq!(statuses[expected.len()..], [("ketformer rows", "PASSED"), ("ketformer", "PASSED")]);
    for row in &rows {
        let passed = row["status"] == "PASSED";
        assert_eq!((row["median_ms"].is_f64(), row["error"].is_null()), (passed, passed), "{row}");
        let is_ours = row["kernel"].as_str().unwrap().starts_with("ketformer");
        assert_eq!(row["sha256"].as_str().map(str::len), (!is_ours).then_some(64), "{row}");
    }
}

#[test]
fn a_kernel_that_races_is_right_but_not_deterministic() {
    let folder = TempDir::new().unwrap();
    let words = format!("--kernel {} --shape 1x4x256x8 --mask full --pass forward", example("races"));
    let (rows, code) = rows(folder.path(), &words, "2");
    assert_eq!((&rows[0]["status"], code), (&"PASSED".into(), Some(0)), "{}", rows[0]);
    for row in rows {
        assert_eq!(row["deterministic"], row["kernel"] != "races", "{row}");
    }
}

/// A kernel of an application that is no attention: checked, timed and reported as those of the crate.
#[test]
fn kernels_of_an_application_get_rows_of_their_own() {
    const TEXT: &str = "@group(0) @binding(0) var<storage, read> x: array<f32>;
        @group(0) @binding(1) var<storage, read_write> y: array<f32>;
        const FACTOR: u32 = 1u; // spec
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
            if (id.x < arrayLength(&y)) { y[id.x] = f32(FACTOR) * x[id.x]; }
        }";
    const COUNT: u32 = 1000;
    let gpu = ketformer::Gpu::new().unwrap();
    let scale = Kernel::from_text("scale", TEXT);
    let mut config = BenchConfig::default();
    (config.runs, config.warmup) = (2, 0);
    let mut seen = Vec::new();
    let mut progress = |title: &str| seen.push(title.to_string());
    let mut bench = Bench::new(&gpu, &config, &mut progress).unwrap();
    for factor in [2, 3] {
        let elements = u64::from(COUNT);
        let ((x, x_buffer), y_buffer) =
            (bench.input("x", elements, 1.0).unwrap(), bench.output("y", elements).unwrap());
        let views = [("x", x_buffer.view()), ("y", y_buffer.view())];
        let record = |plan: &mut Plan| {
            plan.launch(&Launch {
                kernel: &scale,
                spec: &[("FACTOR", factor)],
                bindings: &views.each_ref().map(|(name, view)| Bind { name, view, elements }),
                params: &[],
                groups: Groups::Fixed(u64::from(COUNT.div_ceil(64))),
                cost: Cost { flops: f64::from(COUNT), bytes: 8.0 * f64::from(COUNT) },
                shape: format!("({COUNT})"),
            })
        };
        let check = |gpu: &ketformer::Gpu| {
            let values = x.iter().map(|x| 2.0 * f64::from(*x)).collect();
            let words: Vec<u32> = y_buffer.view().read(gpu, COUNT as usize)?;
            Ok(vec![Comparison::new("y", &words, &Expected::Near { values, tolerance: 1e-6 })])
        };
        let key = RowKey::new("scale", format!("by {factor}"), &BenchShape(vec![COUNT]));
        bench.measure(key, None, record, check).unwrap();
    }
    let report = bench.finish().unwrap();
    assert!(seen.contains(&"scale by 2 1000".into()), "{seen:?}");
    let statuses: Vec<Status> = report.rows.iter().map(|row| row.status).collect();
    assert_eq!(statuses, [Status::Passed, Status::IncorrectNumerical]);
    assert!(report.rows[0].median_ms.is_some() && report.rows[0].percent_of_peak.is_some(), "{:?}", report.rows[0]);
    assert!(report.rows[1].median_ms.is_none() && report.table().contains("output y has an error"));
}
